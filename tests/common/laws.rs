//! What holds for every request and all settings, whatever they are. The property tests and the
//! fuzz targets share it.

#![allow(dead_code, reason = "each user has its part")]

use bound_service_account_tokens::reader::Reader;
use bound_service_account_tokens::settings::Settings;
use bound_service_account_tokens::{validate, validate_settings};
use kubewarden_policy_sdk::response::ValidationResponse;
use kubewarden_policy_sdk::settings::SettingsValidationResponse;
use serde_json::{Value, json};

/// Any bytes get an answer that policy-server can read; one that rejects says why. `None` for a
/// mutation of what policy-server could not have sent: a number such as 1e999 in a member that
/// nobody reads is JSON, and stays, but is none of serde_json's values.
pub fn answers(payload: &[u8]) -> Option<ValidationResponse> {
    let answer = validate(payload).expect("an answer, not an error");
    let response: ValidationResponse = match serde_json::from_slice(&answer) {
        Ok(response) => response,
        Err(e) => {
            assert!(serde_json::from_slice::<Value>(payload).is_err(), "no response: {e}");
            return None;
        }
    };
    let says_why = response.message.as_ref().is_some_and(|message| !message.is_empty());
    assert!(response.accepted != says_why, "{response:?}");
    Some(response)
}

/// Any bytes as settings get an answer that people can read.
pub fn settings_are_answered(settings: &[u8]) {
    let answer = validate_settings(settings).expect("an answer, not an error");
    let answer: SettingsValidationResponse = serde_json::from_slice(&answer).expect("an answer");
    assert!(answer.valid != answer.message.is_some_and(|message| !message.is_empty()));
    let Ok(text) = std::str::from_utf8(settings) else { return };
    assert_eq!(answer.valid, Settings::read(text).is_ok());
    if answer.valid {
        serde_json::from_str::<serde::de::IgnoredAny>(text).expect("valid settings are JSON");
    }
}

/// The policy's reader and serde_json take the same texts, and decode strings to the same.
pub fn readers_agree(text: &str) {
    let mut reader = Reader::new(text);
    let ours = reader.skip().and_then(|()| reader.end());
    let theirs = serde_json::from_str::<serde::de::IgnoredAny>(text);
    assert_eq!(ours.is_ok(), theirs.is_ok(), "{ours:?}, {theirs:?}: {text}");
    for text in [text, &format!("\"{text}\"")] {
        let mut reader = Reader::new(text);
        let ours = reader.string().and_then(|it| reader.end().map(|()| it.into_owned()));
        assert_eq!(ours.ok(), serde_json::from_str::<String>(text).ok(), "{text}");
    }
}

/// The response to a request, in a mode.
pub fn ask(request: &Value, settings: &Value, mode: &str) -> ValidationResponse {
    let mut settings = settings.clone();
    settings["mode"] = json!(mode);
    let payload = json!({ "request": request, "settings": settings }).to_string();
    answers(payload.as_bytes()).expect("a response that policy-server can read")
}

/// All laws for one request.
pub fn hold(request: &Value, settings: &Value) {
    let mutate = ask(request, settings, "mutate");
    let reject = ask(request, settings, "reject");
    mutation_mends(request, settings, &mutate);
    warn_warns_where_reject_rejects(request, settings, &reject);
    assert!(mutate.accepted || !reject.accepted, "mutate rejects more than reject: {mutate:?}");
    bounds_are_ordered(request, settings);
    if reject.accepted {
        let mut more = settings.clone();
        more["exemptNamespaces"] = json!(["kube-*", "payments"]);
        assert!(ask(request, &more, "reject").accepted, "an exemption rejects more");
    }
    let reversed = reversed(request);
    assert_eq!(ask(&reversed, settings, "reject").accepted, reject.accepted, "order counts");
    assert_eq!(ask(&reversed, settings, "mutate").accepted, mutate.accepted, "order counts");
}

fn mutation_mends(request: &Value, settings: &Value, first: &ValidationResponse) {
    let Some(object) = &first.mutated_object else { return };
    assert!(first.accepted, "mutated and rejected");
    let patch = json_patch::diff(&request["object"], object);
    for operation in patch.iter() {
        let path = operation.path().as_str();
        assert!(may_change(path), "{path} is changed");
    }
    let mut again = request.clone();
    again["object"] = object.clone();
    let second = ask(&again, settings, "mutate");
    assert!(second.accepted, "a second pass rejects: {second:?}");
    assert!(second.mutated_object.is_none(), "a second pass changes: {second:?}");
    assert_eq!(second.warnings, first.warnings, "a second pass warns of something else");
    if first.warnings.is_none() {
        let reject = ask(&again, settings, "reject");
        assert!(reject.accepted, "what was mended is rejected: {reject:?}");
    }
}

fn may_change(path: &str) -> bool {
    let parts: Vec<_> = path.split('/').skip(1).collect();
    match &parts[..] {
        ["spec", "expirationSeconds" | "securityContext"]
        | ["spec", "tokenRequests", _, "expirationSeconds"]
        | ["spec", "volumes", _, "secret" | "projected"]
        | ["spec", "volumes", _, "projected", "sources", _, "serviceAccountToken"] => true,
        ["spec", "volumes", _, "projected", "sources", _, "serviceAccountToken", key] => {
            *key == "expirationSeconds"
        }
        ["spec", "securityContext", key] => matches!(*key, "fsGroup" | "fsGroupChangePolicy"),
        _ => false,
    }
}

fn warn_warns_where_reject_rejects(request: &Value, settings: &Value, reject: &ValidationResponse) {
    let warn = ask(request, settings, "warn");
    assert!(warn.mutated_object.is_none() && reject.mutated_object.is_none());
    if warn.accepted && !reject.accepted {
        let lines = reject.message.as_deref().unwrap_or_default().lines();
        assert!(lines.eq(warn.warnings.iter().flatten().map(String::as_str)), "{warn:?}");
        assert_eq!(warn.audit_annotations, reject.audit_annotations);
    } else {
        // What nobody can read is rejected in every mode.
        assert_eq!((warn.accepted, &warn.message), (reject.accepted, &reject.message));
        assert_eq!(warn.warnings, reject.warnings);
    }
}

fn bounds_are_ordered(request: &Value, settings: &Value) {
    let mut accepted = false;
    for bound in [600_i64, 3600, 7200, 31_536_000, 1 << 32] {
        let mut settings = settings.clone();
        settings["maxExpirationSeconds"] = json!(bound);
        let now = ask(request, &settings, "reject").accepted;
        assert!(now || !accepted, "{bound} rejects what a smaller bound accepts");
        accepted = now;
    }
}

/// The request with the volumes and containers the other way round.
fn reversed(request: &Value) -> Value {
    let mut request = request.clone();
    reverse(&mut request["object"]);
    reverse(&mut request["oldObject"]);
    request
}

fn reverse(object: &mut Value) {
    for at in ["/spec", "/spec/template/spec", "/spec/jobTemplate/spec/template/spec"] {
        for list in ["volumes", "containers", "initContainers", "ephemeralContainers"] {
            let list = object.pointer_mut(&format!("{at}/{list}"));
            if let Some(list) = list.and_then(Value::as_array_mut) {
                list.reverse();
            }
        }
    }
}
