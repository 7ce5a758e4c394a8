//! Situations from public bug reports of those who run such clusters, one file each in
//! `tests/data/field`: the settings, the request, and what has to come out.

mod common;
#[path = "common/invariants.rs"]
mod invariants;

use common::{ask, decision, load_all};
use invariants::side_by_side;
use kubewarden_policy_sdk::response::ValidationResponse;
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    title: String,
    #[allow(dead_code, reason = "for readers of the file")]
    source: Option<String>,
    #[allow(dead_code, reason = "for readers of the file")]
    situation: String,
    #[allow(dead_code, reason = "for readers of the file")]
    why: Option<String>,
    settings: Value,
    request: Value,
    expect: Expectation,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expectation {
    decision: String,
    /// JSON pointers, and their values in the mutated object.
    #[serde(default)]
    set: Map<String, Value>,
    /// JSON pointers to nothing in the mutated object.
    #[serde(default)]
    absent: Vec<String>,
    /// JSON pointers, and what their text has in it.
    #[serde(default)]
    contains: Map<String, Value>,
    /// What some warning has in it.
    #[serde(default)]
    warns: Vec<String>,
    /// What the rejection has in it.
    #[serde(default)]
    message: Vec<String>,
}

impl Expectation {
    /// All that isn't as expected.
    fn differences(&self, request: &Value, response: &ValidationResponse) -> Vec<String> {
        let mut differences = Vec::new();
        let decision = decision(response);
        if decision != self.decision {
            differences.push(format!(
                "{decision}, not {}: {:?}",
                self.decision, response.message
            ));
        }
        let object = response
            .mutated_object
            .as_ref()
            .unwrap_or(&request["object"]);
        for (pointer, expected) in &self.set {
            let found = object.pointer(pointer);
            if found != Some(expected) {
                differences.push(format!("{pointer} is {found:?}, not {expected}"));
            }
        }
        for pointer in &self.absent {
            if let Some(found) = object.pointer(pointer) {
                differences.push(format!("{pointer} is {found}"));
            }
        }
        for (pointer, text) in &self.contains {
            let found = object.pointer(pointer).unwrap_or(&Value::Null).to_string();
            if !found.contains(text.as_str().unwrap()) {
                differences.push(format!("{pointer} has no {text}: {found}"));
            }
        }
        let warnings = response.warnings.as_deref().unwrap_or_default();
        for text in &self.warns {
            if !warnings.iter().any(|warning| warning.contains(text)) {
                differences.push(format!("no warning has {text}: {warnings:?}"));
            }
        }
        let message = response.message.as_deref().unwrap_or_default();
        for text in &self.message {
            if !message.contains(text) {
                differences.push(format!("the rejection has no {text}: {message}"));
            }
        }
        differences
    }
}

fn cases() -> Vec<(String, Case)> {
    load_all("field", |json| serde_json::from_str::<Case>(json).unwrap())
}

#[test]
fn each_case_comes_out_as_expected() {
    let cases = cases();
    assert!(cases.len() >= 25, "only {} cases", cases.len());
    let mut failed = Vec::new();
    for (file, case) in cases {
        let response = ask(&case.request, &case.settings);
        for difference in case.expect.differences(&case.request, &response) {
            failed.push(format!("{file} ({}): {difference}", case.title));
        }
    }
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

#[test]
fn warnings_are_short() {
    for (file, case) in cases() {
        for mode in ["mutate", "reject", "warn"] {
            let mut settings = case.settings.clone();
            settings["mode"] = json!(mode);
            for warning in ask(&case.request, &settings).warnings.into_iter().flatten() {
                let length = warning.chars().count();
                assert!(
                    length <= 256,
                    "{file} in {mode} mode, {length} characters: {warning}"
                );
            }
        }
    }
}

#[test]
fn a_second_pass_changes_nothing() {
    for (file, mut case) in cases() {
        let first = ask(&case.request, &case.settings);
        let Some(object) = first.mutated_object else {
            continue;
        };
        case.request["object"] = object;
        let second = ask(&case.request, &case.settings);
        assert_eq!(decision(&second), "accept", "{file}: {second:?}");
    }
}

#[test]
fn a_validating_policy_accepts_what_a_mutating_one_admitted() {
    let mut failed = Vec::new();
    for (
        file,
        Case {
            request, settings, ..
        },
    ) in cases()
    {
        let mutate = invariants::ask(&request, &settings, "mutate");
        if let Err(why) = side_by_side(&request, &settings, &mutate) {
            failed.push(format!("{file}: {why}"));
        }
    }
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}
