//! Real requests: what the policy makes of each of them.

mod common;

use common::{Captured, ask, create, path, rejection};
use json_patch::jsonptr::PointerBuf;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn is_created_pod(captured: &Captured) -> bool {
    captured.kind() == "Pod" && captured.request["operation"] == "CREATE"
}

/// `/spec/volumes/0/projected` as a rule would write it: `spec.volumes[0].projected`.
fn as_rules_write(pointer: &PointerBuf) -> String {
    pointer.tokens().fold(String::new(), |path, token| {
        let token = token.decoded();
        match token.parse::<usize>() {
            Ok(index) => format!("{path}[{index}]"),
            Err(_) if path.is_empty() => token.into_owned(),
            Err(_) => format!("{path}.{token}"),
        }
    })
}

fn is_allowed(path: &str) -> bool {
    path.ends_with(".serviceAccountToken.expirationSeconds")
        || path == "spec.securityContext"
        || path == "spec.securityContext.fsGroup"
        || path == "spec.securityContext.fsGroupChangePolicy"
}

/// The tokens of a Pod, read with other code than the policy's.
fn lifetimes(pod: &Value) -> Vec<i64> {
    let pod: Pod = serde_json::from_value(pod.clone()).unwrap();
    let volumes = pod.spec.and_then(|spec| spec.volumes).unwrap_or_default();
    let sources = volumes.into_iter().filter_map(|volume| volume.projected?.sources).flatten();
    let tokens = sources.filter_map(|source| source.service_account_token);
    tokens.map(|token| token.expiration_seconds.unwrap_or(3600)).collect()
}

#[test]
fn pods_are_bounded_and_nothing_else_changes() {
    let pods: Vec<_> = Captured::corpus().into_iter().filter(is_created_pod).collect();
    assert!(pods.len() >= 50, "{} Pods", pods.len());
    for Captured { file, mut request } in pods {
        let first = ask(&request, &json!({}));
        assert!(first.accepted, "{file}: {:?}", first.message);
        let mutated = first.mutated_object.unwrap_or_else(|| request["object"].clone());
        assert!(lifetimes(&mutated).iter().all(|seconds| *seconds <= 3600), "{file}");

        let patch = json_patch::diff(&request["object"], &mutated);
        let changed: BTreeSet<_> =
            patch.iter().map(|operation| as_rules_write(&operation.path().to_buf())).collect();
        assert!(changed.iter().all(|path| is_allowed(path)), "{file}: {changed:?}");

        let rejected = ask(&request, &json!({ "mode": "reject" }));
        let left = first.warnings.clone().unwrap_or_default();
        let left: BTreeSet<_> = left.iter().map(|line| path(line)).collect();
        let named: BTreeSet<_> = if changed.is_empty() && left.is_empty() {
            assert!(rejected.accepted, "{file}: {:?}", rejected.message);
            BTreeSet::new()
        } else {
            rejection(&rejected).into_iter().map(path).filter(|path| !left.contains(path)).collect()
        };
        assert_eq!(named, changed.iter().map(String::as_str).collect(), "{file}");

        request["object"] = mutated;
        let second = ask(&request, &json!({}));
        assert!(
            second.accepted && second.mutated_object.is_none(),
            "{file}: a second pass changes"
        );
        assert_eq!(second.warnings, first.warnings, "{file}: a second pass says something else");
        if left.is_empty() {
            assert!(ask(&request, &json!({ "mode": "reject" })).accepted, "{file}");
        }
    }
}

#[test]
fn members_keep_their_order_and_their_form() {
    for captured in Captured::corpus().into_iter().filter(is_created_pod) {
        // As text, with white space that no serialiser of ours would write.
        let payload =
            serde_json::to_string_pretty(&json!({ "request": captured.request })).unwrap();
        let answer = bound_service_account_tokens::validate(payload.as_bytes()).unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let kept = |line: &str| {
            answer.contains(line.trim())
                || line.contains("\"expirationSeconds\"")
                || line.trim() == "\"securityContext\": {},"
        };
        let object = &payload[payload.find("\"object\": {").unwrap()..];
        let end = object.find("\n    }").unwrap();
        if answer.contains("\"mutated_object\":{") {
            let lost: Vec<_> = object[..end].lines().skip(1).filter(|line| !kept(line)).collect();
            assert!(lost.is_empty(), "{}: {lost:?}", captured.file);
        }
    }
}

#[test]
fn templates_are_accepted_and_their_violations_named_as_their_pods_are() {
    let templates: Vec<_> =
        Captured::corpus().into_iter().filter(|captured| captured.kind() != "Pod").collect();
    assert!(templates.len() >= 50, "{} templates", templates.len());
    let mut violations = 0;
    for Captured { file, request } in templates {
        let response = ask(&request, &json!({}));
        assert!(response.accepted && response.mutated_object.is_none(), "{file}");
        assert_eq!(response.warnings, None, "{file}");

        let (at, pointer) = match request["kind"]["kind"].as_str().unwrap() {
            "CronJob" => ("spec.jobTemplate.spec.template.", "/spec/jobTemplate/spec/template"),
            _ => ("spec.template.", "/spec/template"),
        };
        let pod = request["object"].pointer(pointer).unwrap();
        let lines = |request: &Value| {
            let response = ask(request, &json!({ "mode": "reject" }));
            if response.accepted {
                Vec::new()
            } else {
                rejection(&response).join("\n").lines().map(str::to_owned).collect()
            }
        };
        let of_pod: Vec<_> =
            lines(&create(pod)).into_iter().map(|line| format!("{at}{line}")).collect();
        assert_eq!(lines(&request), of_pod, "{file}");
        violations += of_pod.len();
    }
    assert!(violations > 0, "no template has a token of its own");
}
