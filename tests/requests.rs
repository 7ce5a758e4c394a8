//! Whole requests: what the policy answers whatever the rules say.

mod common;

use common::{Captured, ask, ask_text, create, path, payload, pod, rejection, token_volume};
use serde_json::{Value, json};

/// A Pod whose token lives for a day.
fn day() -> Value {
    pod(&json!({ "volumes": [token_volume("t", &json!("v"), &json!(86400))] }))
}

#[test]
fn special_requests_in_each_mode() {
    for (name, in_mutate, in_reject) in [
        ("pod-create-plain", "mutated", "rejected"),
        ("pod-create-for-token", "mutated", "rejected"),
        ("pod-create-generate-name", "mutated", "rejected"),
        ("pod-create-vault-day", "mutated", "rejected"),
        ("pod-create-default-expiration", "mutated", "rejected"),
        ("pod-create-fsgroup-root", "mutated", "rejected"),
        ("pod-create-windows", "mutated", "rejected"),
        ("pod-create-nonroot-pvc", "mutated", "rejected"),
        ("pod-create-no-automount", "accepted", "accepted"),
        ("pod-create-mirror", "accepted", "accepted"),
        ("pod-create-legacy-secret-volume", "mutated", "rejected"),
        (
            "pod-create-legacy-secret-other-account",
            "rejected",
            "rejected",
        ),
        ("pod-create-legacy-secret-projected", "rejected", "rejected"),
        ("pod-create-legacy-secret-env", "rejected", "rejected"),
        ("pod-update-ephemeral", "rejected", "rejected"),
        ("pod-update-labels", "accepted", "accepted"),
        ("pod-delete", "accepted", "accepted"),
        ("deployment-create-vault-day", "accepted", "rejected"),
        ("cronjob-create-vault-day", "accepted", "rejected"),
        ("podtemplate-create", "accepted", "rejected"),
        ("deployment-update-scale", "accepted", "accepted"),
        ("tokenrequest-default", "accepted", "accepted"),
        ("tokenrequest-kubelet-3607", "mutated", "rejected"),
        ("csidriver-create", "rejected", "rejected"),
        ("secret-create-legacy-token", "rejected", "rejected"),
        ("secret-create-opaque", "accepted", "accepted"),
    ] {
        let request = Captured::special(name).request;
        for (mode, expected) in [
            ("mutate", in_mutate),
            ("reject", in_reject),
            ("warn", "accepted"),
        ] {
            let response = ask(&request, &json!({ "mode": mode }));
            let verdict = match (response.accepted, &response.mutated_object) {
                (true, Some(_)) => "mutated",
                (true, None) => "accepted",
                (false, _) => "rejected",
            };
            assert_eq!(
                verdict, expected,
                "{name} in {mode} mode: {:?}",
                response.message
            );
            let is_warned = response.warnings.is_some();
            assert!(
                mode != "warn" || in_reject == "accepted" || is_warned,
                "{name}: no warning"
            );
        }
    }
}

#[test]
fn what_can_not_be_decoded_is_told_with_its_path() {
    const LIFETIME: &str =
        "spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: ";
    let token = |seconds: Value| json!({ "volumes": [token_volume("t", &json!("v"), &seconds)] });
    let large: Value = serde_json::from_str("10000000000000000000").unwrap();
    for (name, object, path) in [
        ("null", Value::Null, "object: "),
        ("an array for the object", json!([]), "object: "),
        ("no spec", json!({ "metadata": {} }), "spec: "),
        ("text for the spec", json!({ "spec": "" }), "spec: "),
        (
            "an object for a list",
            pod(&json!({ "volumes": {} })),
            "spec.volumes: ",
        ),
        (
            "text in a list",
            pod(&json!({ "volumes": ["v"] })),
            "spec.volumes[0]: ",
        ),
        (
            "a number for a name",
            pod(&json!({ "volumes": [{ "name": 1 }] })),
            "spec.volumes[0].name: ",
        ),
        ("text for a number", pod(&token(json!("3600"))), LIFETIME),
        ("a fraction", pod(&token(json!(3600.5))), LIFETIME),
        ("a number that is too large", pod(&token(large)), LIFETIME),
        (
            "an array for an object",
            pod(&json!({ "securityContext": [] })),
            "spec.securityContext: ",
        ),
    ] {
        for mode in ["mutate", "reject", "warn"] {
            let response = ask(&create(&object), &json!({ "mode": mode }));
            // Mode `warn` rejects nothing.
            let line = if mode == "warn" {
                assert!(response.accepted, "{name}: {response:?}");
                response.warnings.as_ref().unwrap()[0].clone()
            } else {
                rejection(&response)[0].to_owned()
            };
            assert!(line.starts_with(path), "{name}: {line}, not {path}");
            assert_eq!(
                response.audit_annotations.as_ref().unwrap()["rules"],
                "decode",
                "{name}"
            );
        }
    }
}

/// An exempt namespace is left alone before its object is decoded.
#[test]
fn what_is_in_an_exempt_namespace_is_never_decoded() {
    let settings = json!({ "exemptNamespaces": ["payments"], "mode": "reject" });
    for object in [
        json!({ "spec": { "volumes": {} } }),
        json!([]),
        Value::Null,
        day(),
    ] {
        let response = ask(&create(&object), &settings);
        assert!(
            response.accepted && response.warnings.is_none(),
            "{object}: {response:?}"
        );
    }
}

/// A field that no type has, or that another type has, is none of the policy's business.
#[test]
fn fields_of_other_types_are_not_looked_at() {
    for (name, volume) in [
        (
            "a null source beside another",
            json!({ "csi": null, "persistentVolumeClaim": { "claimName": "c" } }),
        ),
        (
            "a field that the source hasn't",
            json!({ "persistentVolumeClaim": { "items": 1, "name": [] } }),
        ),
        (
            "a source of tomorrow",
            json!({ "later": { "sources": {}, "defaultMode": "x" } }),
        ),
    ] {
        let mut volume = volume;
        volume["name"] = json!("v");
        let object = pod(&json!({ "volumes": [volume] }));
        assert!(
            ask(&create(&object), &json!({ "mode": "reject" })).accepted,
            "{name}"
        );
    }
}

/// Kueue and JobSet take back what they wrote into a Job's template.
#[test]
fn the_update_of_a_job_is_accepted() {
    let template = |spec: Value| json!({ "spec": { "template": { "spec": spec } } });
    let token = template(json!({ "volumes": [token_volume("t", &json!("v"), &json!(86400))] }));
    for (kind, accepted) in [("Job", true), ("Deployment", false)] {
        let group = if kind == "Job" { "batch" } else { "apps" };
        let request = json!({
            "kind": { "group": group, "version": "v1", "kind": kind },
            "operation": "UPDATE", "subResource": "", "namespace": "payments", "name": "app",
            "object": token, "oldObject": template(json!({ "volumes": [] })),
        });
        assert_eq!(
            ask(&request, &json!({ "mode": "reject" })).accepted,
            accepted,
            "{kind}"
        );
    }
}

/// The audit log at level Metadata says nothing of a TokenRequest.
#[test]
fn requests_for_tokens_leave_audit_annotations() {
    let person = json!({ "username": "alex", "groups": ["dev"] });
    let node = json!({ "username": "system:node:a", "groups": ["system:nodes"] });
    let pod = json!({ "kind": "Pod", "name": "app-1" });
    for (name, user, spec, settings, expected) in [
        (
            "shortened",
            &person,
            json!({ "expirationSeconds": 86400, "audiences": ["vault"], "boundObjectRef": pod }),
            json!({}),
            Some(["86400", "3600", "\"vault\"", "Pod app-1"]),
        ),
        (
            "plain",
            &person,
            json!({}),
            json!({}),
            Some(["3600", "3600", "the API server's own", "nothing"]),
        ),
        (
            "a year",
            &person,
            json!({ "expirationSeconds": 3607, "boundObjectRef": pod }),
            json!({ "mode": "warn" }),
            Some(["3607", "31536000", "the API server's own", "Pod app-1"]),
        ),
        (
            "rejected",
            &person,
            json!({ "expirationSeconds": 86400 }),
            json!({ "mode": "reject" }),
            Some(["86400", "", "the API server's own", "nothing"]),
        ),
        (
            "an exempt account",
            &person,
            json!({ "expirationSeconds": 86400 }),
            json!({ "exemptServiceAccounts": ["*/app"] }),
            Some(["86400", "86400", "the API server's own", "nothing"]),
        ),
        (
            "a node's",
            &node,
            json!({ "expirationSeconds": 86400 }),
            json!({}),
            None,
        ),
    ] {
        let request = json!({
            "kind": { "group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest" },
            "operation": "CREATE", "subResource": "token", "namespace": "payments", "name": "app",
            "userInfo": user, "object": { "spec": spec },
        });
        let annotations = ask(&request, &settings)
            .audit_annotations
            .unwrap_or_default();
        let keys = [
            "token-seconds-asked",
            "token-seconds-granted",
            "token-audiences",
            "token-bound-to",
        ];
        let found = keys.map(|key| annotations.get(key).map_or("", String::as_str));
        assert_eq!(found, expected.unwrap_or([""; 4]), "{name}");
    }
}

#[test]
fn payloads_that_are_no_request_are_rejected() {
    let valid = payload(&create(&pod(&json!({}))), &json!({}));
    let twice = valid.replace("\"spec\":{}", "\"spec\":{},\"spec\":{}");
    for (name, payload, expected) in [
        ("nothing", "", "request: "),
        ("no JSON", "nonsense", "request: "),
        ("a part", &valid[..valid.len() - 2], "request: "),
        ("a list", "[]", ""),
        ("no request", "{}", ""),
        (
            "an empty request",
            r#"{"request":{}}"#,
            "request.kind: Required value",
        ),
        (
            "text for the kind",
            r#"{"request":{"kind":"Pod","operation":"CREATE"}}"#,
            "request.kind: ",
        ),
        ("a duplicate", &twice, "spec: "),
    ] {
        let response = ask_text(payload.as_bytes());
        assert!(
            rejection(&response)[0].starts_with(expected),
            "{name}: {:?}",
            response.message
        );
    }
    assert!(!ask_text(b"{\"request\":\"\xff\"}").accepted, "not UTF-8");
    assert!(ask_text(valid.as_bytes()).accepted);
}

#[test]
fn requests_that_no_rule_is_about_are_accepted() {
    for (pointer, value) in [
        ("/operation", json!("UPDATE")),
        ("/operation", json!("DELETE")),
        ("/kind/group", json!("example.com")),
        ("/kind/kind", json!("ConfigMap")),
        ("/subResource", json!("status")),
    ] {
        for object in [day(), json!({ "spec": 1 }), json!([])] {
            let mut request = create(&object);
            request["subResource"] = json!("");
            *request.pointer_mut(pointer).unwrap() = value.clone();
            let response = ask(&request, &json!({ "mode": "reject" }));
            assert!(
                response.accepted,
                "{pointer} {value}: {:?}",
                response.message
            );
        }
    }
}

#[test]
fn the_order_of_fields_does_not_matter() {
    let object = day();
    let header = r#""kind":{"group":"","kind":"Pod"},"operation":"CREATE""#;
    let settings = r#"{"mode":"mutate"}"#;
    for payload in [
        format!(r#"{{"request":{{{header},"object":{object}}},"settings":{settings}}}"#),
        format!(r#"{{"settings":{settings},"request":{{"object":{object},{header}}}}}"#),
        format!(r#"{{"settings":{settings},"request":{{"obj\u0065ct":{object},{header}}}}}"#),
    ] {
        assert!(
            ask_text(payload.as_bytes()).mutated_object.is_some(),
            "{payload}"
        );
    }
}

#[test]
fn namespaces_and_service_accounts_that_are_exempt() {
    let mut request = create(&day());
    request["namespace"] = json!("payments");
    request["object"]["spec"]["serviceAccountName"] = json!("builder");
    request["object"]["metadata"]["namespace"] = json!("kube-system");
    for (name, settings, accepted) in [
        (
            "the namespace",
            json!({ "exemptNamespaces": ["a", "pay*"] }),
            true,
        ),
        (
            "the object's own namespace",
            json!({ "exemptNamespaces": ["kube-system"] }),
            false,
        ),
        (
            "the account",
            json!({ "exemptServiceAccounts": ["payments/builder"] }),
            true,
        ),
        (
            "the account elsewhere",
            json!({ "exemptServiceAccounts": ["other/builder"] }),
            false,
        ),
        (
            "another account",
            json!({ "exemptServiceAccounts": ["payments/Builder"] }),
            false,
        ),
    ] {
        let mut settings = settings;
        settings["mode"] = json!("reject");
        assert_eq!(ask(&request, &settings).accepted, accepted, "{name}");
    }
}

/// The update of a token Secret, from one account's to another's.
fn update_of_token_secret(old_account: &str, account: &str) -> Value {
    let secret = |account: &str, token: &str| {
        json!({
            "type": "kubernetes.io/service-account-token",
            "metadata": {
                "name": "old", "annotations": { "kubernetes.io/service-account.name": account },
            },
            "data": { "token": token },
        })
    };
    json!({
        "uid": "1", "kind": { "group": "", "version": "v1", "kind": "Secret" },
        "operation": "UPDATE", "namespace": "payments", "name": "old",
        "userInfo": { "username": "alex" },
        "object": secret(account, "bmV3LXNlY3JldA=="),
        "oldObject": secret(old_account, "b2xkLXNlY3JldA=="),
    })
}

#[test]
fn a_secret_is_exempt_before_and_after() {
    let settings = json!({ "exemptServiceAccounts": ["payments/exempt"] });
    for (old_account, account, accepted) in [
        ("exempt", "exempt", true),
        ("exempt", "builder", false),
        ("builder", "exempt", false),
        ("builder", "builder", false),
    ] {
        let request = update_of_token_secret(old_account, account);
        let response = ask(&request, &settings);
        assert_eq!(response.accepted, accepted, "{old_account} to {account}");
    }
}

#[test]
fn no_answer_tells_the_data_of_a_secret() {
    let request = update_of_token_secret("builder", "deployer");
    for mode in ["mutate", "reject", "warn"] {
        let response = ask(&request, &json!({ "mode": mode }));
        let answer = serde_json::to_string(&response).unwrap();
        assert!(answer.contains("data[token]"), "{mode}: {answer}");
        for data in [
            "bmV3LXNlY3JldA",
            "b2xkLXNlY3JldA",
            "new-secret",
            "old-secret",
        ] {
            assert!(!answer.contains(data), "{mode}: {answer}");
        }
    }
}

#[test]
fn objects_that_opt_out() {
    let settings = json!({ "mode": "reject", "optOutAnnotation": "tokens.example.com/exempt" });
    for (value, accepted) in [
        (json!("true"), true),
        (json!("True"), false),
        (json!(true), false),
    ] {
        let mut request = create(&day());
        request["object"]["metadata"]["annotations"] =
            json!({ "tokens.example.com/exempt": value });
        let response = ask(&request, &settings);
        assert_eq!(response.accepted, accepted, "{value}");
        assert!(
            !accepted
                || response
                    .warnings
                    .is_some_and(|warnings| warnings.len() == 1)
        );
        assert!(
            !ask(&request, &json!({ "mode": "reject" })).accepted,
            "not without the setting"
        );
    }
}

/// The scanner asks about objects that exist: the answer says what will happen to the next one.
#[test]
fn what_an_audit_foretells() {
    let env = json!({ "secretKeyRef": { "name": "builder-token-x7k2p", "key": "token" } });
    let env = json!([{ "name": "TOKEN", "valueFrom": env }]);
    let disk = json!({ "name": "disk", "persistentVolumeClaim": { "claimName": "c" } });
    let mounts = json!([{ "name": "t", "mountPath": "/t" }, { "name": "disk", "mountPath": "/d" }]);
    let day = &day()["spec"]["volumes"][0];
    let plain = json!({ "volumes": [day] });
    let with_env = json!({ "containers": [{ "name": "c", "env": env }] });
    let with_disk = json!({
        "volumes": [day, disk], "containers": [{ "name": "c", "volumeMounts": mounts }],
    });
    for (name, spec, mode, expected) in [
        ("a long token", &plain, "mutate", "mode mutate: fixed]"),
        ("a long token", &plain, "warn", "mode mutate: fixed]"),
        ("a long token", &plain, "reject", "mode reject: rejected]"),
        (
            "an old token",
            &with_env,
            "mutate",
            "mode mutate: rejected]",
        ),
        (
            "a disk",
            &with_disk,
            "mutate",
            "mode mutate: left alone, since it would change",
        ),
    ] {
        let mut request = create(&pod(spec));
        request["object"]["metadata"]["uid"] = request["uid"].clone();
        let response = ask(&request, &json!({ "mode": mode }));
        let lines = rejection(&response);
        let is_told = lines
            .iter()
            .any(|line| line.contains(&format!(" [created again, in {expected}")));
        assert!(is_told, "{name} in {mode}: {lines:#?}");
    }
}

#[test]
fn violations_are_sorted_by_their_paths() {
    let env = json!({ "secretKeyRef": { "name": "builder-token-x7k2p", "key": "token" } });
    let mut object = day();
    object["spec"]["containers"] =
        json!([{ "name": "c", "env": [{ "name": "TOKEN", "valueFrom": env }] }]);
    // The rule for audiences comes before that for legacy tokens.
    let settings = json!({
        "mode": "reject", "allowedAudiences": [], "maxExpirationSeconds": 86400,
        "fsGroup": { "rule": "RunAsAny" },
    });
    let response = ask(&create(&object), &settings);
    let paths: Vec<_> = rejection(&response).into_iter().map(path).collect();
    assert_eq!(
        paths,
        [
            "spec.containers[0].env[0].valueFrom.secretKeyRef.name",
            "spec.volumes[0].projected.sources[0].serviceAccountToken.audience",
        ]
    );
}

/// A template speaks for its Pods, a workload's own annotations don't.
#[test]
fn templates_that_opt_out() {
    let settings = json!({ "mode": "reject", "optOutAnnotation": "tokens.example.com/exempt" });
    let annotations = json!({ "tokens.example.com/exempt": "true" });
    for (pointer, accepted) in [("/spec/template/metadata", true), ("/metadata", false)] {
        let template = json!({ "metadata": {}, "spec": day()["spec"] });
        let mut object = json!({ "metadata": {}, "spec": { "template": template } });
        object.pointer_mut(pointer).unwrap()["annotations"] = annotations.clone();
        let request = json!({
            "kind": { "group": "apps", "version": "v1", "kind": "Deployment" },
            "operation": "CREATE", "namespace": "payments", "object": object,
        });
        let response = ask(&request, &settings);
        assert_eq!(response.accepted, accepted, "{pointer}");
        let warnings = response.warnings.unwrap_or_default();
        let path = "spec.template.metadata.annotations[tokens.example.com/exempt]: ";
        let is_told = warnings.iter().any(|warning| warning.starts_with(path));
        assert_eq!(is_told, accepted, "{pointer}: {warnings:?}");
    }
}

#[test]
fn what_is_no_pod_cannot_opt_out() {
    let settings = json!({ "mode": "reject", "optOutAnnotation": "tokens.example.com/exempt" });
    let token = json!({ "audience": "a", "expirationSeconds": 86400 });
    for (group, kind, sub_resource, mut object) in [
        (
            "",
            "Secret",
            "",
            json!({ "type": "kubernetes.io/service-account-token" }),
        ),
        (
            "authentication.k8s.io",
            "TokenRequest",
            "token",
            json!({ "spec": token }),
        ),
        (
            "storage.k8s.io",
            "CSIDriver",
            "",
            json!({ "spec": { "tokenRequests": [token] } }),
        ),
    ] {
        object["metadata"] = json!({ "annotations": { "tokens.example.com/exempt": "true" } });
        let request = json!({
            "kind": { "group": group, "version": "v1", "kind": kind },
            "operation": "CREATE", "subResource": sub_resource, "namespace": "payments",
            "name": "app", "object": object,
        });
        assert!(!ask(&request, &settings).accepted, "{kind}");
    }
}

#[test]
fn only_the_existing_pod_takes_its_new_containers_out() {
    let settings = json!({
        "exemptServiceAccounts": ["payments/ci"], "optOutAnnotation": "tokens.example.com/exempt",
    });
    let annotations = json!({ "annotations": { "tokens.example.com/exempt": "true" } });
    for (name, pointer, value) in [
        ("the account", "/spec/serviceAccountName", json!("ci")),
        ("the annotation", "/metadata", annotations),
    ] {
        for (object, accepted) in [("object", false), ("oldObject", true)] {
            let mut request = Captured::special("pod-update-ephemeral").request;
            *request[object].pointer_mut(pointer).unwrap() = value.clone();
            assert_eq!(
                ask(&request, &settings).accepted,
                accepted,
                "{name} of {object}"
            );
        }
    }
    let mut request = Captured::special("pod-update-ephemeral").request;
    request["oldObject"]["spec"] = json!([]);
    let response = ask(&request, &settings);
    assert!(
        rejection(&response)[0].starts_with("oldObject.spec: Invalid value: "),
        "{response:?}"
    );
}

#[test]
fn overrides_are_for_their_namespaces() {
    let mut request = create(&day());
    request["object"]["spec"]["securityContext"] = json!({ "fsGroup": 1 });
    let settings = json!({ "mode": "reject", "overrides": [
        { "namespaces": ["ci-*"], "maxExpirationSeconds": 86400 },
        { "namespaces": ["team"], "mode": "warn" },
    ] });
    for (namespace, accepted) in [("ci-1", true), ("team", true), ("payments", false)] {
        request["namespace"] = json!(namespace);
        assert_eq!(ask(&request, &settings).accepted, accepted, "{namespace}");
    }
}

#[test]
fn wrong_settings_reject_what_a_rule_is_about() {
    for settings in [
        json!([]),
        json!({ "mode": "mutat" }),
        json!({ "maxExpirationSeconds": 3607 }),
    ] {
        let response = ask(&create(&day()), &settings);
        assert!(
            rejection(&response)[0].starts_with("settings: "),
            "{settings}: {:?}",
            response.message
        );
    }
}
