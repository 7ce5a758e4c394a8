//! Objects of a running cluster, as if they were created again: without what the cluster added.

use super::cluster_defaults::{TOKEN_MOUNT_PATH, is_token_volume};
use super::objects::{Object, descend_mut, elements_mut};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// What `kubectl apply` keeps of the manifest.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The lifetime that the API server asks for in its own volume.
const INJECTED_SECONDS: u64 = 3607;

/// Fields of the metadata that an API server writes.
const SERVER_FIELDS: [&str; 8] = [
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
];

/// An object as its author wrote it, as far as that can be known.
pub struct Original {
    pub object: Object,
    /// True where a webhook lowered the lifetime of the API server's own token before: then this
    /// policy may have set the fsGroup as well.
    pub is_lowered: bool,
}

/// Takes off what a cluster added. An object from a file stays as it is.
pub fn as_created(object: Object) -> Original {
    if !object.is_live() {
        return Original {
            object,
            is_lowered: false,
        };
    }
    let is_pod = object.kind() == "Pod" && object.api_version() == "v1";
    let mut object = match last_applied(&object) {
        Some(value) if is_pod && controller(&object.value).is_none() => Object { value, ..object },
        _ => object,
    };
    if let Some(fields) = object.value.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = descend_mut(&mut object.value, &["metadata"]) {
        metadata.retain(|field, _| !SERVER_FIELDS.contains(&&**field));
    }
    let spec = descend_mut(&mut object.value, &["spec"]).filter(|_| is_pod);
    let is_lowered = spec.is_some_and(strip_pod);
    Original { object, is_lowered }
}

/// The owner that made the object and keeps it as it is. A Node owns its static Pods' mirrors, which
/// doesn't make them one workload.
pub fn controller(value: &Value) -> Option<&Value> {
    let owners = value.pointer("/metadata/ownerReferences")?.as_array()?;
    owners
        .iter()
        .find(|owner| owner["controller"] == true && owner["kind"] != "Node")
}

fn last_applied(object: &Object) -> Option<Value> {
    let annotations = object.value.pointer("/metadata/annotations")?;
    let manifest: Value = serde_json::from_str(annotations.get(LAST_APPLIED)?.as_str()?).ok()?;
    manifest["spec"].is_object().then_some(manifest)
}

/// Takes off a Pod's spec what came after its author. True where the API server's own token had
/// another lifetime than it asks for.
fn strip_pod(spec: &mut Map<String, Value>) -> bool {
    for field in [
        "nodeName",
        "ephemeralContainers",
        "priority",
        "preemptionPolicy",
    ] {
        spec.remove(field);
    }
    let Some(volumes) = spec.get_mut("volumes").and_then(Value::as_array_mut) else {
        return false;
    };
    let mut injected = BTreeSet::new();
    let mut is_lowered = false;
    volumes.retain(|volume| {
        if !is_token_volume(volume) {
            return true;
        }
        let seconds = volume.pointer("/projected/sources/0/serviceAccountToken/expirationSeconds");
        is_lowered |= seconds.and_then(Value::as_u64) != Some(INJECTED_SECONDS);
        injected.extend(volume["name"].as_str().map(str::to_owned));
        false
    });
    for field in ["initContainers", "containers"] {
        for container in elements_mut(spec, field) {
            let mounts = container
                .get_mut("volumeMounts")
                .and_then(Value::as_array_mut);
            let is_injected = |mount: &Value| {
                let name = mount["name"].as_str().unwrap_or_default();
                mount["mountPath"] == TOKEN_MOUNT_PATH && injected.contains(name)
            };
            if let Some(mounts) = mounts {
                mounts.retain(|mount| !is_injected(mount));
            }
        }
    }
    is_lowered
}

/// The Pod without an fsGroup, if it has one.
pub fn without_fs_group(pod: &Value) -> Option<Value> {
    let mut pod = pod.clone();
    let context = descend_mut(&mut pod, &["spec", "securityContext"])?;
    context.remove("fsGroup").filter(|group| !group.is_null())?;
    context.remove("fsGroupChangePolicy");
    Some(pod)
}

#[cfg(test)]
mod tests {
    use super::super::cluster_defaults::admit;
    use super::super::objects::Source;
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Object {
        Object {
            source: Source {
                file: "f".to_owned(),
                document: 1,
                item: None,
            },
            value,
        }
    }

    /// A Pod as kubectl prints it, with the API server's own token.
    fn live(seconds: u64) -> Value {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": "a", "namespace": "n", "uid": "1", "resourceVersion": "2" },
            "spec": { "containers": [{ "name": "a" }], "nodeName": "worker" },
            "status": { "phase": "Running" },
        });
        admit(&mut pod, true);
        pod["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"] =
            json!(seconds);
        pod
    }

    #[test]
    fn a_live_pod_is_as_it_was_created() {
        for (seconds, is_lowered) in [(3607, false), (3600, true)] {
            let original = as_created(object(live(seconds)));
            assert_eq!(original.is_lowered, is_lowered, "{seconds}");
            assert_eq!(
                original.object.value,
                json!({
                    "apiVersion": "v1", "kind": "Pod",
                    "metadata": { "name": "a", "namespace": "n" },
                    "spec": {
                        "containers": [{ "name": "a", "volumeMounts": [] }], "volumes": [],
                        "serviceAccountName": "default", "serviceAccount": "default",
                    },
                }),
                "{seconds}"
            );
        }
    }

    #[test]
    fn what_an_author_wrote_stays() {
        let own = json!({ "name": "kube-api-access-own", "projected": { "sources": [
            { "serviceAccountToken": { "path": "token", "expirationSeconds": 600 } },
        ] } });
        let mut pod = live(3607);
        pod["spec"]["volumes"]
            .as_array_mut()
            .unwrap()
            .push(own.clone());
        assert_eq!(
            as_created(object(pod)).object.value["spec"]["volumes"],
            json!([own])
        );
        let from_git = json!({ "apiVersion": "v1", "kind": "Pod", "spec": { "nodeName": "x" } });
        assert_eq!(as_created(object(from_git.clone())).object.value, from_git);
    }

    #[test]
    fn what_was_applied_counts_for_a_pod_without_a_controller() {
        let applied = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "a" },
            "spec": { "containers": [{ "name": "applied" }] } });
        let mut pod = live(3600);
        pod["spec"]["securityContext"] = json!({ "fsGroup": 65534 });
        pod["metadata"]["annotations"] = json!({ LAST_APPLIED: applied.to_string() });
        assert_eq!(as_created(object(pod.clone())).object.value, applied);
        pod["metadata"]["ownerReferences"] = json!([{ "kind": "Job", "controller": true }]);
        let original = as_created(object(pod));
        assert_eq!(
            original.object.value["spec"]["securityContext"]["fsGroup"],
            65534
        );
        assert!(without_fs_group(&original.object.value).is_some());
    }
}
