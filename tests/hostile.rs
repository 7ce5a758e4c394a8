//! What somebody who means harm may send: one file each in `tests/data/hostile`, and shapes that
//! are too large for a file. What judging them costs is counted on the module by
//! `cargo xtask bench`.

mod common;
#[path = "common/invariants.rs"]
mod invariants;

use common::{ask, create, decision, load_all, pod};
use kubewarden_policy_sdk::response::ValidationResponse;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    title: String,
    #[allow(dead_code, reason = "for readers of the file")]
    situation: String,
    settings: Value,
    request: Value,
    expect: Expectation,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expectation {
    /// One of `accept`, `mutate` and `reject`, or some of them with `|` between.
    decision: String,
    /// How many the module may need; `cargo xtask bench` counts them.
    #[allow(dead_code, reason = "nothing is counted natively")]
    instructions: Option<u64>,
    /// Texts that message and warnings have together.
    #[serde(default)]
    says: Vec<String>,
    /// Texts that the resulting object has.
    #[serde(default)]
    has: Vec<String>,
    /// Texts that it doesn't have.
    #[serde(default)]
    lacks: Vec<String>,
}

impl Expectation {
    /// All that isn't as expected.
    fn differences(&self, request: &Value, response: &ValidationResponse) -> Vec<String> {
        let mut differences = Vec::new();
        let decision = decision(response);
        if !self
            .decision
            .split('|')
            .any(|expected| expected == decision)
        {
            differences.push(format!("{decision}, not {}", self.decision));
        }
        let said = said(response);
        let object = response
            .mutated_object
            .as_ref()
            .unwrap_or(&request["object"]);
        let object = object.to_string();
        let missing = |text: &&String| !said.contains(text.as_str());
        differences.extend(
            self.says
                .iter()
                .filter(missing)
                .map(|text| format!("{text} isn't said")),
        );
        let missing = |text: &&String| !object.contains(text.as_str());
        differences.extend(
            self.has
                .iter()
                .filter(missing)
                .map(|text| format!("has no {text}")),
        );
        let present = |text: &&String| object.contains(text.as_str());
        differences.extend(
            self.lacks
                .iter()
                .filter(present)
                .map(|text| format!("has {text}")),
        );
        differences
    }
}

/// Message and warnings.
fn said(response: &ValidationResponse) -> String {
    let warnings = response.warnings.iter().flatten().map(String::as_str);
    let lines: Vec<_> = response
        .message
        .as_deref()
        .into_iter()
        .chain(warnings)
        .collect();
    lines.join("\n")
}

fn cases() -> Vec<(String, Case)> {
    load_all("hostile", |json| {
        serde_json::from_str::<Case>(json).unwrap()
    })
}

#[test]
fn each_case_comes_out_as_expected() {
    let cases = cases();
    assert!(cases.len() >= 12, "only {} cases", cases.len());
    let mut failed = Vec::new();
    for (file, case) in cases {
        let response = ask(&case.request, &case.settings);
        for difference in case.expect.differences(&case.request, &response) {
            let said = said(&response);
            failed.push(format!("{file} ({}): {difference}: {said}", case.title));
        }
    }
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

#[test]
fn all_invariants_are_kept() {
    for (_, case) in cases() {
        invariants::check(&case.request, &case.settings);
    }
}

// ---------------------------------------------------------------------------------------------
// Shapes

/// This many of what `make` makes of a number.
fn many(number: usize, make: impl Fn(usize) -> Value) -> Value {
    (0..number).map(make).collect()
}

fn with_volumes(volumes: &Value, mounts: &Value) -> Value {
    pod(&json!({
        "serviceAccountName": "app", "volumes": volumes,
        "containers": [{ "name": "c", "image": "i", "volumeMounts": mounts }],
    }))
}

/// A volume with a token of a day.
fn day(name: &str) -> Value {
    common::token_volume(name, &json!("vault"), &json!(86400))
}

fn secret(name: &str, items: &Value) -> Value {
    json!({ "name": name, "secret": { "secretName": "app-token-x7k2p", "items": items } })
}

fn mount(name: &str, i: usize, sub_path: &str) -> Value {
    json!({ "name": name, "mountPath": format!("/m/{i}"), "subPathExpr": sub_path })
}

fn token_request(audiences: &Value) -> Value {
    json!({
        "uid": "1", "operation": "CREATE", "namespace": "shop", "name": "app",
        "kind": { "group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest" },
        "subResource": "token", "userInfo": { "username": "alex", "groups": ["dev"] },
        "object": { "spec": { "audiences": audiences, "expirationSeconds": 86400 } },
    })
}

fn csi_driver(requests: &Value) -> Value {
    json!({
        "uid": "1", "operation": "CREATE", "name": "d", "userInfo": { "username": "alex" },
        "kind": { "group": "storage.k8s.io", "version": "v1", "kind": "CSIDriver" },
        "object": { "spec": { "tokenRequests": requests } },
    })
}

/// Each has very much of one thing or two.
fn shapes() -> Vec<(&'static str, Value)> {
    let mut shapes = Vec::from(shapes_of_containers());
    shapes.extend(shapes_of_volumes());
    shapes.extend(other_shapes());
    shapes
}

fn shapes_of_containers() -> [(&'static str, Value); 3] {
    let env_from = |_| json!({ "secretRef": { "name": "app-token-x7k2p" } });
    let variables = json!([{ "name": "c", "envFrom": many(5000, env_from) }]);
    let steps_down = |i: usize| json!({ "name": format!("c{i}"), "volumeMounts": [{ "name": "t", "mountPath": "/t" }] });
    let capability = |i: usize| json!(format!("C{i}"));
    let capable = json!([{
        "name": "c", "volumeMounts": many(1000, |i| mount("t", i, "")),
        "securityContext": { "capabilities": { "drop": many(1000, capability) } },
    }]);
    [
        ("variables", variables),
        ("containers that step down", many(1000, steps_down)),
        ("capabilities and mounts", capable),
    ]
    .map(|(name, containers)| {
        let spec = json!({ "volumes": [day("t")], "containers": containers });
        (name, create(&pod(&spec)))
    })
}

fn shapes_of_volumes() -> [(&'static str, Value); 6] {
    let item = |i: usize| json!({ "key": "a", "path": format!("p/{i}") });
    let deep = json!([{ "key": "a", "path": vec!["a"; 1000].join("/") }]);
    let days = |number| many(number, |i| day(&format!("t{i}")));
    let long = |i: usize| format!("{i}{}", "n".repeat(10_000));
    let of_each = many(500, |i| mount(&format!("t{i}"), i, "a"));
    let of_one = |name: &str, sub_path: &str| many(500, |i| mount(name, i, sub_path));
    let items = json!([secret("s", &many(1000, item))]);
    let segments = json!([secret("s", &deep)]);
    let one_name = many(1000, |_| day("t"));
    let long_names = many(50, |i| day(&long(i)));
    let of_long_names = many(50, |i| mount(&long(i), i, "a"));
    [
        ("tokens", days(3000), json!([])),
        ("tokens and subPaths", days(500), of_each),
        ("items and mounts", items, of_one("s", "$(X)")),
        ("segments and mounts", segments, of_one("s", "$(X)")),
        ("one name and mounts", one_name, of_one("t", "")),
        ("names of 10 kB", long_names, of_long_names),
    ]
    .map(|(name, volumes, mounts)| (name, create(&with_volumes(&volumes, &mounts))))
}

fn other_shapes() -> [(&'static str, Value); 3] {
    let audience = |i: usize| json!(format!("audience-{i}"));
    let long = |i: usize| json!(format!("{i}{}", "n".repeat(10_000)));
    let driver = |i: usize| json!({ "audience": format!("a{i}"), "expirationSeconds": 86400 });
    [
        ("audiences", token_request(&many(20_000, audience))),
        ("audiences of 10 kB", token_request(&many(50, long))),
        ("token requests", csi_driver(&many(5000, driver))),
    ]
}

/// The answers are short, which every answer in these tests is checked for; and what there is too
/// much of to be judged is rejected, but for mode `warn`, which says so.
#[test]
fn answers_about_large_requests_are_short() {
    let settings = json!({ "allowedAudiences": [], "fsGroup": { "persistentVolumes": "Set" } });
    let mut rejected = 0;
    for (name, request) in shapes() {
        let mutate = invariants::ask(&request, &settings, "mutate");
        let reject = invariants::ask(&request, &settings, "reject");
        let warn = invariants::ask(&request, &settings, "warn");
        assert!(warn.accepted, "{name}: {:?}", warn.message);
        assert!(
            reject.accepted || warn.warnings.is_some(),
            "{name}: no warning"
        );
        rejected += usize::from(!reject.accepted);
        if said(&reject).contains("Too many") {
            assert!(!mutate.accepted, "{name}: {mutate:?}");
            let annotations = warn.audit_annotations.as_ref();
            let rules = annotations.and_then(|annotations| annotations.get("rules"));
            assert_eq!(rules.map(String::as_str), Some("not-judged"), "{name}");
        }
    }
    assert!(rejected >= 8, "only {rejected} are rejected");
}
