//! The Pod that a workload makes, as its controller makes it.

use super::objects::{Object, descend, descend_mut, elements};
use crate::admission::UserInfo;
use serde_json::{Map, Value, json};

/// In generated names: a hash, and the time of a CronJob's Job.
const HASH: &str = "5d4f8c7b9d";
const MINUTES: &str = "29400000";

/// The Pod of a workload with this path to its template; `None` where there is no template.
pub fn pod(workload: &Object, template: &[&str], namespace: &str) -> Option<Value> {
    let template = descend(&workload.value, template)?;
    let mut pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": {} });
    for field in ["labels", "annotations", "finalizers"] {
        if let Some(value) = template.pointer(&format!("/metadata/{field}")) {
            pod["metadata"][field] = value.clone();
        }
    }
    pod["metadata"]["namespace"] = json!(namespace);
    pod["spec"] = template["spec"].clone();
    let name = workload.name();
    let base = match workload.kind() {
        "Deployment" => format!("{name}-{HASH}"),
        "CronJob" => format!("{name}-{MINUTES}"),
        _ => name.to_owned(),
    };
    if workload.kind() != "PodTemplate" {
        pod["metadata"]["ownerReferences"] = json!([owner(workload, &base)]);
    }
    label(&mut pod, workload.kind(), &base);
    if workload.kind() == "StatefulSet" {
        pod["metadata"]["name"] = json!(format!("{base}-0"));
        add_claims(&mut pod, workload, &base);
    } else {
        pod["metadata"]["generateName"] = json!(format!("{base}-"));
    }
    if workload.kind() == "DaemonSet" {
        bind_to_node(&mut pod);
    }
    Some(pod)
}

/// The Pod's own controller: a Deployment's is a ReplicaSet, a CronJob's a Job.
fn owner(workload: &Object, base: &str) -> Value {
    let kind = match workload.kind() {
        "Deployment" => "ReplicaSet",
        "CronJob" => "Job",
        kind => kind,
    };
    json!({
        "apiVersion": workload.api_version(), "kind": kind, "name": base,
        "uid": "0d9b1c7e-52a4-4f6b-8c3d-7e6f5a4b3c2d",
        "controller": true, "blockOwnerDeletion": true,
    })
}

/// The labels that a controller adds.
fn label(pod: &mut Value, kind: &str, base: &str) {
    let labels = match kind {
        "Deployment" => json!({ "pod-template-hash": HASH }),
        "StatefulSet" => json!({
            "apps.kubernetes.io/pod-index": "0", "controller-revision-hash": HASH,
            "statefulset.kubernetes.io/pod-name": format!("{base}-0"),
        }),
        "DaemonSet" => json!({ "controller-revision-hash": HASH, "pod-template-generation": "1" }),
        "Job" | "CronJob" => {
            json!({ "batch.kubernetes.io/job-name": base, "job-name": base })
        }
        _ => json!({}),
    };
    let metadata = descend_mut(pod, &["metadata"]);
    let current = metadata.map(|it| it.entry("labels").or_insert(Value::Null));
    let Some(current) = current else { return };
    if current.is_null() {
        *current = json!({});
    }
    if let (Value::Object(current), Value::Object(labels)) = (current, labels) {
        current.extend(labels);
    }
}

/// A StatefulSet's claims become volumes, in place of those of the same name
/// (`pkg/controller/statefulset`, `updateStorage`).
fn add_claims(pod: &mut Value, set: &Object, base: &str) {
    let Some(spec) = descend_mut(pod, &["spec"]) else {
        return;
    };
    let set_spec = set.value.get("spec").unwrap_or(&Value::Null);
    let names: Vec<&str> = elements(set_spec, "volumeClaimTemplates")
        .filter_map(|claim| claim.pointer("/metadata/name")?.as_str())
        .collect();
    let claims = names.iter().map(|name| {
        let claim = json!({ "claimName": format!("{name}-{base}-0") });
        json!({ "name": name, "persistentVolumeClaim": claim })
    });
    let own = spec
        .get("volumes")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let is_replaced = |volume: &Value| {
        volume["name"]
            .as_str()
            .is_some_and(|it| names.contains(&it))
    };
    let volumes: Vec<Value> = claims
        .chain(own.filter(|volume| !is_replaced(volume)).cloned())
        .collect();
    if !volumes.is_empty() {
        spec.insert("volumes".to_owned(), Value::Array(volumes));
    }
}

/// A DaemonSet's Pod is for one node: that takes the place of what the template requires of a node by
/// affinity (`pkg/controller/daemon/util`, `ReplaceDaemonSetPodNodeNameNodeAffinity`).
fn bind_to_node(pod: &mut Value) {
    let Some(spec) = descend_mut(pod, &["spec"]) else {
        return;
    };
    let affinity = child(spec, "affinity").and_then(|affinity| child(affinity, "nodeAffinity"));
    if let Some(affinity) = affinity {
        let node = json!({ "key": "metadata.name", "operator": "In", "values": ["node"] });
        let terms = json!({ "nodeSelectorTerms": [{ "matchFields": [node] }] });
        affinity.insert(
            "requiredDuringSchedulingIgnoredDuringExecution".to_owned(),
            terms,
        );
    }
}

/// The object in a field, made where there is none.
fn child<'a>(
    object: &'a mut Map<String, Value>,
    field: &str,
) -> Option<&'a mut Map<String, Value>> {
    let value = object.entry(field).or_insert(Value::Null);
    if value.is_null() {
        *value = json!({});
    }
    value.as_object_mut()
}

/// The user that makes a workload's Pods.
pub fn controller_user(kind: &str) -> UserInfo {
    let controller = match kind {
        "Deployment" | "ReplicaSet" => "replicaset-controller",
        "ReplicationController" => "replication-controller",
        "StatefulSet" => "statefulset-controller",
        "DaemonSet" => "daemon-set-controller",
        "Job" | "CronJob" => "job-controller",
        _ => return author(),
    };
    let groups = [
        "system:serviceaccounts",
        "system:serviceaccounts:kube-system",
        "system:authenticated",
    ];
    UserInfo {
        username: format!("system:serviceaccount:kube-system:{controller}"),
        groups: groups.map(str::to_owned).into(),
    }
}

/// The user that applies a manifest.
pub fn author() -> UserInfo {
    UserInfo {
        username: "author".to_owned(),
        groups: vec!["system:authenticated".to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::super::objects::Source;
    use super::*;

    fn workload(value: Value) -> Object {
        Object {
            source: Source {
                file: "f".to_owned(),
                document: 1,
                item: None,
            },
            value,
        }
    }

    #[test]
    fn names_and_owners() {
        for (kind, path, name, base, owner) in [
            (
                "Deployment",
                &["spec", "template"][..],
                "",
                "web-5d4f8c7b9d-",
                "ReplicaSet",
            ),
            (
                "ReplicaSet",
                &["spec", "template"],
                "",
                "web-",
                "ReplicaSet",
            ),
            (
                "StatefulSet",
                &["spec", "template"],
                "web-0",
                "",
                "StatefulSet",
            ),
            ("DaemonSet", &["spec", "template"], "", "web-", "DaemonSet"),
            ("Job", &["spec", "template"], "", "web-", "Job"),
            (
                "CronJob",
                &["spec", "jobTemplate", "spec", "template"],
                "",
                "web-29400000-",
                "Job",
            ),
            ("PodTemplate", &["template"], "", "web-", ""),
        ] {
            let template = json!({ "metadata": { "labels": { "app": "web" } }, "spec": {} });
            let value = path
                .iter()
                .rev()
                .fold(template, |value, field| json!({ *field: value }));
            let mut value = value;
            value["kind"] = json!(kind);
            value["metadata"] = json!({ "name": "web" });
            let pod = pod(&workload(value), path, "payments").unwrap();
            let text = |pointer: &str| {
                pod.pointer(pointer)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            assert_eq!(text("/metadata/name"), name, "{kind}");
            assert_eq!(text("/metadata/generateName"), base, "{kind}");
            assert_eq!(text("/metadata/ownerReferences/0/kind"), owner, "{kind}");
            assert_eq!(text("/metadata/labels/app"), "web", "{kind}");
            assert_eq!(text("/metadata/namespace"), "payments", "{kind}");
        }
    }

    #[test]
    fn claims_become_volumes() {
        let set = workload(
            json!({ "kind": "StatefulSet", "metadata": { "name": "db" }, "spec": {
            "volumeClaimTemplates": [{ "metadata": { "name": "data" } }],
            "template": { "spec": { "volumes": [
                { "name": "data", "emptyDir": {} }, { "name": "tmp", "emptyDir": {} },
            ] } },
        } }),
        );
        assert_eq!(
            pod(&set, &["spec", "template"], "n").unwrap()["spec"]["volumes"],
            json!([
                { "name": "data", "persistentVolumeClaim": { "claimName": "data-db-0" } },
                { "name": "tmp", "emptyDir": {} },
            ])
        );
    }

    #[test]
    fn a_daemon_sets_pod_is_for_one_node() {
        let required = json!({ "nodeSelectorTerms": [{ "matchExpressions": [
            { "key": "kubernetes.io/os", "operator": "In", "values": ["windows"] },
        ] }] });
        let set = workload(
            json!({ "kind": "DaemonSet", "metadata": { "name": "d" }, "spec": {
            "template": { "spec": { "affinity": { "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": required,
            } } } },
        } }),
        );
        let pod = pod(&set, &["spec", "template"], "n").unwrap();
        assert!(!pod.to_string().contains("windows"), "{pod}");
    }

    #[test]
    fn a_workload_without_a_template_makes_no_pod() {
        for value in [json!({ "spec": {} }), json!({ "spec": 1 }), json!(null)] {
            assert_eq!(pod(&workload(value), &["spec", "template"], "n"), None);
        }
        let odd = json!({ "kind": "StatefulSet", "spec": { "template": 1 } });
        assert!(pod(&workload(odd), &["spec", "template"], "n").is_some());
    }
}
