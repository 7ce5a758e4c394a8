//! Findings and the mode become a response.

use crate::fix::{self, Edit};
use crate::json::{Lazy, Misread, Misreads, Path, Read, view};
use crate::pod_spec::Pod;
use crate::request::{Payload, Request};
use crate::rules::{self, Finding, READABLE, Remedy};
use crate::settings::{Mode, Settings};
use crate::target::Target;
use kubewarden_policy_sdk::{logging::KubewardenDrain, response::ValidationResponse};
use slog::{Logger, info, o};
use std::collections::{BTreeSet, HashMap};
use wapc_guest::CallResult;

/// The response to a payload.
///
/// # Errors
/// Never for what stands in the payload.
pub fn on(payload: &[u8]) -> CallResult {
    match std::str::from_utf8(payload) {
        Ok(payload) => match serde_json::from_str(payload) {
            Ok(read) => on_payload(payload, &read),
            Err(e) => reject(None, &[unreadable("request", format!("can't be read: {e}"))]),
        },
        Err(e) => reject(None, &[unreadable("request", format!("is not UTF-8: {e}"))]),
    }
}

fn unreadable(path: &str, message: String) -> Finding<'static> {
    Misread { path: path.to_owned(), message }.into()
}

fn on_payload(payload: &str, read: &Read<Payload>) -> CallResult {
    let Some(Payload { request: Read::Is(request), settings }) = read.get() else {
        return reject(None, &[unreadable("request", "is missing or no object".to_owned())]);
    };
    let mut misreads = Vec::new();
    request.misreads(&Path::Object.member("request"), &mut misreads);
    if !misreads.is_empty() {
        let findings: Vec<_> = misreads.into_iter().map(Finding::from).collect();
        return reject(Some(request), &findings);
    }
    match Target::of(request) {
        Target::Nothing => kubewarden_policy_sdk::accept_request(),
        Target::Pod(pod) => on_pod(payload, request, pod, *settings),
    }
}

fn on_pod(payload: &str, request: &Request, pod: &Read<Pod>, settings: Lazy) -> CallResult {
    let settings = match Settings::read(settings.text().unwrap_or("null")) {
        Ok(settings) => settings,
        Err(message) => return reject(Some(request), &[unreadable("settings", message)]),
    };
    if settings.exempts(request.namespace.or_empty()) {
        return kubewarden_policy_sdk::accept_request();
    }
    let findings = rules::check_pod(pod, &settings);
    if findings.is_empty() || pod.get().is_some_and(Pod::is_mirror) {
        return kubewarden_policy_sdk::accept_request();
    }
    decide(payload, request, settings.mode, findings)
}

fn reject(request: Option<&Request>, findings: &[Finding]) -> CallResult {
    log(request, "rejected", findings);
    let response = ValidationResponse {
        accepted: false,
        message: Some(lines(findings).join("\n")),
        ..response(findings)
    };
    Ok(serde_json::to_vec(&response)?)
}

fn decide(payload: &str, request: &Request, mode: Mode, findings: Vec<Finding>) -> CallResult {
    match mode {
        Mode::Mutate => mutate(payload, request, findings),
        Mode::Warn if findings.iter().all(|finding| finding.rule != READABLE) => {
            let warnings = Some(lines(&findings));
            Ok(serde_json::to_vec(&ValidationResponse { warnings, ..response(&findings) })?)
        }
        Mode::Reject | Mode::Warn => reject(Some(request), &findings),
    }
}

fn mutate(payload: &str, request: &Request, mut findings: Vec<Finding>) -> CallResult {
    if findings.iter().any(|finding| matches!(finding.remedy, Remedy::Reject)) {
        return reject(Some(request), &findings);
    }
    let mut edits = Vec::new();
    let mut warnings = Vec::new();
    for finding in &mut findings {
        if let Remedy::Edit(more) = &mut finding.remedy {
            edits.append(more);
        } else if let Remedy::Leave(why) = &finding.remedy {
            warnings.push(format!("{finding}; {why}"));
        }
    }
    let warnings = (!warnings.is_empty()).then_some(warnings);
    let response = ValidationResponse { warnings, ..response(&findings) };
    if edits.is_empty() {
        return Ok(serde_json::to_vec(&response)?);
    }
    log(Some(request), "mutated", &findings);
    with_object(payload, &response, edits)
}

/// What all responses to findings have in common.
fn response(findings: &[Finding]) -> ValidationResponse {
    let rules: BTreeSet<&str> = findings.iter().map(|finding| finding.rule).collect();
    let rules = rules.into_iter().collect::<Vec<_>>().join(",");
    let annotations = [("rules", rules), ("violations", lines(findings).join("\n"))];
    ValidationResponse {
        accepted: true,
        message: None,
        code: None,
        mutated_object: None,
        audit_annotations: Some(HashMap::from(annotations.map(|(key, it)| (key.to_owned(), it)))),
        warnings: None,
    }
}

view! {
    /// The payload once more, for the text of the object.
    PayloadText<'a> {
        /// The admission request.
        "request" => request: Read<ObjectText<'a>>,
    }
}

view! {
    /// The request once more, for the text of the object.
    ObjectText<'a> {
        /// The object as it came.
        "object" => object: Lazy<'a>,
    }
}

/// The response with the edited object in it. The SDK's type holds the object as a
/// [`serde_json::Value`]; that would parse it all and write it anew, and so it is spliced into
/// the response's text.
fn with_object(payload: &str, response: &ValidationResponse, edits: Vec<Edit>) -> CallResult {
    const MEMBER: &str = "\"mutated_object\":";
    let text = serde_json::to_string(response)?;
    let payload = Lazy::whole(payload).read::<PayloadText>();
    let object = payload.get().and_then(|payload| payload.request.get()?.object.text());
    let (Some(object), Some((before, after))) = (object, text.split_once(MEMBER)) else {
        return Err("the response has no place for the object".into());
    };
    let Some(after) = after.strip_prefix("null") else {
        return Err("the response has an object already".into());
    };
    let mut out = String::with_capacity(text.len() + object.len() + fix::added(&edits));
    out.push_str(before);
    out.push_str(MEMBER);
    fix::apply(object, edits, &mut out).ok_or("an edit does not fit the object")?;
    out.push_str(after);
    Ok(out.into_bytes())
}

fn lines(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

/// One structured line in the policy-server's log.
fn log(request: Option<&Request>, verdict: &str, findings: &[Finding]) {
    let log = Logger::root(KubewardenDrain::new(), o!("policy" => env!("CARGO_PKG_NAME")));
    let (namespace, name, operation) = request.map_or(("", "", ""), |request| {
        (request.namespace.or_empty(), request.name.or_empty(), request.operation.or_empty())
    });
    let kind = request.and_then(|request| request.kind.get()).map_or("", |it| it.kind.or_empty());
    info!(log, "{}", verdict;
        "kind" => kind, "operation" => operation, "namespace" => namespace, "name" => name,
        "violations" => lines(findings).join("\n"));
}
