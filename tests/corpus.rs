//! Real requests: what the policy makes of each of them.

mod common;

use common::{Captured, ask, create, path, rejection};
use json_patch::jsonptr::PointerBuf;
use k8s_openapi::api::core::v1::Pod;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const FS_GROUP: &str = "spec.securityContext.fsGroup";

fn is_created_pod(captured: &Captured) -> bool {
    captured.kind() == "Pod" && captured.request["operation"] == "CREATE"
}

/// `/spec/volumes/0/projected` as a rule would write it: `spec.volumes[0].projected`. Where the
/// whole securityContext is new, fsGroup is what is in it.
fn as_rules_write(pointer: &PointerBuf) -> String {
    let path = pointer.tokens().fold(String::new(), |path, token| {
        let token = token.decoded();
        match token.parse::<usize>() {
            Ok(index) => format!("{path}[{index}]"),
            Err(_) if path.is_empty() => token.into_owned(),
            Err(_) => format!("{path}.{token}"),
        }
    });
    if path == "spec.securityContext" {
        FS_GROUP.to_owned()
    } else {
        path
    }
}

/// The tokens of a Pod, decoded with other code than the policy's.
fn lifetimes(pod: &Value) -> Vec<i64> {
    let pod: Pod = serde_json::from_value(pod.clone()).unwrap();
    let volumes = pod.spec.and_then(|spec| spec.volumes).unwrap_or_default();
    let sources = volumes
        .into_iter()
        .filter_map(|volume| volume.projected?.sources)
        .flatten();
    let tokens = sources.filter_map(|source| source.service_account_token);
    tokens
        .map(|token| token.expiration_seconds.unwrap_or(3600))
        .collect()
}

/// The paths that a mutation changes.
fn changed_paths(request: &Value, mutated: &Value) -> BTreeSet<String> {
    let patch = json_patch::diff(&request["object"], mutated);
    patch
        .iter()
        .map(|operation| as_rules_write(&operation.path().to_buf()))
        .collect()
}

/// The paths of the violations that reject mode names.
fn violations(request: &Value) -> BTreeSet<String> {
    let response = ask(request, &json!({ "mode": "reject" }));
    if response.accepted {
        return BTreeSet::new();
    }
    rejection(&response)
        .into_iter()
        .map(|line| path(line).to_owned())
        .collect()
}

/// With the settings that add fsGroup, and with those that leave it out where it may break a Pod.
#[test]
fn pods_have_short_tokens_and_nothing_else_changes() {
    let pods: Vec<_> = Captured::corpus()
        .into_iter()
        .filter(is_created_pod)
        .collect();
    assert!(pods.len() >= 50, "{} Pods", pods.len());
    let leave = json!({ "fsGroup": { "rootContainers": "Leave" } });
    for (Captured { file, request, .. }, settings) in pods
        .iter()
        .flat_map(|pod| [json!({}), leave.clone()].map(|settings| (pod, settings)))
    {
        let first = ask(request, &settings);
        assert!(first.accepted, "{file}: {:?}", first.message);
        let mutated = first
            .mutated_object
            .clone()
            .unwrap_or_else(|| request["object"].clone());
        assert!(
            lifetimes(&mutated).iter().all(|seconds| *seconds <= 3600),
            "{file}"
        );

        // What reject mode names is what changes, but for an fsGroup that is left out.
        let changed = changed_paths(request, &mutated);
        let named = violations(request);
        let left: Vec<_> = named.difference(&changed).collect();
        assert!(
            changed.is_subset(&named),
            "{file}: {changed:?} changed, {named:?} named"
        );
        assert!(
            left.is_empty() || left == [FS_GROUP],
            "{file}: {left:?} stay"
        );
        let warnings = first.warnings.as_deref().unwrap_or_default();
        assert!(
            left.is_empty() || !warnings.is_empty(),
            "{file}: fsGroup is left out in silence"
        );

        let mut again = request.clone();
        again["object"] = mutated;
        let second = ask(&again, &settings);
        assert!(
            second.accepted && second.mutated_object.is_none(),
            "{file}: a second pass changes"
        );
        let said = |warning| warnings.contains(warning);
        assert!(
            second.warnings.iter().flatten().all(said),
            "{file}: {:?}",
            second.warnings
        );
        let rejected = violations(&again);
        assert!(
            rejected.iter().eq(left),
            "{file}: {rejected:?} after the mutation"
        );
    }
}

/// What a mutation doesn't touch stays as it came, to the last blank: numbers and strings in any
/// form, and fields that no type has yet.
#[test]
fn members_keep_their_form() {
    const UNKNOWN: &str = r#""later":[1.0,1e3,-0,"\u0041\/"],"#;
    let mut mutations = 0;
    for captured in Captured::corpus().into_iter().filter(is_created_pod) {
        let spec = format!(r#""spec":{{{UNKNOWN}"#);
        let text = with_white_space(&captured.text.replacen(r#""spec":{"#, &spec, 1));
        let payload = format!("{{\"request\": {text}}}");
        let answer = bound_service_account_tokens::validate(payload.as_bytes()).unwrap();
        let answer: BTreeMap<String, &RawValue> = serde_json::from_slice(&answer).unwrap();
        let Some(mutated) = answer.get("mutated_object") else {
            continue;
        };
        let request: BTreeMap<String, &RawValue> = serde_json::from_str(&text).unwrap();
        let (old, new) = (request["object"].get(), mutated.get());
        if new != "null" {
            let mut changed = Vec::new();
            collect_changes("", old, new, &mut changed);
            let is_allowed = |path: &String| may_change(path);
            assert!(
                changed.iter().all(is_allowed),
                "{}: {changed:?}",
                captured.file
            );
            mutations += 1;
        }
    }
    assert!(mutations >= 40, "only {mutations} mutations");
}

/// The paths of what differs in two texts.
fn collect_changes(path: &str, old: &str, new: &str, changed: &mut Vec<String>) {
    if old == new {
        return;
    }
    changed.push(path.to_owned());
    let object = |text| serde_json::from_str::<BTreeMap<String, &RawValue>>(text);
    let list = |text| serde_json::from_str::<Vec<&RawValue>>(text);
    if let (Ok(old), Ok(new)) = (object(old), object(new)) {
        for key in old.keys().chain(new.keys()) {
            let (old, new) = (old.get(key), new.get(key));
            let text = |value: Option<&&RawValue>| value.map(|it| it.get().to_owned());
            let (old, new) = (text(old).unwrap_or_default(), text(new).unwrap_or_default());
            collect_changes(&format!("{path}/{key}"), &old, &new, changed);
        }
    } else if let (Ok(old), Ok(new)) = (list(old), list(new)) {
        assert_eq!(old.len(), new.len(), "{path}");
        for (old, new) in old.iter().zip(new) {
            collect_changes(&format!("{path}/_"), old.get(), new.get(), changed);
        }
    }
}

/// True for what a mutation is about, and what it is in.
fn may_change(path: &str) -> bool {
    let lifetime = "/spec/volumes/_/projected/sources/_/serviceAccountToken/expirationSeconds";
    let group = "/spec/securityContext/fsGroup";
    [lifetime, group]
        .iter()
        .any(|it| it.strip_prefix(path).is_some_and(is_rest_of_path))
}

fn is_rest_of_path(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('/')
}

/// The JSON with white space that no serializer writes.
fn with_white_space(json: &str) -> String {
    outside_strings(json, |c| match c {
        ',' | ':' => format!("{c} \t"),
        '{' | '[' => format!("{c}\n"),
        _ => c.to_string(),
    })
}

/// Replaces the characters that are in no string.
fn outside_strings(json: &str, replace: impl Fn(char) -> String) -> String {
    let (mut in_string, mut escaped) = (false, false);
    let mut result = String::new();
    for c in json.chars() {
        let quote = c == '"' && !escaped;
        if in_string {
            result.push(c);
        } else {
            result += &replace(c);
        }
        escaped = in_string && c == '\\' && !escaped;
        in_string ^= quote;
    }
    result
}

#[test]
fn templates_are_never_mutated_and_their_violations_named_as_their_pods_are() {
    let templates: Vec<_> = Captured::corpus()
        .into_iter()
        .filter(|captured| captured.kind() != "Pod")
        .collect();
    assert!(templates.len() >= 50, "{} templates", templates.len());
    let mut named = 0;
    for Captured { file, request, .. } in templates {
        let response = ask(&request, &json!({}));
        assert!(
            response.accepted && response.mutated_object.is_none(),
            "{file}: {response:?}"
        );
        for warning in response.warnings.iter().flatten() {
            assert!(warning.chars().count() <= 256, "{file}: {warning}");
        }

        let (at, pointer) = match request["kind"]["kind"].as_str().unwrap() {
            "CronJob" => (
                "spec.jobTemplate.spec.template.",
                "/spec/jobTemplate/spec/template",
            ),
            _ => ("spec.template.", "/spec/template"),
        };
        let pod = create(request["object"].pointer(pointer).unwrap());
        let of_pod: BTreeSet<_> = violations(&pod)
            .into_iter()
            .map(|path| format!("{at}{path}"))
            .collect();
        assert_eq!(violations(&request), of_pod, "{file}");
        named += of_pod.len();
    }
    assert!(named > 0, "no template has a token of its own");
}
