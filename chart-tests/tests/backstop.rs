//! What the API server does alone is never more than what the policy would do: over steps, settings and
//! captured requests.

use chart_tests::admission;
use chart_tests::helm::{of_kind, policy, render, rendered};
use chart_tests::requests::{Captured, all_captured, ask, special};
use serde_json::{Value, json};
use std::cell::LazyCell;
use std::collections::BTreeSet;

/// Settings, and what each shows.
fn settings() -> Vec<(&'static str, Value)> {
    let day = 86_400;
    vec![
        ("none", json!({})),
        ("ten minutes", json!({ "maxExpirationSeconds": 600 })),
        (
            "a maximum between 3600 and 3607",
            json!({ "maxExpirationSeconds": 3605 }),
        ),
        ("two years", json!({ "maxExpirationSeconds": 63_072_000 })),
        (
            "it extends no tokens",
            json!({ "apiServer": { "extendsTokens": false } }),
        ),
        (
            "it extends no tokens, and ten minutes",
            json!({ "apiServer": { "extendsTokens": false }, "maxExpirationSeconds": 600 }),
        ),
        (
            "other maxima, one for a pattern",
            json!({ "audiences": [
                { "audience": "sts.amazonaws.com", "maxExpirationSeconds": day },
                { "audience": "vau*", "maxExpirationSeconds": 1200 },
                { "audience": "vault", "maxExpirationSeconds": day },
            ] }),
        ),
        (
            "a maximum for what is usually the API server's",
            json!({ "audiences": [{ "audience": "https://kubernetes.default.svc", "maxExpirationSeconds": 900 }] }),
        ),
        (
            "the API server's audiences are known",
            json!({ "apiServer": { "audiences": ["https://kubernetes.default.svc*"] } }),
        ),
        (
            "the API server's audiences are known, and have maxima",
            json!({
                "maxExpirationSeconds": 1800,
                "apiServer": { "audiences": ["https://kubernetes.default.svc*", "k3s"] },
                "audiences": [
                    { "audience": "k3s", "maxExpirationSeconds": 700 },
                    { "audience": "https://kubernetes.default.svc", "maxExpirationSeconds": 900 },
                ],
            }),
        ),
        (
            "an exempt namespace",
            json!({ "exemptNamespaces": ["pay*", "kserve"] }),
        ),
        (
            "exempt accounts",
            json!({ "exemptServiceAccounts": ["payments/default", "*/prometheus-k8s"] }),
        ),
        (
            "an opt-out",
            json!({ "optOutAnnotation": "tokens.example.com/exempt" }),
        ),
        (
            "overrides",
            json!({ "overrides": [
                { "namespaces": ["kserve"], "maxExpirationSeconds": day },
                { "namespaces": ["rook-*"], "mode": "warn" },
                { "namespaces": ["monitoring"], "mode": "reject", "maxExpirationSeconds": 900 },
            ] }),
        ),
        (
            "overrides that overlap, with `namespaces` as well",
            json!({ "overrides": [
                { "namespaces": ["payments", "kserve"], "maxExpirationSeconds": day },
                { "namespaces": ["pay*"], "mode": "warn", "maxExpirationSeconds": 600 },
                { "namespaces": ["*"], "maxExpirationSeconds": 1200 },
                { "namespaces": ["kserve"], "mode": "reject" },
            ] }),
        ),
        ("rejected, not fixed", json!({ "mode": "reject" })),
        (
            "legacy tokens are allowed",
            json!({ "legacyTokens": { "rule": "Allow" } }),
        ),
    ]
}

fn values(step: &str, settings: &Value) -> Value {
    json!({
        "step": step,
        "namespaces": ["default", "pay*", "monitoring"],
        "settings": settings,
        "tokenApi": { "people": { "enabled": true }, "nodes": { "enabled": true } },
        "secretsAndDrivers": { "enabled": true },
        "backstop": { "enabled": true, "tokenRequests": { "enabled": true } },
    })
}

/// What an expression of the backstop can name of a request: whoever differs in nothing of it gets the
/// same.
fn what_the_backstop_sees(request: &Value) -> String {
    let object = &request["object"];
    let spec = match request["kind"]["kind"].as_str() {
        Some("Pod") => json!([object["spec"]["serviceAccountName"], tokens(object)]),
        _ => json!([request["name"], object["spec"], object["type"]]),
    };
    let header = json!([
        request["kind"],
        request["subResource"],
        request["operation"],
        request["namespace"],
        request["userInfo"],
        object["metadata"]["annotations"],
    ]);
    format!("{header} {spec}")
}

/// The projected tokens of a Pod.
fn tokens(pod: &Value) -> Vec<&Value> {
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    let sources = volumes.flat_map(|volume| {
        volume["projected"]["sources"]
            .as_array()
            .into_iter()
            .flatten()
    });
    sources
        .map(|source| &source["serviceAccountToken"])
        .collect()
}

/// The captured requests, and some more: the same Pods in other namespaces, with other tokens, and token
/// requests of nodes and people.
fn requests() -> Vec<Captured> {
    let mut requests = all_captured();
    // What an admission policy of the chart selects; the audit scanner's request isn't an API server's.
    let selected = ["Pod", "TokenRequest", "Secret"];
    requests.retain(|it| {
        selected
            .iter()
            .any(|kind| it.request["kind"]["kind"] == *kind)
    });
    requests.retain(|it| !it.file.contains("audit-scanner"));
    // Most captured Pods have the injected token and no other: one of each kind will do.
    let mut seen = BTreeSet::new();
    requests.retain(|it| seen.insert(what_the_backstop_sees(&it.request)));
    for namespace in ["kserve", "rook-ceph", "monitoring", "kube-system", "other"] {
        for mut captured in [
            "pod-create-plain",
            "pod-create-vault-day",
            "tokenrequest-kubelet-3607",
        ]
        .map(|name| Captured {
            file: name.to_owned(),
            request: special(name),
        }) {
            captured.request["namespace"] = json!(namespace);
            captured.file = format!("{} in {namespace}", captured.file);
            requests.push(captured);
        }
    }
    for (audience, seconds) in [
        (json!("vault"), json!(1201)),
        (json!("vault"), json!(86_401)),
        (json!("sts.amazonaws.com"), json!(86_400)),
        (json!("https://kubernetes.default.svc"), json!(3600)),
        (json!("k3s"), json!(4_294_967_296_i64)),
        (Value::Null, Value::Null),
    ] {
        let mut request = special("pod-create-plain");
        let mut token = json!({ "path": "token" });
        for (field, value) in [("audience", &audience), ("expirationSeconds", &seconds)] {
            if !value.is_null() {
                token[field] = value.clone();
            }
        }
        let volumes = request["object"]["spec"]["volumes"].as_array_mut().unwrap();
        volumes.push(json!({ "name": "empty", "projected": { "sources": null } }));
        volumes.push(json!({ "name": "t", "projected": { "sources": [
            { "configMap": { "name": "ca" } }, { "serviceAccountToken": token },
        ] } }));
        requests.push(Captured {
            file: format!("{audience} {seconds}"),
            request,
        });
    }
    for (user, groups) in [
        ("system:node:worker", json!(["system:nodes"])),
        ("alex", json!([])),
        ("system:node:alex", Value::Null),
    ] {
        for (audiences, seconds) in [
            (Value::Null, 3607),
            (json!([]), 86_400),
            (json!(["vault"]), 3600),
            (json!(["vault"]), 90_000),
            (json!(["sts.amazonaws.com", "vault"]), 31_536_000),
        ] {
            let mut request = special("tokenrequest-kubelet-3607");
            request["userInfo"] = json!({ "username": user, "groups": groups });
            if groups.is_null() {
                request["userInfo"]
                    .as_object_mut()
                    .unwrap()
                    .remove("groups");
            }
            request["object"]["spec"]["audiences"] = audiences.clone();
            request["object"]["spec"]["expirationSeconds"] = json!(seconds);
            requests.push(Captured {
                file: format!("{user}: {audiences} {seconds}"),
                request,
            });
        }
    }
    requests
}

/// The lifetimes in a Pod or TokenRequest, with their paths.
fn lifetimes(object: &Value) -> Vec<(String, Value)> {
    if object["kind"] == "TokenRequest" {
        return vec![(
            "spec".to_owned(),
            object["spec"]["expirationSeconds"].clone(),
        )];
    }
    let mut found = Vec::new();
    let volumes = object["spec"]["volumes"].as_array().into_iter().flatten();
    for (i, volume) in volumes.enumerate() {
        let sources = volume["projected"]["sources"]
            .as_array()
            .into_iter()
            .flatten();
        for (j, source) in sources.enumerate() {
            let token = &source["serviceAccountToken"];
            if token.is_object() {
                found.push((format!("{i} {j}"), token["expirationSeconds"].clone()));
            }
        }
    }
    found
}

/// What the policies of the release make of a request: the object, or what they say against it.
fn judge(objects: &[Value], request: &Value) -> Result<Value, String> {
    let mut request = request.clone();
    let policies = of_kind(objects, "ClusterAdmissionPolicy");
    for mutating in [true, false] {
        for policy in policies
            .iter()
            .filter(|policy| policy["spec"]["mutating"] == mutating)
        {
            if !admission::asks(policy, &request).unwrap() {
                continue;
            }
            let answer = ask(&request, &policy["spec"]["settings"]);
            if answer["accepted"] != true {
                return Err(answer["message"].as_str().unwrap_or_default().to_owned());
            }
            if !answer["mutated_object"].is_null() {
                request["object"] = answer["mutated_object"].clone();
            }
        }
    }
    Ok(request["object"].take())
}

#[test]
fn the_backstop_never_changes_or_refuses_more_than_the_policy() {
    let requests = requests();
    let mut changed = 0;
    let mut refused = 0;
    for (case, settings) in settings() {
        for step in ["see", "mutate", "enforce"] {
            let objects = rendered(&values(step, &settings));
            for captured in &requests {
                let case = format!("{case}, {step}, {}", captured.file);
                let object = admission::mutate(&objects, &captured.request).expect(&case);
                let judged = LazyCell::new(|| judge(&objects, &captured.request));
                if object != captured.request["object"] {
                    assert_changes_are_the_policys(
                        &case,
                        &captured.request["object"],
                        &object,
                        &judged,
                    );
                    changed += 1;
                }
                let mut request = captured.request.clone();
                request["object"] = object;
                let failed = admission::failed(&objects, &request).expect(&case);
                for (name, _) in failed
                    .iter()
                    .filter(|(_, actions)| actions.contains(&"Deny"))
                {
                    assert!(
                        judged.is_err(),
                        "{case}: {name} refuses what the policy admits"
                    );
                    refused += 1;
                }
            }
        }
    }
    assert!(changed > 1000, "{changed} changes");
    assert!(refused > 20, "{refused} refusals");
}

/// Each changed lifetime is the one that the policy sets, and nothing else changed.
fn assert_changes_are_the_policys(
    case: &str,
    old: &Value,
    new: &Value,
    judged: &Result<Value, String>,
) {
    let before = lifetimes(old);
    let after = lifetimes(new);
    assert_eq!(before.len(), after.len(), "{case}");
    if let Ok(judged) = judged {
        let expected = lifetimes(judged);
        for ((old, new), expected) in before.iter().zip(&after).zip(&expected) {
            assert!(
                old == new || new == expected,
                "{case}: {old:?} {new:?}, the policy: {expected:?}"
            );
        }
    }
    let mut restored = new.clone();
    for (path, seconds) in before {
        let place = match path.split_once(' ') {
            Some((i, j)) => format!("/spec/volumes/{i}/projected/sources/{j}/serviceAccountToken"),
            None => "/spec".to_owned(),
        };
        let token = restored
            .pointer_mut(&place)
            .unwrap()
            .as_object_mut()
            .unwrap();
        match seconds {
            Value::Null => token.remove("expirationSeconds"),
            seconds => token.insert("expirationSeconds".to_owned(), seconds),
        };
    }
    assert_eq!(&restored, old, "{case}");
}

#[test]
fn the_backstop_grants_what_the_policy_would() {
    // Where nothing stands against it, all lifetimes are the policy's, not just those that changed.
    let mut same = 0;
    for (case, settings) in settings() {
        let extends = settings["apiServer"]["extendsTokens"] != false;
        let objects = rendered(&values("enforce", &settings));
        for captured in requests() {
            let Ok(judged) = judge(&objects, &captured.request) else {
                continue;
            };
            let object = admission::mutate(&objects, &captured.request).unwrap();
            let found = lifetimes(&object);
            // A converted legacy volume brings a token that the backstop doesn't know.
            let expected: Vec<_> = lifetimes(&judged)
                .into_iter()
                .filter(|(path, _)| found.iter().any(|it| it.0 == *path))
                .collect();
            for (found, expected) in found.iter().zip(&expected) {
                let is_left = !extends && found.1 == 3607;
                assert!(
                    is_left || found == expected,
                    "{case}, {}: {found:?}, the policy: {expected:?}",
                    captured.file
                );
                same += 1;
            }
        }
    }
    assert!(same > 1000, "{same} lifetimes");
}

#[test]
fn a_kubelet_gets_its_3607_whatever_happens() {
    for (case, settings) in settings() {
        for step in ["see", "mutate", "enforce"] {
            let objects = rendered(&values(step, &settings));
            let mut request = special("tokenrequest-kubelet-3607");
            request["userInfo"] =
                json!({ "username": "system:node:worker", "groups": ["system:nodes"] });
            for audiences in [
                Value::Null,
                json!(["https://kubernetes.default.svc", "k3s"]),
            ] {
                request["object"]["spec"]["audiences"] = audiences;
                let failed = admission::failed(&objects, &request).unwrap();
                assert_eq!(failed, [], "{case} {step}");
            }
        }
    }
}

#[test]
fn token_requests_have_a_switch_of_their_own() {
    let mut values = values("enforce", &json!({}));
    values["backstop"]["tokenRequests"]["enabled"] = json!(false);
    let objects = rendered(&values);
    let request = special("tokenrequest-kubelet-3607");
    assert_eq!(
        admission::mutate(&objects, &request).unwrap(),
        request["object"]
    );
    let pod = special("pod-create-plain");
    assert_ne!(admission::mutate(&objects, &pod).unwrap(), pod["object"]);
}

#[test]
fn it_refuses_what_a_later_webhook_changed_back() {
    let objects = rendered(&values("enforce", &json!({})));
    for (name, pointer, seconds) in [
        (
            "pod-create-plain",
            "/object/spec/volumes/0/projected/sources/0/serviceAccountToken",
            3607,
        ),
        (
            "pod-create-plain",
            "/object/spec/volumes/0/projected/sources/0/serviceAccountToken",
            86_400,
        ),
        ("tokenrequest-default", "/object/spec", 31_536_000),
    ] {
        let mut request = special(name);
        request["object"] = admission::mutate(&objects, &request).unwrap();
        assert_eq!(admission::failed(&objects, &request).unwrap(), [], "{name}");
        request.pointer_mut(pointer).unwrap()["expirationSeconds"] = json!(seconds);
        let failed = admission::failed(&objects, &request).unwrap();
        assert_eq!(failed.len(), 1, "{name} {seconds}: {failed:?}");
        assert_eq!(failed[0].1, ["Deny"], "{name}");
    }
    let secret = special("secret-create-legacy-token");
    assert_eq!(admission::failed(&objects, &secret).unwrap().len(), 1);
}

#[test]
fn it_is_off_until_it_is_switched_on() {
    for step in ["see", "enforce"] {
        let objects = rendered(&json!({ "step": step }));
        assert!(of_kind(&objects, "MutatingAdmissionPolicy").is_empty());
        assert_eq!(
            of_kind(&objects, "ValidatingAdmissionPolicy").len(),
            1,
            "the guard"
        );
    }
    assert!(render(&json!({ "backstop": { "tokenRequests": { "enable": true } } })).is_err());
    let objects = rendered(&values("enforce", &json!({})));
    assert_eq!(of_kind(&objects, "MutatingAdmissionPolicy").len(), 3);
    assert!(policy(&objects, "")["spec"]["rules"].is_array());
}
