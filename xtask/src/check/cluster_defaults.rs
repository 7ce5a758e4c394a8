//! What an API server adds to a Pod before a webhook sees it: the defaults of fields that rules
//! read, and the token of the ServiceAccount admission plugin.

use super::objects::{descend_mut, elements, elements_mut};
use serde_json::{Map, Value, json};

/// Where clients look for the API server's token.
pub const TOKEN_MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The plugin's volume: this and five random characters.
pub const TOKEN_VOLUME: &str = "kube-api-access-";
const RANDOM: &str = "x7k2p";

/// `kubernetes.io/config.mirror`: the kubelet's copy of a static Pod.
pub fn is_mirror(pod: &Value) -> bool {
    let annotations = pod.pointer("/metadata/annotations");
    annotations.is_some_and(|annotations| annotations.get("kubernetes.io/config.mirror").is_some())
}

/// The defaults of a Pod's or a template's spec (`pkg/apis/core/v1/defaults.go`): those that rules
/// read.
pub fn set_defaults(spec: &mut Map<String, Value>) {
    for (field, value) in [
        ("restartPolicy", json!("Always")),
        ("terminationGracePeriodSeconds", json!(30)),
        ("securityContext", json!({})),
    ] {
        set_default(spec, field, value);
    }
    for volume in elements_mut(spec, "volumes") {
        let has_source = volume
            .iter()
            .any(|(field, value)| field != "name" && !value.is_null());
        if !has_source {
            volume.insert("emptyDir".to_owned(), json!({}));
        }
        for source in ["secret", "configMap", "downwardAPI", "projected"] {
            if let Some(source) = volume.get_mut(source).and_then(Value::as_object_mut) {
                set_default(source, "defaultMode", json!(0o644));
            }
        }
        let Some(projected) = volume.get_mut("projected").and_then(Value::as_object_mut) else {
            continue;
        };
        for source in elements_mut(projected, "sources") {
            let token = source
                .get_mut("serviceAccountToken")
                .and_then(Value::as_object_mut);
            if let Some(token) = token {
                set_default(token, "expirationSeconds", json!(3600));
            }
        }
    }
    // Two names of one field; the older one counts where the newer one is empty.
    let account = ["serviceAccountName", "serviceAccount"]
        .iter()
        .filter_map(|field| spec.get(*field))
        .find(|name| name.as_str().is_some_and(|name| !name.is_empty()))
        .cloned();
    if let Some(account) = account {
        spec.insert("serviceAccountName".to_owned(), account.clone());
        spec.insert("serviceAccount".to_owned(), account);
    }
}

fn set_default(object: &mut Map<String, Value>, field: &str, value: Value) {
    let current = object.entry(field).or_insert(Value::Null);
    if current.is_null() {
        *current = value;
    }
}

/// The account of a Pod whose spec has its defaults.
pub fn service_account(pod: &Value) -> &str {
    let name = pod
        .pointer("/spec/serviceAccountName")
        .and_then(Value::as_str);
    name.filter(|name| !name.is_empty()).unwrap_or("default")
}

/// True where the Pod leaves to its account whether the token is mounted.
pub fn asks_its_account(pod: &Value) -> bool {
    let setting = pod.pointer("/spec/automountServiceAccountToken");
    !is_mirror(pod) && setting.is_none_or(Value::is_null)
}

/// What the ServiceAccount plugin does (`plugin/pkg/admission/serviceaccount`, `Admit`), for a Pod
/// whose account automounts or doesn't.
pub fn admit(pod: &mut Value, account_automounts: bool) {
    if is_mirror(pod) {
        return;
    }
    let account = service_account(pod).to_owned();
    let Some(spec) = descend_mut(pod, &["spec"]) else {
        return;
    };
    spec.insert("serviceAccountName".to_owned(), json!(account));
    spec.insert("serviceAccount".to_owned(), json!(account));
    let setting = spec
        .get("automountServiceAccountToken")
        .and_then(Value::as_bool);
    if setting.unwrap_or(account_automounts) {
        mount_token(spec);
    }
}

/// `mountServiceAccountToken`: a volume, unless there is one of its name, for the containers that
/// have no mount at the path of the token.
fn mount_token(spec: &mut Map<String, Value>) {
    let own_volumes = spec
        .get("volumes")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let own_name = own_volumes
        .filter_map(|volume| volume["name"].as_str())
        .find(|name| name.starts_with(TOKEN_VOLUME))
        .map(str::to_owned);
    let name = own_name
        .clone()
        .unwrap_or_else(|| format!("{TOKEN_VOLUME}{RANDOM}"));
    let mut is_needed = false;
    for field in ["initContainers", "containers"] {
        for container in elements_mut(spec, field) {
            let mounts = container.entry("volumeMounts").or_insert(Value::Null);
            if mounts.is_null() {
                *mounts = json!([]);
            }
            let Some(mounts) = mounts.as_array_mut() else {
                continue;
            };
            if !mounts
                .iter()
                .any(|mount| mount["mountPath"] == TOKEN_MOUNT_PATH)
            {
                let mount =
                    json!({ "name": name, "readOnly": true, "mountPath": TOKEN_MOUNT_PATH });
                mounts.push(mount);
                is_needed = true;
            }
        }
    }
    if own_name.is_none() && is_needed {
        let volumes = spec.entry("volumes").or_insert(Value::Null);
        if volumes.is_null() {
            *volumes = json!([]);
        }
        volumes
            .as_array_mut()
            .into_iter()
            .for_each(|volumes| volumes.push(token_volume(&name)));
    }
}

/// `TokenVolumeSource`
fn token_volume(name: &str) -> Value {
    json!({ "name": name, "projected": {
        "defaultMode": 0o644,
        "sources": [
            { "serviceAccountToken": { "path": "token", "expirationSeconds": 3607 } },
            { "configMap": {
                "name": "kube-root-ca.crt", "items": [{ "key": "ca.crt", "path": "ca.crt" }],
            } },
            { "downwardAPI": { "items": [{
                "path": "namespace",
                "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.namespace" },
            }] } },
        ],
    } })
}

/// True for a volume that the plugin injected, whatever a webhook made of its lifetime.
pub fn is_token_volume(volume: &Value) -> bool {
    let suffix = volume["name"]
        .as_str()
        .and_then(|name| name.strip_prefix(TOKEN_VOLUME));
    let has_its_sources = || {
        let sources: Vec<_> = elements(&volume["projected"], "sources")
            .filter_map(|source| source.as_object()?.keys().next())
            .collect();
        sources == ["serviceAccountToken", "configMap", "downwardAPI"]
    };
    suffix.is_some_and(|suffix| suffix.len() == RANDOM.len()) && has_its_sources()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(spec: &Value) -> Value {
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "a" }, "spec": spec })
    }

    /// The names of the Pod's volumes, and how many containers mount the token's path.
    fn mounted(pod: &Value) -> (Vec<&str>, usize) {
        let spec = &pod["spec"];
        let volumes = elements(spec, "volumes")
            .filter_map(|it| it["name"].as_str())
            .collect();
        let containers = ["initContainers", "containers"].map(|field| elements(spec, field));
        let mounts = containers
            .into_iter()
            .flatten()
            .flat_map(|container| elements(container, "volumeMounts"))
            .filter(|mount| mount["mountPath"] == TOKEN_MOUNT_PATH);
        (volumes, mounts.count())
    }

    #[test]
    fn the_token_is_mounted_where_an_api_server_mounts_it() {
        let injected = "kube-api-access-x7k2p";
        let mount = |name: &str| json!([{ "name": name, "mountPath": TOKEN_MOUNT_PATH }]);
        let two = json!([{ "name": "a" }, { "name": "b" }]);
        let own = json!([{ "name": "kube-api-access-own", "emptyDir": {} }]);
        for (name, spec, automounts, volumes, mounts) in [
            (
                "two containers",
                json!({ "containers": two }),
                true,
                vec![injected],
                2,
            ),
            (
                "an init container",
                json!({ "containers": two, "initContainers": [{ "name": "i" }] }),
                true,
                vec![injected],
                3,
            ),
            (
                "not its account's",
                json!({ "containers": two }),
                false,
                vec![],
                0,
            ),
            (
                "the Pod says yes, its account no",
                json!({ "containers": two, "automountServiceAccountToken": true }),
                false,
                vec![injected],
                2,
            ),
            (
                "the Pod says no",
                json!({ "containers": two, "automountServiceAccountToken": false }),
                true,
                vec![],
                0,
            ),
            (
                "a mount of its own in one container",
                json!({
                    "volumes": [{ "name": "own", "emptyDir": {} }],
                    "containers": [{ "name": "a", "volumeMounts": mount("own") }, { "name": "b" }],
                }),
                true,
                vec!["own", injected],
                2,
            ),
            (
                "a mount of its own in each container",
                json!({
                    "volumes": [{ "name": "own", "emptyDir": {} }],
                    "containers": [{ "name": "a", "volumeMounts": mount("own") }],
                }),
                true,
                vec!["own"],
                1,
            ),
            (
                "a volume of the plugin's name",
                json!({ "volumes": own, "containers": two }),
                true,
                vec!["kube-api-access-own"],
                2,
            ),
            ("no container", json!({}), true, vec![], 0),
        ] {
            let mut pod = pod(&spec);
            admit(&mut pod, automounts);
            assert_eq!(mounted(&pod), (volumes, mounts), "{name}");
            assert_eq!(pod["spec"]["serviceAccountName"], "default", "{name}");
        }
    }

    #[test]
    fn a_mirror_pod_gets_no_token() {
        let mut pod = pod(&json!({ "containers": [{ "name": "a" }] }));
        pod["metadata"]["annotations"] = json!({ "kubernetes.io/config.mirror": "x" });
        let before = pod.clone();
        admit(&mut pod, true);
        assert_eq!(pod, before);
    }

    #[test]
    fn what_is_no_pod_is_left_as_it_is() {
        for value in [
            json!(1),
            json!({ "spec": [] }),
            json!({ "metadata": 1, "spec": { "containers": 1, "volumes": "x" } }),
            json!({ "spec": { "containers": [1], "volumes": [null, { "projected": 1 }] } }),
        ] {
            let mut pod = value.clone();
            if let Some(spec) = descend_mut(&mut pod, &["spec"]) {
                set_defaults(spec);
            }
            admit(&mut pod, true);
            assert_eq!(pod.is_object(), value.is_object());
        }
    }

    #[test]
    fn the_defaults_that_rules_read() {
        let mut pod = pod(&json!({ "serviceAccount": "app", "volumes": [
            { "name": "t", "projected": { "sources": [{ "serviceAccountToken": { "path": "t" } }] } },
            { "name": "s", "secret": { "secretName": "s", "defaultMode": 256 } },
            { "name": "e" },
        ] }));
        set_defaults(descend_mut(&mut pod, &["spec"]).unwrap());
        assert_eq!(
            pod["spec"],
            json!({
                "restartPolicy": "Always", "terminationGracePeriodSeconds": 30,
                "securityContext": {}, "serviceAccount": "app", "serviceAccountName": "app",
                "volumes": [
                    { "name": "t", "projected": { "defaultMode": 420, "sources": [
                        { "serviceAccountToken": { "path": "t", "expirationSeconds": 3600 } },
                    ] } },
                    { "name": "s", "secret": { "secretName": "s", "defaultMode": 256 } },
                    { "name": "e", "emptyDir": {} },
                ],
            })
        );
    }
}
