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
    const BOTH: &[&str] = &[GROUP, LIFETIME];
    const VOLUME: &str = "spec.volumes[0].secret.secretName";
    let second = LIFETIME.replace("volumes[0]", "volumes[1]");
    let in_template = |path: &str| LIFETIME.replace("spec.", &format!("{path}.spec."));
    let group_of = |path: &str| GROUP.replace("spec.", &format!("{path}.spec."));
    let job = "spec.jobTemplate.spec.template";
    // The request, the paths of its violations, and what mode mutate does.
    for (name, violations, in_mutate) in [
        ("pod-create-plain", BOTH, "mutated"),
        ("pod-create-for-token", BOTH, "mutated"),
        ("pod-create-generate-name", BOTH, "mutated"),
        ("pod-create-vault-day", BOTH, "mutated"),
        ("pod-create-opt-out", &[GROUP, LIFETIME, &second], "mutated"),
        ("pod-create-default-expiration", &BOTH[..1], "mutated"),
        ("pod-create-fsgroup-root", &BOTH[1..], "mutated"),
        ("pod-create-windows", &BOTH[1..], "mutated"),
        ("pod-create-nonroot-pvc", &[GROUP, &second], "mutated"),
        ("pod-create-no-automount", &[], "accepted"),
        ("pod-create-mirror", &[], "accepted"),
        ("pod-create-legacy-secret-volume", &[GROUP, VOLUME], "mutated"),
        ("pod-create-legacy-secret-other-account", &[VOLUME], "rejected"),
        (
            "pod-create-legacy-secret-projected",
            &["spec.volumes[0].projected.sources[0].secret.name"],
            "rejected",
        ),
        (
            "pod-create-legacy-secret-env",
            &["spec.containers[0].env[0].valueFrom.secretKeyRef.name"],
            "rejected",
        ),
        (
            "pod-update-ephemeral",
            &["spec.ephemeralContainers[0].env[0].valueFrom.secretKeyRef.name"],
            "rejected",
        ),
        ("pod-update-labels", &[], "accepted"),
        ("pod-delete", &[], "accepted"),
        (
            "deployment-create-vault-day",
            &[&group_of("spec.template"), &in_template("spec.template")],
            "accepted",
        ),
        ("cronjob-create-vault-day", &[&group_of(job), &in_template(job)], "accepted"),
        ("podtemplate-create", &[&group_of("template"), &in_template("template")], "accepted"),
        ("deployment-update-scale", &[], "accepted"),
        ("tokenrequest-default", &[], "accepted"),
        ("tokenrequest-kubelet-3607", &["spec.expirationSeconds"], "mutated"),
        ("csidriver-create", &["spec.tokenRequests[0].expirationSeconds"], "mutated"),
        ("secret-create-legacy-token", &["type"], "rejected"),
        ("secret-create-opaque", &[], "accepted"),
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
        let verdict = match (mutated.accepted, &mutated.mutated_object) {
            (true, Some(_)) => "mutated",
            (true, None) => "accepted",
            (false, _) => "rejected",
        };
        assert_eq!(verdict, in_mutate, "{name} in mutate mode: {:?}", mutated.message);
        if let Some(object) = mutated.mutated_object {
            let mut again = request;
            again["object"] = object;
            let second = ask(&again, &json!({}));
            assert!(second.accepted && second.mutated_object.is_none(), "{name}: a second pass");
        }
    }
}

#[test]
fn a_pod_with_a_persistent_volume() {
    let request = Captured::special("pod-create-nonroot-pvc").request;
    let lifetime = "/spec/volumes/1/projected/sources/0/serviceAccountToken/expirationSeconds";
    let lifetime = (lifetime.to_owned(), json!(3600));
    let with = |choice| ask(&request, &json!({ "fsGroup": { "persistentVolumes": choice } }));

    let left = with("Leave");
    assert_eq!(changes(&request, &left), std::slice::from_ref(&lifetime));
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
        ("", "request: can't be read: the text ends here at byte 0"),
        ("nonsense", "request: can't be read: expected a value at byte 0"),
        (cut, "request: can't be read: expected a key at byte"),
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
        // The settings are looked for at the end first: what stands there may be others.
        format!(r#"{{"request":{{{header},"object":{object}}},"settings":{settings},"more":1}}"#),
        format!(r#"{{"request":{{{header},"object":{object}}},"settings":{settings} }}"#),
        format!(
            r#"{{"settings":{settings},"request":{{{header},"namespace":"n","object":{object},"settings":{{"exemptNamespaces":["*"]}}}}}}"#
        ),
        format!(
            r#"{{"settings":{settings},"request":{{{header},"namespace":"n","object":{object}}},"x":{{"y":1,"settings":{{"exemptNamespaces":["*"]}}}}}}"#
        ),
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
fn exempt_service_accounts_are_those_of_the_request_and_the_object() {
    let pod = Captured::special("pod-create-vault-day").request;
    let template = Captured::special("deployment-create-vault-day").request;
    let token = Captured::special("tokenrequest-kubelet-3607").request;
    let secret = Captured::special("secret-create-legacy-token").request;
    for (request, pointer) in [
        (&pod, "/object/spec/serviceAccountName"),
        (&template, "/object/spec/template/spec/serviceAccountName"),
        (&token, "/name"),
        (&secret, "/object/metadata/annotations/kubernetes.io~1service-account.name"),
    ] {
        for (patterns, namespace, account, accepted) in [
            (json!(["payments/builder"]), "payments", "builder", true),
            (json!(["pay*/*"]), "payments", "builder", true),
            (json!(["other/builder"]), "payments", "builder", false),
            (json!(["payments/builder"]), "other", "builder", false),
            (json!(["payments/builder"]), "payments", "Builder", false),
            (json!(["payments/builder"]), "payments", "builder2", false),
            (json!(["*/b*"]), "payments", "other", false),
            (json!([]), "payments", "builder", false),
        ] {
            let mut request = request.clone();
            request["namespace"] = json!(namespace);
            request["object"]["metadata"]["namespace"] = json!("payments");
            match request.pointer_mut(pointer) {
                Some(member) => *member = json!(account),
                None => {
                    request["object"]["spec"]["template"]["spec"]["serviceAccountName"] =
                        json!(account);
                }
            }
            let settings = json!({ "mode": "reject", "exemptServiceAccounts": patterns });
            let response = ask(&request, &settings);
            assert_eq!(response.accepted, accepted, "{patterns} for {namespace}/{account}");
        }
    }
    // A Pod that names no account runs as "default".
    let settings = json!({ "mode": "reject", "exemptServiceAccounts": ["payments/default"] });
    assert!(ask(&template, &settings).accepted);
}

#[test]
fn opting_out_leaves_a_trace() {
    let key = "tokens.example.com/exempt";
    let settings = json!({ "mode": "reject", "optOutAnnotation": key });
    let set = |request: &mut Value, at: &str, value: Value| {
        request.pointer_mut(at).unwrap()["metadata"]["annotations"] = json!({ key: value });
    };
    let pod = Captured::special("pod-create-opt-out").request;
    let deployment = Captured::special("deployment-create-vault-day").request;
    for (mut request, at, value, out) in [
        (pod.clone(), "/object", json!("true"), true),
        (pod.clone(), "/object", json!("True"), false),
        (pod.clone(), "/object", json!("false"), false),
        (pod.clone(), "/object", json!(" true"), false),
        (pod.clone(), "/object", json!(true), false),
        (pod, "/object", Value::Null, false),
        (deployment.clone(), "/object/spec/template", json!("true"), true),
        // The annotation of the Deployment itself isn't one of its Pods.
        (deployment, "/object", json!("true"), false),
    ] {
        set(&mut request, at, value.clone());
        let response = ask(&request, &settings);
        assert_eq!(response.accepted, out, "{at} {value}");
        let without = ask(&request, &json!({ "mode": "reject" }));
        assert!(!without.accepted, "{at} {value}, without the setting");
        if out {
            assert_eq!(response.audit_annotations.unwrap()["opt-out"], key);
            let warnings = response.warnings.unwrap();
            assert!(warnings[0].contains(key) && warnings.len() == 1, "{warnings:?}");
        }
    }
}

#[test]
fn overrides_are_for_their_namespaces() {
    let mut request = Captured::special("pod-create-opt-out").request;
    let settings = json!({ "mode": "reject", "fsGroup": { "rule": "RunAsAny" }, "overrides": [
        { "namespaces": ["ci-*", "lab"], "maxExpirationSeconds": 86400 },
        { "namespaces": ["ci-warn", "new"], "mode": "warn" },
        { "namespaces": ["*"], "mode": "mutate" },
    ] });
    for (namespace, accepted, warned, mutated) in [
        ("lab", false, false, false), // 3607 is still a year
        ("ci-warn", false, false, false),
        ("new", true, true, false),
        ("payments", true, false, true),
        ("", false, false, false),
    ] {
        request["namespace"] = json!(namespace);
        let response = ask(&request, &settings);
        assert_eq!(response.accepted, accepted, "{namespace}: {:?}", response.message);
        assert_eq!(response.warnings.is_some(), warned, "{namespace}");
        assert_eq!(response.mutated_object.is_some(), mutated, "{namespace}");
        if namespace == "lab" {
            assert!(!response.message.unwrap().contains("86400 is over"), "the override's bound");
        }
    }
}

#[test]
fn token_requests() {
    let spec = |audiences: Value, seconds: Value, bound: Value| {
        let mut request = Captured::special("tokenrequest-default").request;
        request["object"]["spec"] = json!({
            "audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": bound,
        });
        request
    };
    let pod = json!({ "kind": "Pod", "name": "p" });
    let secret = json!({ "kind": "Secret", "name": "s" });
    let settings = json!({
        "maxExpirationSeconds": 7200,
        "audiences": [{ "audience": "vault", "maxExpirationSeconds": 600 }],
        "allowedAudiences": ["vault", "sts*"],
        "apiServer": { "audiences": ["own"] },
    });
    for (audiences, seconds, bound, expected) in [
        (json!([]), json!(7200), Value::Null, Ok(None)),
        (json!([]), json!(7201), Value::Null, Ok(Some(7200))),
        (json!([]), Value::Null, Value::Null, Ok(None)),
        (json!(["vault"]), Value::Null, Value::Null, Ok(Some(600))),
        (json!(["sts", "vault"]), json!(601), Value::Null, Ok(Some(600))),
        (json!(["sts"]), json!(601), Value::Null, Ok(None)),
        (json!(["sts", "x"]), json!(600), Value::Null, Err("spec.audiences[1]: \"x\" is not")),
        (json!([]), json!(3607), Value::Null, Ok(None)),
        (json!([]), json!(3607), secret, Ok(None)),
        (json!([]), json!(3607), pod.clone(), Ok(Some(7200))),
        (Value::Null, json!(3607), pod.clone(), Ok(Some(7200))),
        (json!(["own"]), json!(3607), pod.clone(), Ok(Some(7200))),
        (json!(["own", "sts"]), json!(3607), pod.clone(), Ok(None)),
        (json!([1]), json!(600), Value::Null, Err("spec.audiences[0]: is a number, not a string")),
        (json!([]), json!("1h"), pod, Err("spec.expirationSeconds: is \"1h\", not")),
    ] {
        let request = spec(audiences, seconds, bound);
        let response = ask(&request, &settings);
        match expected {
            Ok(lowered) => {
                let lowered = lowered.map(|to| ("/spec/expirationSeconds".to_owned(), json!(to)));
                let changes = changes(&request, &response);
                assert_eq!(changes, Vec::from_iter(lowered), "{}", request["object"]["spec"]);
            }
            Err(start) => {
                let message = response.message.unwrap_or_default();
                assert!(message.starts_with(start), "{message}");
            }
        }
    }
}

#[test]
fn csi_drivers() {
    let mut request = Captured::special("csidriver-create").request;
    let lifetime = |i| format!("/spec/tokenRequests/{i}/expirationSeconds");
    let response = ask(&request, &json!({ "maxExpirationSeconds": 600 }));
    let expected = [(lifetime(0), json!(600)), (lifetime(1), json!(600))];
    assert_eq!(changes(&request, &response), expected);

    let response = ask(&request, &json!({ "allowedAudiences": ["vault"] }));
    assert_eq!(path(rejection(&response)[0]), "spec.tokenRequests[0].expirationSeconds");
    assert_eq!(path(rejection(&response)[1]), "spec.tokenRequests[1].audience");

    request["object"]["spec"]["tokenRequests"] = json!([{ "expirationSeconds": 3607 }]);
    assert_eq!(changes(&request, &ask(&request, &json!({}))), [(lifetime(0), json!(3600))]);

    // An update that leaves the tokens alone goes through, in every mode.
    request["operation"] = json!("UPDATE");
    request["oldObject"] = request["object"].clone();
    request["object"]["metadata"]["labels"] = json!({ "new": "label" });
    assert!(ask(&request, &json!({ "mode": "reject" })).accepted);
    request["oldObject"]["spec"]["tokenRequests"] = json!([]);
    assert!(!ask(&request, &json!({ "mode": "reject" })).accepted);
}

#[test]
fn templates_that_change_are_looked_at() {
    let scale = Captured::special("deployment-update-scale").request;
    let reject = json!({ "mode": "reject" });
    assert!(ask(&scale, &reject).accepted);
    for (pointer, value, accepted) in [
        ("/object/metadata/labels", json!({ "a": "b" }), true),
        ("/object/spec/template/metadata/labels", json!({ "a": "c" }), false),
        ("/oldObject", Value::Null, false),
        ("/oldObject/spec", json!(1), false),
    ] {
        let mut request = scale.clone();
        match request.pointer_mut(pointer) {
            Some(member) => *member = value,
            None => request["object"]["metadata"]["labels"] = value,
        }
        assert_eq!(ask(&request, &reject).accepted, accepted, "{pointer}");
    }
}

#[test]
fn what_templates_can_not_have_mended_is_rejected_early() {
    let mut request = Captured::special("deployment-create-vault-day").request;
    let volumes = request["object"]["spec"]["template"]["spec"]["volumes"].as_array_mut();
    volumes.unwrap().push(json!({ "name": "o", "secret": { "secretName": "other-token-x7k2p" } }));
    let response = ask(&request, &json!({}));
    let lines = rejection(&response);
    assert_eq!(lines.len(), 1, "what the Pod's mutation mends is no error: {lines:?}");
    assert_eq!(path(lines[0]), "spec.template.spec.volumes[1].secret.secretName");
    request["object"]["spec"]["template"] = Value::Null;
    assert_eq!(rejection(&ask(&request, &json!({}))), ["spec.template: is missing"]);
    request["object"]["spec"] = json!([]);
    assert_eq!(rejection(&ask(&request, &json!({}))), ["spec: is a list, not an object"]);
}

#[test]
fn only_new_ephemeral_containers_are_looked_at() {
    let mut request = Captured::special("pod-update-ephemeral").request;
    let old = request["object"]["spec"]["ephemeralContainers"].clone();
    request["oldObject"]["spec"]["ephemeralContainers"] = old.clone();
    assert!(ask(&request, &json!({})).accepted);
    let mut added = old[0].clone();
    added["name"] = json!("dbg-2");
    request["object"]["spec"]["ephemeralContainers"] = json!([old[0], added]);
    let expected = "spec.ephemeralContainers[1].env[0].valueFrom.secretKeyRef.name";
    assert_eq!(path(rejection(&ask(&request, &json!({})))[0]), expected);
    request["oldObject"] = Value::Null;
    assert_eq!(rejection(&ask(&request, &json!({}))).len(), 2);
    request["object"]["spec"]["ephemeralContainers"] = json!({});
    let expected = "spec.ephemeralContainers: is an object, not a list";
    assert_eq!(rejection(&ask(&request, &json!({}))), [expected]);
}

#[test]
fn the_data_of_a_secret_is_in_no_answer() {
    let mut request = Captured::special("secret-create-legacy-token").request;
    request["object"]["data"] = json!({ "token": "c2VjcmV0LXRva2Vu" });
    for mode in ["mutate", "reject", "warn"] {
        let answer = bound_service_account_tokens::validate(
            payload(&request, &json!({ "mode": mode })).as_bytes(),
        );
        let answer = String::from_utf8(answer.unwrap()).unwrap();
        assert!(answer.contains("never expires") && !answer.contains("c2Vj"), "{answer}");
    }
    assert!(ask(&request, &json!({ "legacyTokens": { "rule": "Allow" } })).accepted);
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

/// The names in the policy's views are those of k8s-openapi's types: what these write, it reads.
/// Pods are compared in `tests/reference.rs`.
#[test]
fn objects_as_k8s_openapi_writes_them() {
    use k8s_openapi::api::{apps, authentication, batch, core, storage};

    let token = core::v1::ServiceAccountTokenProjection {
        expiration_seconds: Some(86400),
        ..Default::default()
    };
    let source =
        core::v1::VolumeProjection { service_account_token: Some(token), ..Default::default() };
    let projected =
        core::v1::ProjectedVolumeSource { sources: Some(vec![source]), ..Default::default() };
    let volume = core::v1::Volume { projected: Some(projected), ..Default::default() };
    let spec = core::v1::PodSpec { volumes: Some(vec![volume]), ..Default::default() };
    let template = core::v1::PodTemplateSpec { spec: Some(spec), ..Default::default() };
    let job = batch::v1::JobSpec { template: template.clone(), ..Default::default() };
    let deployment = apps::v1::DeploymentSpec { template: template.clone(), ..Default::default() };
    let cron_job = batch::v1::CronJobSpec {
        job_template: batch::v1::JobTemplateSpec { spec: Some(job.clone()), ..Default::default() },
        ..Default::default()
    };
    let pod_template = core::v1::PodTemplate { template: Some(template), ..Default::default() };
    let bound = authentication::v1::BoundObjectReference {
        kind: Some("Pod".to_owned()),
        ..Default::default()
    };
    let asked = authentication::v1::TokenRequestSpec {
        audiences: Some(vec!["own".to_owned()]),
        bound_object_ref: Some(bound),
        expiration_seconds: Some(3607),
    };
    let request =
        storage::v1::TokenRequest { audience: "vault".to_owned(), expiration_seconds: Some(86400) };
    let driver =
        storage::v1::CSIDriverSpec { token_requests: Some(vec![request]), ..Default::default() };
    let secret = core::v1::Secret {
        type_: Some("kubernetes.io/service-account-token".to_owned()),
        ..Default::default()
    };
    let job_path = LIFETIME.replace("spec.", "spec.template.spec.");
    let cron_path = LIFETIME.replace("spec.", "spec.jobTemplate.spec.template.spec.");
    let template_path = LIFETIME.replace("spec.", "template.spec.");
    for (group, kind, part, object, expected) in [
        ("apps", "Deployment", "", json!({ "spec": deployment }), &*job_path),
        ("batch", "Job", "", json!({ "spec": job }), &job_path),
        ("batch", "CronJob", "", json!({ "spec": cron_job }), &cron_path),
        ("", "PodTemplate", "", json!(pod_template), &template_path),
        (
            "authentication.k8s.io",
            "TokenRequest",
            "token",
            json!({ "spec": asked }),
            "spec.expirationSeconds",
        ),
        (
            "storage.k8s.io",
            "CSIDriver",
            "",
            json!({ "spec": driver }),
            "spec.tokenRequests[0].expirationSeconds",
        ),
        ("", "Secret", "", json!(secret), "type"),
    ] {
        let mut request = create(&object);
        request["kind"] = json!({ "group": group, "version": "v1", "kind": kind });
        request["subResource"] = json!(part);
        let settings = json!({
            "mode": "reject", "maxExpirationSeconds": 7200, "apiServer": { "audiences": ["own"] },
            "fsGroup": { "rule": "RunAsAny" },
        });
        let response = ask(&request, &settings);
        let paths: Vec<_> = rejection(&response).into_iter().map(path).collect();
        assert_eq!(paths, [expected], "{kind}");
    }
}
