//! The fixtures of each rule: `tests/data/<rule>/pass` holds requests that keep it, `fail` those
//! that break it, each with the patch that mode `mutate` makes beside it, or `null` where it
//! rejects the request.

mod common;

use common::{ask, data, load_all};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The rules with fixtures; that each rule has some is a test of the registry.
fn rules() -> Vec<String> {
    let folders = std::fs::read_dir(data())
        .unwrap()
        .map(|folder| folder.unwrap());
    let rules = folders.filter(|folder| folder.path().join("fail").is_dir());
    let rules: Vec<_> = rules
        .map(|it| it.file_name().into_string().unwrap())
        .collect();
    assert!(!rules.is_empty(), "no fixtures");
    rules
}

/// The fixtures of a rule and, with names that end in `.patch`, the patches beside them.
fn files(rule: &str, outcome: &str) -> BTreeMap<String, Value> {
    let files = load_all(&format!("{rule}/{outcome}"), |json| {
        serde_json::from_str(json).unwrap()
    });
    files.into_iter().collect()
}

fn is_fixture(name: &str) -> bool {
    name.strip_suffix(".patch").is_none()
}

/// True when the rule reports something: a violation in `reject` mode, or a warning.
fn is_reported(rule: &str, fixture: &Value) -> bool {
    let mut settings = fixture["settings"].clone();
    settings["mode"] = json!("reject");
    let response = ask(&fixture["request"], &settings);
    if rule == "token-renewal" {
        return response.warnings.is_some();
    }
    let rules = response
        .audit_annotations
        .map(|annotations| annotations["rules"].clone());
    rules.is_some_and(|rules| rules.split(',').any(|name| name == rule))
}

#[test]
fn fixtures_pass_and_fail() {
    for rule in rules() {
        for (outcome, expected) in [("pass", false), ("fail", true)] {
            let mut files = files(&rule, outcome);
            files.retain(|name, _| is_fixture(name));
            assert!(!files.is_empty(), "{rule}/{outcome}: no fixtures");
            for (name, fixture) in &files {
                assert_eq!(
                    is_reported(&rule, fixture),
                    expected,
                    "{rule}/{outcome}/{name}"
                );
            }
        }
    }
}

#[test]
fn what_fails_is_patched_as_expected() {
    for rule in rules() {
        let files = files(&rule, "fail");
        for (name, fixture) in files.iter().filter(|it| is_fixture(it.0)) {
            let response = ask(&fixture["request"], &fixture["settings"]);
            let object = &fixture["request"]["object"];
            let patch = response.accepted.then(|| {
                let mutated = response.mutated_object.as_ref().unwrap_or(object);
                json_patch::diff(object, mutated)
            });
            let expected = files.get(&format!("{name}.patch"));
            let expected = expected.unwrap_or_else(|| panic!("{rule}/fail/{name}: no patch"));
            let patch = serde_json::to_value(&patch).unwrap();
            assert_eq!(
                patch, *expected,
                "{rule}/fail/{name}: {:?}",
                response.message
            );
        }
    }
}
