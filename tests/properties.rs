//! Invariants over generated requests, on the stable toolchain. `make fuzz` checks the same ones
//! with a fuzzer.

#[path = "common/generator.rs"]
mod generator;
#[path = "common/invariants.rs"]
mod invariants;

use bound_service_account_tokens::validate_settings;
use generator::Choices;
use invariants::{answer, check, mutation_spares_files, settings_are_answered};
use kubewarden_policy_sdk::response::ValidationResponse;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use serde_json::{Value, json};
use std::collections::BTreeSet;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn all_invariants_are_kept(choices in vec(any::<u8>(), 0..800)) {
        let mut choices = Choices::new(&choices);
        let settings = choices.settings();
        check(&choices.request(), &settings);
    }

    /// Without values of wrong types, more of the requests get as far as the rules.
    #[test]
    fn typed_requests_keep_all_invariants(choices in vec(any::<u8>(), 0..800)) {
        let mut choices = Choices::typed(&choices);
        let settings = choices.settings();
        check(&choices.request(), &settings);
    }

    #[test]
    fn generated_settings_are_valid(choices in vec(any::<u8>(), 0..100)) {
        let settings = Choices::new(&choices).settings();
        let answer = validate_settings(settings.to_string().as_bytes());
        let answer: serde_json::Value = serde_json::from_slice(&answer.unwrap()).unwrap();
        prop_assert!(answer["valid"] == true, "{}: {}", settings, answer);
    }

    #[test]
    fn any_bytes_get_an_answer(payload in vec(any::<u8>(), 0..200)) {
        answer(&payload);
        settings_are_answered(&payload);
    }

    #[test]
    fn any_json_gets_an_answer(payload in r#"([\[\]{}:,"\\ntu0-9eE.+\-]|"[a-z]{0,9}"|true|null|\\u[0-9a-f]{4}){0,40}"#) {
        answer(payload.as_bytes());
        settings_are_answered(payload.as_bytes());
    }

    /// A request with one byte changed, or cut off: mostly no JSON any more, and never a panic.
    #[test]
    fn damaged_requests_get_an_answer(choices in vec(any::<u8>(), 0..400), at: usize, byte: u8) {
        let mut choices = Choices::new(&choices);
        let (settings, request) = (choices.settings(), choices.request());
        let mut payload = json!({ "request": request, "settings": settings }).to_string().into_bytes();
        let at = at % payload.len();
        payload[at] = byte;
        answer(&payload);
        answer(&payload[..at]);
    }
}

/// The members or variants that the program knows where these settings have another one; nothing
/// where it is about something else.
fn known_instead(settings: &Value) -> Vec<String> {
    let answer = validate_settings(settings.to_string().as_bytes()).unwrap();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    let message = answer["message"].as_str().unwrap_or_default();
    if !message.contains("unknown field") && !message.contains("unknown variant") {
        return Vec::new();
    }
    let known = message.split("expected").nth(1).unwrap_or_default();
    let names = known.split('`').skip(1).step_by(2);
    names.map(str::to_owned).collect()
}

/// The paths of all settings at and below a place, as the program knows them, with each variant of
/// those that have variants.
fn settings_at(path: &str, place: &dyn Fn(Value) -> Value, found: &mut BTreeSet<String>) {
    let variants = known_instead(&place(json!("nonsense")));
    found.extend(variants.iter().map(|variant| format!("{path} {variant}")));
    if !variants.is_empty() {
        return;
    }
    let alone: fn(Value) -> Value = |value| value;
    let in_list: fn(Value) -> Value = |value| json!([value]);
    let mut is_leaf = true;
    for wrap in [alone, in_list] {
        for member in known_instead(&place(wrap(json!({ "nonsense": 1 })))) {
            is_leaf = false;
            let inner = |value| place(wrap(json!({ &member: value })));
            settings_at(&format!("{path}.{member}"), &inner, found);
        }
    }
    if is_leaf {
        found.insert(path.to_owned());
    }
}

/// The same of some settings.
fn settings_in(path: &str, value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (member, value) in members {
                settings_in(&format!("{path}.{member}"), value, found);
            }
        }
        Value::Array(elements) if elements.iter().all(Value::is_object) => {
            for element in elements {
                settings_in(path, element, found);
            }
        }
        _ => {
            found.insert(path.to_owned());
            found.extend(value.as_str().map(|text| format!("{path} {text}")));
        }
    }
}

#[test]
fn every_setting_is_generated() {
    let mut known = BTreeSet::new();
    settings_at("", &|value| value, &mut known);
    assert!(known.len() >= 36, "only {known:?}");
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut made = BTreeSet::new();
    for _ in 0..500 {
        let choices = vec(any::<u8>(), 100)
            .new_tree(&mut runner)
            .unwrap()
            .current();
        settings_in("", &Choices::new(&choices).settings(), &mut made);
    }
    let missing: Vec<_> = known.difference(&made).collect();
    assert!(missing.is_empty(), "never generated: {missing:?}");
}

/// A Pod with a token at 0644 and another volume, of which its container mounts one.
fn pod_with(volume: &Value, context: &Value, mount: &str) -> Value {
    json!({
        "securityContext": {},
        "volumes": [
            { "name": "token", "projected": { "sources": [
                { "serviceAccountToken": { "path": "token" } },
            ] } },
            volume,
        ],
        "containers": [{
            "name": "app", "securityContext": context,
            "volumeMounts": [{ "name": mount, "mountPath": "/m" }],
        }],
    })
}

/// What the invariant about files says of a mutation with a warning.
fn complaint(spec: &Value, mutated: &Value, settings: &Value, warning: &str) -> String {
    let response = ValidationResponse {
        accepted: true,
        message: None,
        code: None,
        mutated_object: Some(json!({ "spec": mutated })),
        audit_annotations: None,
        warnings: Some(vec![warning.to_owned()]),
    };
    let request = json!({ "kind": { "kind": "Pod" }, "object": { "spec": spec } });
    let complaint = mutation_spares_files(&request, settings, &response).err();
    complaint.unwrap_or_default()
}

/// The same where the mutation adds an fsGroup.
fn complaint_about_group(spec: &Value, settings: &Value, warning: &str) -> String {
    let mut mutated = spec.clone();
    mutated["securityContext"]["fsGroup"] = json!(65534);
    complaint(spec, &mutated, settings, warning)
}

fn assert_complaint(name: &str, complaint: &str, expected: &str) {
    assert!(complaint.contains(expected), "{name}: {complaint}");
    let is_as_expected = !expected.is_empty() || complaint.is_empty();
    assert!(is_as_expected, "{name}: {complaint}");
}

/// Settings with one choice about fsGroup.
fn with_choice(name: &str, choice: &str) -> Value {
    json!({ "fsGroup": { name: choice } })
}

/// The invariant about files sees what it is there for.
#[test]
fn a_group_that_reads_a_private_file_is_seen() {
    let key = json!({ "name": "key", "secret": { "secretName": "k", "defaultMode": 0o600 } });
    let own = json!({ "name": "own", "projected": { "defaultMode": 0o400, "sources": [
        { "serviceAccountToken": { "path": "token" } },
    ] } });
    let user = json!({ "runAsNonRoot": true });
    let root = json!({ "capabilities": { "drop": ["ALL"] } });
    for (name, spec, expected) in [
        ("a key of root", pod_with(&key, &root, "key"), "private"),
        ("a key of a user", pod_with(&key, &user, "key"), ""),
        ("a key that nobody mounts", pod_with(&key, &root, ""), ""),
        ("a token of root", pod_with(&own, &root, "own"), "private"),
    ] {
        assert_complaint(
            name,
            &complaint_about_group(&spec, &json!({}), ""),
            expected,
        );
        let chosen = with_choice("privateFiles", "Set");
        assert_complaint(name, &complaint_about_group(&spec, &chosen, ""), "");
    }
}

#[test]
fn a_group_that_takes_a_disk_is_seen() {
    let disk = json!({ "name": "disk", "persistentVolumeClaim": { "claimName": "c" } });
    let later = json!({ "name": "disk", "later": { "x": 1 } });
    let kept = json!({ "name": "disk", "csi": { "driver": "d", "readOnly": true } });
    let root = json!({ "capabilities": { "drop": ["ALL"] } });
    for (name, spec, expected) in [
        ("a claim", pod_with(&disk, &root, "disk"), "a disk"),
        ("of tomorrow", pod_with(&later, &root, "disk"), "a disk"),
        ("that nobody mounts", pod_with(&disk, &root, ""), ""),
        ("read-only", pod_with(&kept, &root, "disk"), ""),
    ] {
        assert_complaint(
            name,
            &complaint_about_group(&spec, &json!({}), ""),
            expected,
        );
        let chosen = with_choice("persistentVolumes", "Set");
        assert_complaint(name, &complaint_about_group(&spec, &chosen, ""), "");
    }
}

#[test]
fn a_group_that_takes_a_token_away_is_seen() {
    let unset = json!({ "name": "scratch" });
    for (name, context, is_lost) in [
        ("who may step down", json!({}), true),
        ("root by its own words", json!({ "runAsUser": 0 }), false),
        ("a user", json!({ "runAsUser": 1000 }), false),
        ("not root", json!({ "runAsNonRoot": true }), false),
        (
            "without SETGID",
            json!({ "capabilities": { "drop": ["ALL"] } }),
            false,
        ),
    ] {
        let lost = |complaint| if is_lost { complaint } else { "" };
        let spec = pod_with(&unset, &context, "token");
        let found = complaint_about_group(&spec, &json!({}), "");
        assert_complaint(name, &found, lost("no warning"));
        let found = complaint_about_group(&spec, &json!({}), "container app");
        assert_complaint(name, &found, "");
        let chosen = with_choice("rootContainers", "Leave");
        let found = complaint_about_group(&spec, &chosen, "container app");
        assert_complaint(name, &found, lost("steps down"));
    }
}

/// A volume with a token of this mode: a Secret's, and a projected one.
fn secret_and_projected(mode: i64) -> (Value, Value) {
    let secret = json!({ "name": "legacy", "secret": {
        "secretName": "default-token-x7k2p", "defaultMode": mode,
        "items": [{ "key": "token", "path": "token" }],
    } });
    let projected = json!({ "name": "legacy", "projected": { "defaultMode": mode, "sources": [
        { "serviceAccountToken": { "path": "token" } },
    ] } });
    (secret, projected)
}

#[test]
fn a_conversion_that_takes_a_token_away_is_seen() {
    let root = json!({ "runAsUser": 0 });
    let user = json!({ "runAsUser": 1000 });
    let unset = json!({});
    for (name, context, fs_group, mode, is_lost) in [
        ("no fsGroup", &unset, None, 0o644, false),
        ("the author's fsGroup", &unset, Some(1000), 0o644, true),
        ("a file of the group", &unset, Some(1000), 0o640, false),
        ("root by its own words", &root, None, 0o644, true),
        ("another common user", &user, None, 0o644, false),
        ("… with an fsGroup", &user, Some(1000), 0o644, false),
    ] {
        let (secret, projected) = secret_and_projected(mode);
        let mut spec = pod_with(&secret, context, "legacy");
        spec["securityContext"] = json!({ "fsGroup": fs_group });
        let mut mutated = spec.clone();
        mutated["volumes"][1] = projected;
        let lost = |complaint| if is_lost { complaint } else { "" };
        for (settings, warning, expected) in [
            (json!({}), "", lost("no warning")),
            (json!({}), "container app", ""),
            (
                with_choice("rootContainers", "Leave"),
                "app",
                lost("steps down"),
            ),
        ] {
            let found = complaint(&spec, &mutated, &settings, warning);
            assert_complaint(name, &found, expected);
        }
    }
}
