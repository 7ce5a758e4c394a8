//! The values are refused where the policy would refuse its settings, and nowhere else.

use chart_tests::helm::render;
use chart_tests::requests::refusal;
use chart_tests::root;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Settings of the schema that src/ doesn't know yet. Empty this list when it does: their rows in the
/// table below count from then on.
const NOT_IN_THE_POLICY_YET: &[&str] = &[];

fn schema() -> Value {
    let text = std::fs::read_to_string(root().join("chart/values.schema.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The members that the settings know at a place, as the program lists them for an unknown one.
fn members(place: fn(Value) -> Value) -> BTreeSet<String> {
    let message = refusal(&place(json!({ "nonsense": 1 }))).expect("an unknown setting is refused");
    let known = message
        .split("expected")
        .nth(1)
        .unwrap_or_else(|| panic!("{message}"));
    known
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// A section of the schema, and settings with something in it.
type Place = (&'static str, fn(Value) -> Value);

#[test]
fn the_schema_has_every_setting_and_no_other() {
    let schema = &schema()["properties"]["settings"];
    let places: [Place; 7] = [
        ("", |it| it),
        ("/properties/apiServer", |it| json!({ "apiServer": it })),
        (
            "/properties/legacyTokens",
            |it| json!({ "legacyTokens": it }),
        ),
        ("/properties/fsGroup", |it| json!({ "fsGroup": it })),
        (
            "/properties/audiences/items",
            |it| json!({ "audiences": [it] }),
        ),
        (
            "/properties/fsGroup/properties/ranges/items",
            |it| json!({ "fsGroup": { "ranges": [it] } }),
        ),
        (
            "/properties/overrides/items",
            |it| json!({ "overrides": [it] }),
        ),
    ];
    for (path, place) in places {
        let section = schema.pointer(path).unwrap_or_else(|| panic!("{path}"));
        assert_eq!(section["additionalProperties"], false, "{path}");
        let found: BTreeSet<_> = section["properties"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        let mut expected = members(place);
        if path.is_empty() {
            for setting in NOT_IN_THE_POLICY_YET {
                assert!(
                    expected.insert((*setting).to_owned()),
                    "{setting}: src/ knows it now"
                );
            }
        }
        assert_eq!(found, expected, "{path}");
    }
}

/// Settings, and whether they are valid.
type Case = (Value, bool);

fn cases() -> Vec<Case> {
    [modes_and_maxima(), audiences(), groups(), exceptions()].concat()
}

fn modes_and_maxima() -> Vec<Case> {
    vec![
        (json!({}), true),
        (Value::Null, true),
        (json!({ "nonsense": 1 }), false),
        (json!({ "mode": "mutate" }), true),
        (json!({ "mode": "reject" }), true),
        (json!({ "mode": "warn" }), true),
        (json!({ "mode": "Warn" }), false),
        (json!({ "mode": "monitor" }), false),
        (json!({ "mode": "" }), true),
        (json!({ "mode": null }), true),
        (json!({ "mode": 1 }), false),
        (json!({ "maxExpirationSeconds": 600 }), true),
        (json!({ "maxExpirationSeconds": 599 }), false),
        (json!({ "maxExpirationSeconds": 4_294_967_296_i64 }), true),
        (json!({ "maxExpirationSeconds": 4_294_967_297_i64 }), false),
        (json!({ "maxExpirationSeconds": 3607 }), false),
        (
            json!({ "maxExpirationSeconds": 3607, "apiServer": { "extendsTokens": true } }),
            false,
        ),
        (
            json!({ "maxExpirationSeconds": 3607, "apiServer": { "extendsTokens": false } }),
            true,
        ),
        (
            json!({ "maxExpirationSeconds": 3607, "apiServer": { "extendsTokens": "" } }),
            false,
        ),
        (json!({ "maxExpirationSeconds": "3600" }), false),
        (json!({ "maxExpirationSeconds": "" }), true),
        (json!({ "maxExpirationSeconds": 3600.5 }), false),
        (json!({ "maxExpirationSeconds": true }), false),
    ]
}

fn audiences() -> Vec<Case> {
    let audience = |seconds: Value| json!({ "audiences": [{ "audience": "a", "maxExpirationSeconds": seconds }] });
    vec![
        (json!({ "audiences": [] }), true),
        (json!({ "audiences": {} }), false),
        (json!({ "audiences": "" }), true),
        (audience(json!(600)), true),
        (audience(json!(3607)), false),
        (audience(json!(60)), false),
        (audience(Value::Null), false),
        (
            json!({ "audiences": [{ "audience": "", "maxExpirationSeconds": 600 }] }),
            false,
        ),
        (
            json!({ "audiences": [{ "maxExpirationSeconds": 600 }] }),
            false,
        ),
        (
            json!({ "audiences": [{ "audience": "a", "seconds": 600 }] }),
            false,
        ),
        (json!({ "audiences": ["a"] }), false),
        (
            json!({ "audiences": [
                { "audience": "a", "maxExpirationSeconds": 600 }, { "audience": "a", "maxExpirationSeconds": 700 },
            ] }),
            false,
        ),
        (json!({ "allowedAudiences": [] }), true),
        (json!({ "allowedAudiences": ["a", "b*"] }), true),
        (json!({ "allowedAudiences": [""] }), false),
        (json!({ "allowedAudiences": "a" }), false),
        (json!({ "apiServer": { "audiences": ["a"] } }), true),
        (json!({ "apiServer": { "audiences": [""] } }), false),
        (json!({ "apiServer": { "extendsTokens": "false" } }), false),
        (json!({ "apiServer": { "extends": false } }), false),
        (json!({ "apiServer": [] }), false),
        (
            json!({ "legacyTokens": { "rule": "Allow", "detect": "Name" } }),
            true,
        ),
        (json!({ "legacyTokens": { "rule": "allow" } }), false),
        (json!({ "legacyTokens": { "detect": "Type" } }), false),
        (json!({ "legacyTokens": "Allow" }), false),
    ]
}

fn groups() -> Vec<Case> {
    let range = |min: Value, max: Value| json!({ "rule": "MayRunAs", "ranges": [{ "min": min, "max": max }] });
    vec![
        (json!({ "fsGroup": null }), true),
        (
            json!({ "fsGroup": { "rule": "RunAsAny", "commonUser": "Accept", "persistentVolumes": "Set",
            "privateFiles": "Reject", "rootContainers": "Leave", "default": 0, "ranges": [] } }),
            true,
        ),
        (json!({ "fsGroup": { "rule": "MustRun" } }), false),
        (json!({ "fsGroup": { "commonUser": "Leave" } }), false),
        (json!({ "fsGroup": { "persistentVolumes": "Warn" } }), false),
        (json!({ "fsGroup": { "privateFiles": true } }), false),
        (json!({ "fsGroup": { "rootContainers": "leave" } }), false),
        (json!({ "fsGroup": range(json!(1), json!(2)) }), true),
        (json!({ "fsGroup": range(json!(2), json!(1)) }), false),
        (json!({ "fsGroup": range(json!(-1), json!(1)) }), false),
        (
            json!({ "fsGroup": range(json!(0), json!(2_147_483_648_i64)) }),
            false,
        ),
        (json!({ "fsGroup": range(json!(0), Value::Null) }), false),
        (
            json!({ "fsGroup": { "ranges": [{ "min": 1000, "max": 2000 }] } }),
            false,
        ),
        (
            json!({ "fsGroup": { "ranges": [{ "min": 1000, "max": 2000 }], "default": 1500 } }),
            true,
        ),
        (
            json!({ "fsGroup": { "ranges": [{ "min": 0, "max": 0 }], "default": 0 } }),
            true,
        ),
        (json!({ "fsGroup": { "default": -1 } }), false),
        (
            json!({ "fsGroup": { "default": 2_147_483_648_i64 } }),
            false,
        ),
        (json!({ "fsGroup": { "default": "65534" } }), false),
        (json!({ "fsGroup": { "default": "" } }), true),
    ]
}

fn exceptions() -> Vec<Case> {
    let overriding = |it: Value| json!({ "overrides": [it] });
    vec![
        (json!({ "exemptNamespaces": ["a"] }), true),
        (json!({ "exemptNamespaces": [""] }), false),
        (json!({ "exemptNamespaces": [1] }), false),
        (json!({ "exemptServiceAccounts": ["a/b", "*/*"] }), true),
        (json!({ "exemptServiceAccounts": ["a"] }), false),
        (json!({ "exemptServiceAccounts": ["a/b/c"] }), false),
        (json!({ "exemptServiceAccounts": ["/b"] }), false),
        (
            json!({ "optOutAnnotation": "tokens.example.com/exempt" }),
            true,
        ),
        (json!({ "optOutAnnotation": "exempt" }), true),
        (json!({ "optOutAnnotation": "" }), true),
        (json!({ "optOutAnnotation": "a/b/c" }), false),
        (json!({ "optOutAnnotation": "-a" }), false),
        (json!({ "optOutAnnotation": "a b" }), false),
        (json!({ "overrides": [] }), true),
        (overriding(json!({ "namespaces": ["a"] })), true),
        (
            overriding(
                json!({ "namespaces": ["a"], "mode": "warn", "maxExpirationSeconds": 86400 }),
            ),
            true,
        ),
        (
            overriding(json!({ "namespaces": ["a"], "mode": "", "maxExpirationSeconds": "" })),
            true,
        ),
        (
            overriding(json!({ "namespaces": ["a"], "mode": "off" })),
            false,
        ),
        (
            overriding(json!({ "namespaces": ["a"], "maxExpirationSeconds": 3607 })),
            false,
        ),
        (overriding(json!({ "namespaces": [] })), false),
        (overriding(json!({ "namespaces": [""] })), false),
        (overriding(json!({ "mode": "warn" })), false),
        (
            overriding(json!({ "namespaces": ["a"], "audiences": [] })),
            false,
        ),
        (
            json!({ "automount": { "rule": "Warn", "serviceAccounts": ["*/default"] } }),
            true,
        ),
        (json!({ "automount": { "rule": "warn" } }), false),
        (
            json!({ "automount": { "serviceAccounts": ["default"] } }),
            false,
        ),
        (json!({ "automount": { "accounts": [] } }), false),
    ]
}

#[test]
fn the_values_are_refused_where_the_policy_refuses_its_settings() {
    for (settings, expected) in cases() {
        let is_known = NOT_IN_THE_POLICY_YET
            .iter()
            .all(|it| settings[it].is_null());
        if is_known {
            let refused = refusal(&settings);
            assert_eq!(
                refused.is_none(),
                expected,
                "{settings}: the policy says {refused:?}"
            );
        }
        // Step see takes `mode: warn` as well.
        let answer = render(&json!({ "step": "see", "settings": settings }));
        let message = answer.as_ref().err();
        assert_eq!(
            answer.is_ok(),
            expected,
            "{settings}: helm says {message:?}"
        );
        let message = answer.err().unwrap_or_default();
        assert!(
            expected || message.contains("settings"),
            "{settings}: {message}"
        );
    }
}

#[test]
fn what_is_rendered_is_valid_in_each_step() {
    for (settings, is_valid) in cases() {
        let is_known = NOT_IN_THE_POLICY_YET
            .iter()
            .all(|it| settings[it].is_null());
        if !is_valid || !is_known || settings["mode"] == "warn" {
            continue;
        }
        for step in ["see", "mutate", "enforce"] {
            let values = json!({ "step": step, "namespaces": ["a"], "settings": settings });
            let objects = render(&values).unwrap_or_else(|message| panic!("{values}: {message}"));
            for policy in chart_tests::helm::of_kind(&objects, "ClusterAdmissionPolicy") {
                assert_eq!(refusal(&policy["spec"]["settings"]), None, "{values}");
            }
        }
    }
}

/// Everything else that the values hold.
#[test]
fn other_values_are_checked() {
    for (values, expected) in [
        (json!({ "global": { "anything": 1 } }), None),
        (json!({ "stepp": "see" }), Some("stepp")),
        (json!({ "step": "warn" }), Some("/step")),
        (json!({ "step": "mutate" }), Some("/namespaces")),
        (
            json!({ "step": "mutate", "namespaces": [""] }),
            Some("/namespaces/0"),
        ),
        (json!({ "failurePolicy": "fail" }), Some("/failurePolicy")),
        (json!({ "timeoutSeconds": 31 }), Some("/timeoutSeconds")),
        (
            json!({ "excludedNamespaces": ["kube-*"] }),
            Some("/excludedNamespaces/0"),
        ),
        (json!({ "provider": "eks" }), Some("/provider")),
        (
            json!({ "module": { "digest": "sha256:1" } }),
            Some("/module/digest"),
        ),
        (
            json!({ "module": { "repository": "registry://x:v1" } }),
            Some("/module/repository"),
        ),
        (json!({ "policyServer": { "replica": 1 } }), Some("replica")),
        (
            json!({ "policyServer": { "logLevel": "debug" } }),
            Some("/policyServer/logLevel"),
        ),
        (
            json!({ "policyServer": { "replicas": 2, "minAvailable": 2 } }),
            Some("policyServer.minAvailable"),
        ),
        (
            json!({ "policyServer": { "replicas": 1, "minAvailable": 0 } }),
            None,
        ),
        (
            json!({ "policyServer": { "name": "default" } }),
            Some("policyServer.create: false"),
        ),
        (
            json!({ "policyServer": { "create": false } }),
            Some("policyServer.name: name the existing"),
        ),
        (
            json!({ "policyServer": { "create": false, "name": "default" } }),
            None,
        ),
        (
            json!({ "policyServer": { "create": false, "name": "default" }, "pullSecret": "pull" }),
            Some("pullSecret: Forbidden"),
        ),
    ] {
        assert_refused(&values, expected);
    }
}

/// Values that need others.
#[test]
fn values_that_need_others_say_which() {
    for (values, expected) in [
        (
            json!({ "step": "enforce", "settings": { "mode": "warn" } }),
            Some("go back to step see"),
        ),
        (
            json!({ "settings": { "legacyTokens": { "detect": "Lookup" } } }),
            Some("set lookup.enabled: true"),
        ),
        (
            json!({ "lookup": { "enabled": true } }),
            Some("secretsAndDrivers.enabled: true"),
        ),
        (
            json!({ "lookup": { "enabled": true }, "secretsAndDrivers": { "enabled": true } }),
            Some("set lookup.apiServerCIDRs for a NetworkPolicy"),
        ),
        (
            json!({ "lookup": { "enabled": true, "mutualTLS": true }, "secretsAndDrivers": { "enabled": true } }),
            None,
        ),
        (
            json!({
                "lookup": { "enabled": true, "mutualTLS": true }, "secretsAndDrivers": { "enabled": true },
                "policyServer": { "create": false, "name": "default" },
            }),
            Some("policyServer.serviceAccountName: Required"),
        ),
        (
            json!({ "tokenApi": { "people": { "maxExpirationSeconds": 3607 } } }),
            Some("tokenApi.people"),
        ),
        (
            json!({ "tokenApi": { "people": { "maxExpirationSeconds": 60 } } }),
            Some("/tokenApi/people"),
        ),
        (
            json!({ "backstop": { "enabled": "yes" } }),
            Some("/backstop/enabled"),
        ),
    ] {
        assert_refused(&values, expected);
    }
}

/// The values are refused with this in the message, or accepted.
fn assert_refused(values: &Value, expected: Option<&str>) {
    match (render(values), expected) {
        (Ok(_), None) => {}
        (Err(message), Some(expected)) => {
            assert!(message.contains(expected), "{values}: {message}");
        }
        (answer, _) => panic!("{values}: {:?}", answer.err()),
    }
}
