//! Whose an object is: a Pod its ReplicaSet's, that its Deployment's.

use super::live::controller;
use super::objects::{Judged, Object};
use serde_json::Value;
use std::collections::BTreeMap;

/// Namespace, kind and name.
pub type Key = (String, String, String);

/// Whom an object belongs to.
pub enum Root {
    Itself,
    /// A workload in the input.
    InInput(Key),
    /// One that isn't.
    Elsewhere(Key),
}

/// The workloads of the input, and whose they are.
pub struct Roots {
    workloads: BTreeMap<Key, Workload>,
}

struct Workload {
    uid: String,
    owner: Option<Value>,
    is_empty: bool,
}

impl Roots {
    pub fn new(objects: &[(Object, &'static Judged)], default_namespace: &str) -> Self {
        let workloads = objects
            .iter()
            .filter(|(_, judged)| !judged.template.is_empty());
        let workloads = workloads.map(|(object, _)| {
            let namespace = object.namespace(default_namespace).to_owned();
            let key = (
                namespace,
                object.kind().to_owned(),
                object.name().to_owned(),
            );
            let uid = object.text("/metadata/uid").to_owned();
            let owner = controller(&object.value).cloned();
            (
                key,
                Workload {
                    uid,
                    owner,
                    is_empty: is_empty_replica_set(object),
                },
            )
        });
        Self {
            workloads: workloads.collect(),
        }
    }

    /// Follows the owners up to the last one that is known.
    pub fn of(&self, object: &Object, namespace: &str) -> Root {
        let mut owner = controller(&object.value);
        let mut root = None;
        let mut elsewhere = None;
        // A Pod's ReplicaSet, its Deployment, that one's own controller, and no further.
        for _ in 0..4 {
            let Some(reference) = owner else { break };
            let text = |field: &str| reference[field].as_str().unwrap_or_default().to_owned();
            let key = (namespace.to_owned(), text("kind"), text("name"));
            let known = self.workloads.get(&key).filter(|workload| {
                let uid = text("uid");
                uid.is_empty() || workload.uid.is_empty() || uid == workload.uid
            });
            let Some(workload) = known else {
                elsewhere = Some(key);
                break;
            };
            owner = workload.owner.as_ref();
            root = Some((key, workload.is_empty));
        }
        if owner.is_some() && elsewhere.is_none() {
            // A circle of owners owns nothing.
            return Root::Itself;
        }
        match (root, elsewhere) {
            (Some((key, false)), _) => Root::InInput(key),
            (Some((key, true)), _) | (None, Some(key)) if object.kind() == "Pod" => {
                self.by_name(object, key)
            }
            _ => Root::Itself,
        }
    }

    /// The workload that a Pod's own one is called after: a Deployment's ReplicaSet after the
    /// Deployment and the hash of its template, which is a label of the Pods; a CronJob's Job after
    /// the CronJob and the minute of its time.
    fn by_name(&self, pod: &Object, key: Key) -> Root {
        let (namespace, kind, name) = &key;
        let hash = pod.text("/metadata/labels/pod-template-hash");
        let base = match (&**kind, name.rsplit_once('-')) {
            ("ReplicaSet", Some((base, suffix))) if suffix == hash => Some(("Deployment", base)),
            ("Job", Some((base, suffix))) if suffix.bytes().all(|it| it.is_ascii_digit()) => {
                Some(("CronJob", base))
            }
            _ => None,
        };
        let Some((kind, name)) = base else {
            return Root::Elsewhere(key);
        };
        let base = (namespace.clone(), kind.to_owned(), name.to_owned());
        if self.workloads.contains_key(&base) {
            Root::InInput(base)
        } else if kind == "CronJob" {
            // A Job's name may end with digits for another reason.
            Root::Elsewhere(key)
        } else {
            Root::Elsewhere(base)
        }
    }
}

/// A ReplicaSet that a Deployment keeps for a rollback: it makes no Pods.
pub fn is_empty_replica_set(object: &Object) -> bool {
    object.kind() == "ReplicaSet"
        && object
            .value
            .pointer("/spec/replicas")
            .is_some_and(|replicas| replicas == 0)
}
