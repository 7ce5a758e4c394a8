//! Situations: what the policy answers, with which settings.

mod common;

use common::{Captured, ask, ask_text, create, path, payload, pod, rejection, token_volume};
use kubewarden_policy_sdk::response::ValidationResponse;
use serde_json::{Value, json};

const LIFETIME: &str = "spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds";
const GROUP: &str = "spec.securityContext.fsGroup";

/// What changed, as JSON pointers and new values.
fn changes(request: &Value, response: &ValidationResponse) -> Vec<(String, Value)> {
    assert!(response.accepted, "{:?}", response.message);
    let mutated = response.mutated_object.as_ref().unwrap_or(&request["object"]);
    let patch = json_patch::diff(&request["object"], mutated);
    let patch = serde_json::to_value(patch).unwrap();
    let operations = patch.as_array().unwrap().iter();
    operations.map(|it| (it["path"].as_str().unwrap().to_owned(), it["value"].clone())).collect()
}

#[test]
fn the_injected_volume_loses_its_magic_number_and_nothing_else() {
    let request = Captured::special("pod-create-plain").request;
    let response = ask(&request, &json!({ "maxExpirationSeconds": 3600 }));
    let lifetime = "/spec/volumes/0/projected/sources/0/serviceAccountToken/expirationSeconds";
    let expected = vec![
        ("/spec/securityContext/fsGroup".to_owned(), json!(65534)),
        (lifetime.to_owned(), json!(3600)),
    ];
    assert_eq!(changes(&request, &response), expected);
    let annotations = response.audit_annotations.unwrap();
    assert_eq!(annotations["rules"], "fs-group,token-lifetime");
    assert!(annotations["violations"].contains("one year"), "{annotations:?}");
}

#[test]
fn special_requests_in_each_mode() {
    const BOTH: [&str; 2] = [GROUP, LIFETIME];
    let second = LIFETIME.replace("volumes[0]", "volumes[1]");
    let second_two = [GROUP, &second];
    for (name, violations) in [
        ("pod-create-plain", &BOTH[..]),
        ("pod-create-for-token", &BOTH),
        ("pod-create-generate-name", &BOTH),
        ("pod-create-vault-day", &BOTH),
        ("pod-create-default-expiration", &BOTH[..1]),
        ("pod-create-fsgroup-root", &BOTH[1..]),
        ("pod-create-windows", &BOTH[1..]),
        ("pod-create-nonroot-pvc", &second_two),
        ("pod-create-no-automount", &[]),
        ("pod-create-mirror", &[]),
        ("pod-update-labels", &[]),
        ("pod-delete", &[]),
        ("secret-create-opaque", &[]),
    ] {
        let request = Captured::special(name).request;
        let paths = |lines: Vec<&str>| lines.into_iter().map(path).map(str::to_owned).collect();
        let none: Vec<String> = Vec::new();

        let rejected = ask(&request, &json!({ "mode": "reject" }));
        let named = if rejected.accepted { none.clone() } else { paths(rejection(&rejected)) };
        assert_eq!(named, violations, "{name} in reject mode");

        let warned = ask(&request, &json!({ "mode": "warn" }));
        assert!(warned.accepted && warned.mutated_object.is_none(), "{name} in warn mode");
        let lines = warned.warnings.unwrap_or_default();
        let named: Vec<String> = paths(lines.iter().map(String::as_str).collect());
        assert_eq!(named, violations, "{name} in warn mode");
        assert_eq!(warned.audit_annotations, rejected.audit_annotations, "{name}");

        let mutated = ask(&request, &json!({}));
        assert!(mutated.accepted, "{name} in mutate mode: {:?}", mutated.message);
        assert_eq!(mutated.mutated_object.is_some(), !violations.is_empty(), "{name}");
    }
}

#[test]
fn a_pod_with_a_persistent_volume() {
    let request = Captured::special("pod-create-nonroot-pvc").request;
    let lifetime = "/spec/volumes/1/projected/sources/0/serviceAccountToken/expirationSeconds";
    let lifetime = (lifetime.to_owned(), json!(3600));
    let with = |choice| ask(&request, &json!({ "fsGroup": { "persistentVolumes": choice } }));

    let left = with("Leave");
    assert_eq!(changes(&request, &left), [lifetime.clone()]);
    let warnings = left.warnings.unwrap();
    assert!(warnings[0].contains("volume \"d\" (persistentVolumeClaim)"), "{warnings:?}");

    let set = with("Set");
    let expected = [
        ("/spec/securityContext/fsGroup".to_owned(), json!(3000)),
        ("/spec/securityContext/fsGroupChangePolicy".to_owned(), json!("OnRootMismatch")),
        lifetime,
    ];
    assert_eq!(changes(&request, &set), expected);
    assert_eq!(set.warnings, None);

    assert_eq!(rejection(&with("Reject")).into_iter().map(path).next(), Some(GROUP));
}

#[test]
fn what_can_not_be_read_is_rejected_with_its_path_in_every_mode() {
    let token = |seconds: Value| json!({ "volumes": [token_volume("t", &json!("v"), &seconds)] });
    let big: Value = serde_json::from_str("10000000000000000000").unwrap();
    for (object, expected) in [
        (Value::Null, "object: is missing"),
        (json!([]), "object: is a list, not an object"),
        (json!({ "metadata": {} }), "spec: is missing"),
        (json!({ "metadata": 3, "spec": {} }), "metadata: is a number, not an object"),
        (
            json!({ "metadata": { "annotations": [] }, "spec": {} }),
            "metadata.annotations: is a list, not an object",
        ),
        (json!({ "spec": "" }), "spec: is a string, not an object"),
        (pod(&json!({ "volumes": {} })), "spec.volumes: is an object, not a list"),
        (pod(&json!({ "volumes": ["v"] })), "spec.volumes[0]: is a string, not an object"),
        (
            pod(&json!({ "volumes": [{ "name": 1 }] })),
            "spec.volumes[0].name: is a number, not a string",
        ),
        (
            pod(&json!({ "volumes": [{ "projected": { "sources": true } }] })),
            "spec.volumes[0].projected.sources: is a boolean, not a list",
        ),
        (pod(&token(json!("3600"))), &format!("{LIFETIME}: is \"3600\", not a 64-bit integer")),
        (pod(&token(json!(3600.5))), &format!("{LIFETIME}: is 3600.5, not a 64-bit integer")),
        (pod(&token(big)), &format!("{LIFETIME}: is 10000000000000000000, not a 64-bit integer")),
        (pod(&json!({ "containers": {} })), "spec.containers: is an object, not a list"),
        (
            pod(&json!({ "initContainers": [{ "securityContext": [] }] })),
            "spec.initContainers[0].securityContext: is a list, not an object",
        ),
        (pod(&json!({ "securityContext": [] })), "spec.securityContext: is a list, not an object"),
        (
            pod(&json!({ "securityContext": { "fsGroup": "1" } })),
            "spec.securityContext.fsGroup: is \"1\", not a 64-bit integer",
        ),
        (pod(&json!({ "os": "windows" })), "spec.os: is a string, not an object"),
    ] {
        for mode in ["mutate", "reject", "warn"] {
            let response = ask(&create(&object), &json!({ "mode": mode }));
            let lines = rejection(&response);
            assert!(lines.contains(&expected), "{mode}: {lines:?}, not {expected}");
            assert!(response.mutated_object.is_none());
            let annotations = response.audit_annotations.as_ref().unwrap();
            assert!(annotations["rules"].contains("readable"), "{annotations:?}");
        }
    }
}

#[test]
fn payloads_that_are_no_request_are_rejected() {
    let valid = payload(&create(&pod(&json!({}))), &json!({}));
    let cut = &valid[..valid.len() - 2];
    let twice = valid.replace("\"spec\":{}", "\"spec\":{},\"spec\":{}");
    for (payload, expected) in [
        ("", "request: can't be read: EOF while parsing"),
        ("nonsense", "request: can't be read: expected"),
        (cut, "request: can't be read: EOF while parsing"),
        ("[]", "request: is missing"),
        ("{}", "request: is missing"),
        (r#"{"request":null}"#, "request: is missing"),
        (r#"{"request":{}}"#, "request.kind.kind: is missing\nrequest.operation: is missing"),
        (r#"{"request":{"kind":"Pod","operation":"CREATE"}}"#, "request.kind: is a string"),
        (
            r#"{"request":{"kind":{"group":1,"kind":"Pod"},"operation":[]}}"#,
            "request.kind.group: is a number, not a string\nrequest.operation: is a list",
        ),
        (
            r#"{"request":{"kind":{"kind":"Pod"},"operation":"CREATE","namespace":1}}"#,
            "request.namespace: is a number",
        ),
        (&twice, "request: can't be read: the member \"spec\" stands there twice"),
    ] {
        let response = ask_text(payload.as_bytes());
        let message = rejection(&response).join("\n");
        assert!(message.starts_with(expected), "{payload}: {message}");
    }
    assert!(rejection(&ask_text(b"{\"request\":\"\xff\"}"))[0].contains("is not UTF-8"));
    assert!(ask_text(valid.as_bytes()).accepted);
}

#[test]
fn settings_that_are_wrong_reject_what_the_policy_decides_about() {
    let pod = create(&pod(&json!({})));
    for settings in [json!([]), json!({ "mode": "mutat" }), json!({ "maxExpirationSeconds": 3607 })]
    {
        let response = ask(&pod, &settings);
        assert_eq!(path(rejection(&response)[0]), "settings");
    }
}

#[test]
fn the_object_is_read_wherever_it_stands_in_the_request() {
    let object = pod(&json!({ "volumes": [token_volume("t", &json!("v"), &json!(7200))] }));
    let header = r#""kind":{"group":"","kind":"Pod"},"operation":"CREATE""#;
    let settings = r#"{"mode":"reject"}"#;
    for payload in [
        format!(r#"{{"request":{{{header},"object":{object}}},"settings":{settings}}}"#),
        format!(r#"{{"request":{{"object":{object},{header}}},"settings":{settings}}}"#),
        format!(r#"{{"settings":{settings},"request":{{"object":{object},{header}}}}}"#),
        format!(r#"{{"settings":{settings},"request":{{"obj\u0065ct":{object},{header}}}}}"#),
    ] {
        let response = ask_text(payload.as_bytes());
        assert_eq!(
            rejection(&response).into_iter().map(path).collect::<Vec<_>>(),
            [GROUP, LIFETIME]
        );
        let mutated = ask_text(payload.replace("reject", "mutate").as_bytes());
        assert!(mutated.mutated_object.is_some(), "{payload}");
    }
}

#[test]
fn other_kinds_and_operations_are_accepted() {
    let spec = json!({ "volumes": [token_volume("t", &json!("v"), &json!(86400))] });
    let pods = create(&pod(&spec));
    for (pointer, value) in [
        ("/operation", json!("UPDATE")),
        ("/operation", json!("DELETE")),
        ("/operation", json!("CONNECT")),
        ("/kind/group", json!("example.com")),
        ("/kind/kind", json!("ConfigMap")),
        ("/kind/kind", json!("pod")),
        ("/subResource", json!("status")),
    ] {
        let mut request = pods.clone();
        match request.pointer_mut(pointer) {
            Some(member) => *member = value,
            None => request[&pointer[1..]] = value,
        }
        let response = ask(&request, &json!({ "mode": "reject" }));
        assert!(response.accepted, "{pointer}: {:?}", response.message);
    }
    assert!(!ask(&pods, &json!({ "mode": "reject" })).accepted);
}

#[test]
fn exempt_namespaces_are_those_of_the_request() {
    let mut request = create(&pod(&json!({
        "volumes": [token_volume("t", &json!("v"), &json!(86400))],
    })));
    for (patterns, of_request, of_object, accepted) in [
        (json!(["kube-system"]), "kube-system", "kube-system", true),
        (json!(["kube-*"]), "kube-system", "", true),
        (json!(["a", "b"]), "b", "", true),
        (json!(["kube-system"]), "payments", "kube-system", false),
        (json!(["kube-system"]), "kube-system2", "", false),
        (json!(["*"]), "anything", "", true),
        (json!([]), "kube-system", "kube-system", false),
    ] {
        request["namespace"] = json!(of_request);
        request["object"]["metadata"]["namespace"] = json!(of_object);
        let response = ask(&request, &json!({ "mode": "reject", "exemptNamespaces": patterns }));
        assert_eq!(response.accepted, accepted, "{patterns} for {of_request}");
    }
}

#[test]
fn a_violation_that_can_not_be_mended_rejects_all() {
    let request = create(&pod(&json!({
        "securityContext": { "fsGroup": 5 },
        "volumes": [
            token_volume("a", &json!("vault"), &json!(86400)),
            token_volume("b", &json!(""), &json!(3607)),
        ],
    })));
    let settings = json!({
        "allowedAudiences": ["sts.*"],
        "fsGroup": { "ranges": [{ "min": 1000, "max": 2000 }], "default": 1000 },
    });
    let response = ask(&request, &settings);
    let lines = rejection(&response);
    assert_eq!(
        lines.iter().map(|line| path(line)).collect::<Vec<_>>(),
        [
            GROUP,
            "spec.volumes[0].projected.sources[0].serviceAccountToken.audience",
            LIFETIME,
            &LIFETIME.replace("volumes[0]", "volumes[1]"),
        ]
    );
    assert!(lines[0].contains("5 is not an allowed group; choose one of 1000-2000"), "{lines:?}");
    assert_eq!(response.audit_annotations.unwrap()["rules"], "audience,fs-group,token-lifetime");
}
