//! Invariants over generated requests, on the stable toolchain. `make fuzz` checks the same ones
//! with a fuzzer.

#[path = "common/generator.rs"]
mod generator;
#[path = "common/invariants.rs"]
mod invariants;

use generator::Choices;
use invariants::{answer, check, mutation_spares_files, settings_are_answered};
use kubewarden_policy_sdk::response::ValidationResponse;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

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
        let answer = bound_service_account_tokens::validate_settings(settings.to_string().as_bytes());
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

/// The invariant about files sees what it is there for.
#[test]
fn fs_group_that_breaks_a_pod_is_seen() {
    let spec = |volume: Value, context: Value, mount: &str| {
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
    };
    let key = json!({ "name": "key", "secret": { "secretName": "k", "defaultMode": 0o600 } });
    let disk = json!({ "name": "disk", "persistentVolumeClaim": { "claimName": "c" } });
    let kept = json!({ "name": "disk", "csi": { "driver": "d", "readOnly": true } });
    let own = json!({ "name": "own", "projected": { "defaultMode": 0o400, "sources": [
        { "serviceAccountToken": { "path": "token" } },
    ] } });
    let non_root = json!({ "runAsNonRoot": true });
    let stays_root = json!({ "capabilities": { "drop": ["ALL"] } });
    let choice = |name: &str, choice: &str| json!({ "fsGroup": { name: choice } });
    for (name, spec, settings, warning, expected) in [
        ("a key of root", spec(key.clone(), stays_root.clone(), "key"), json!({}), "", "private"),
        (
            "a key of root, as the operator chose",
            spec(key.clone(), stays_root.clone(), "key"),
            choice("privateFiles", "Set"),
            "",
            "",
        ),
        ("a key that isn't root's", spec(key.clone(), non_root, "key"), json!({}), "", ""),
        ("a key that is not mounted", spec(key, stays_root.clone(), "none"), json!({}), "", ""),
        ("a private token of root", spec(own, stays_root.clone(), "own"), json!({}), "", "private"),
        ("a disk", spec(disk.clone(), stays_root.clone(), "none"), json!({}), "", "disk"),
        (
            "a disk, as the operator chose",
            spec(disk, stays_root.clone(), "none"),
            choice("persistentVolumes", "Set"),
            "",
            "",
        ),
        ("a read-only disk", spec(kept.clone(), stays_root.clone(), "none"), json!({}), "", ""),
        ("root to the end", spec(kept.clone(), stays_root, "token"), json!({}), "", ""),
        ("who steps down", spec(kept.clone(), json!({}), "token"), json!({}), "", "no warning"),
        ("who steps down, told", spec(kept.clone(), json!({}), "token"), json!({}), "app", ""),
        (
            "who steps down, against the operator's choice",
            spec(kept, json!({}), "token"),
            choice("rootContainers", "Leave"),
            "app",
            "steps down",
        ),
    ] {
        let mut mutated = json!({ "spec": spec });
        mutated["spec"]["securityContext"]["fsGroup"] = json!(65534);
        let response = ValidationResponse {
            accepted: true,
            message: None,
            code: None,
            mutated_object: Some(mutated),
            audit_annotations: None,
            warnings: Some(vec![warning.to_owned()]),
        };
        let request = json!({ "kind": { "kind": "Pod" }, "object": { "spec": spec } });
        let found = mutation_spares_files(&request, &settings, &response).err();
        let found = found.unwrap_or_default();
        assert!(found.contains(expected), "{name}: {found}");
        assert!(!expected.is_empty() || found.is_empty(), "{name}: {found}");
    }
}
