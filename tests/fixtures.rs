//! The fixtures of each rule: `tests/data/<rule>/pass` holds requests that keep it, `fail` those
//! that break it, each with the patch that mode `mutate` makes beside it, or `null` where it
//! rejects the request.

mod common;

use common::ask;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const RULES: [&str; 6] = [
    "audience",
    "fs-group",
    "legacy-token",
    "legacy-token-secret",
    "token-lifetime",
    "token-renewal",
];

fn load(file: &Path) -> Value {
    let json = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    serde_json::from_str(&json).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

/// The fixtures of a rule, without the patches beside them.
fn fixtures(rule: &str, outcome: &str) -> Vec<PathBuf> {
    let folder = format!("tests/data/{rule}/{outcome}");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.retain(|file| !file.to_string_lossy().ends_with(".patch.json"));
    assert!(!files.is_empty(), "{}: no fixtures", folder.display());
    files
}

/// True when the rule reports something: a violation in `reject` mode, or a warning.
fn is_reported(rule: &str, fixture: &Value) -> bool {
    let mut settings = fixture["settings"].clone();
    settings["mode"] = json!("reject");
    let response = ask(&fixture["request"], &settings);
    if rule == "token-renewal" {
        return response.warnings.is_some();
    }
    let rules = response.audit_annotations.map(|annotations| annotations["rules"].clone());
    rules.is_some_and(|rules| rules.split(',').any(|name| name == rule))
}

#[test]
fn fixtures_pass_and_fail() {
    for rule in RULES {
        for (outcome, expected) in [("pass", false), ("fail", true)] {
            for file in fixtures(rule, outcome) {
                assert_eq!(is_reported(rule, &load(&file)), expected, "{}", file.display());
            }
        }
    }
}

#[test]
fn what_fails_is_patched_as_expected() {
    for rule in RULES {
        for file in fixtures(rule, "fail") {
            let fixture = load(&file);
            let response = ask(&fixture["request"], &fixture["settings"]);
            let object = &fixture["request"]["object"];
            let patch = response.accepted.then(|| {
                let mutated = response.mutated_object.as_ref().unwrap_or(object);
                json_patch::diff(object, mutated)
            });
            let expected = load(&file.with_extension("patch.json"));
            let patch = serde_json::to_value(&patch).unwrap();
            assert_eq!(patch, expected, "{}: {:?}", file.display(), response.message);
        }
    }
}
