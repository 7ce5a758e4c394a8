//! Findings and the mode become a response.

use crate::fix::{self, Edit};
use crate::json::{Lazy, Misread, Misreads, Path, Read};
use crate::lookup::{Cluster, Host};
use crate::pod_spec::Pod;
use crate::reader::Error;
use crate::request::{Payload, Request};
use crate::rules::{self, Context, Finding, Remedy};
use crate::settings::{Mode, Settings};
use crate::target::Target;
use kubewarden_policy_sdk::accept_request as accept;
use kubewarden_policy_sdk::{logging::KubewardenDrain, response::ValidationResponse};
use slog::{Logger, info, o};
use std::collections::HashMap;
use wapc_guest::CallResult;

/// The response to a payload.
///
/// # Errors
/// Never for what stands in the payload.
pub fn on(payload: &[u8]) -> CallResult {
    with_cluster(payload, &Host)
}

/// The response to a payload, with somebody else to answer questions about the cluster.
///
/// # Errors
/// Never for what stands in the payload.
pub fn with_cluster(payload: &[u8], cluster: &dyn Cluster) -> CallResult {
    let text = match std::str::from_utf8(payload) {
        Ok(text) => text,
        Err(e) => return reject(None, &[unreadable("request", format!("is not UTF-8: {e}"))]),
    };
    match read(text) {
        Ok((payload, settings)) => on_payload(&payload, settings, cluster),
        Err(e) => reject(None, &[unreadable("request", format!("can't be read: {e}"))]),
    }
}

/// The payload and the settings in it. The settings are read first, if they are where they should
/// be: what is exempt needn't be read.
fn read(text: &str) -> Result<(Read<Payload<'_>>, Result<Settings<'_>, String>), Error> {
    let early = Payload::settings_at_end(text);
    let settings = early.map(Settings::read);
    let exempts = |namespace: &str| {
        settings
            .as_ref()
            .is_some_and(|it| it.as_ref().is_ok_and(|it| it.exempts_namespace(namespace)))
    };
    let payload = Payload::read(text, &exempts)?;
    let found = payload.get().and_then(|payload| payload.settings.text());
    let same = early.zip(found).is_some_and(|(early, found)| std::ptr::eq(early, found));
    match settings {
        Some(settings) if same => Ok((payload, settings)),
        // They were not: all over again, without an exemption that nobody granted.
        _ => Ok((Payload::read(text, &|_| false)?, Settings::read(found.unwrap_or("null")))),
    }
}

fn unreadable(path: &str, message: String) -> Finding<'static> {
    Misread { path: path.to_owned(), message }.into()
}

fn on_payload(
    read: &Read<Payload>,
    settings: Result<Settings, String>,
    cluster: &dyn Cluster,
) -> CallResult {
    let Some(Payload { request: Read::Is(request), .. }) = read.get() else {
        return reject(None, &[unreadable("request", "is missing or no object".to_owned())]);
    };
    let mut misreads = Vec::new();
    request.misreads(&Path::Keys(&["request"]), &mut misreads);
    if !misreads.is_empty() {
        let findings: Vec<_> = misreads.into_iter().map(Finding::from).collect();
        return reject(Some(request), &findings);
    }
    let Some(target) = Target::of(request) else { return accept() };
    match settings {
        Ok(settings) => on_request(request, target, settings, cluster),
        Err(message) => reject(Some(request), &[unreadable("settings", message)]),
    }
}

fn on_request(
    request: &Request,
    target: Target,
    settings: Settings,
    cluster: &dyn Cluster,
) -> CallResult {
    let namespace = request.namespace.or_empty();
    if settings.exempts_namespace(namespace) {
        return accept();
    }
    let service_account = request.service_account();
    let service_account = service_account.as_deref();
    if service_account.is_some_and(|name| settings.exempts_service_account(namespace, name)) {
        return accept();
    }
    if let Some(key) = opted_out(request, &settings) {
        return accept_opted_out(request, target, key);
    }
    let settings = settings.for_namespace(namespace);
    let context = Context { settings: &settings, namespace, service_account, cluster };
    let findings = rules::check(request, target, &context);
    let is_mirror = || target == Target::Pod && request.object.pod().is_some_and(Pod::is_mirror);
    if findings.is_empty() || is_mirror() {
        return accept();
    }
    decide(request, target, settings.mode, findings)
}

/// The annotation with which the object takes itself out.
fn opted_out<'s>(request: &Request, settings: &'s Settings) -> Option<&'s str> {
    let key = settings.opt_out_annotation.as_deref()?;
    let value = request.object.pod()?.annotation(key)?;
    (value == "true").then_some(key)
}

fn accept_opted_out(request: &Request, target: Target, key: &str) -> CallResult {
    let mut path = request.object.pod_path().to_vec();
    path.extend(["metadata", "annotations"]);
    let what = if target == Target::Template { "these Pods are" } else { "this Pod is" };
    let warning = format!(
        "{}: {key} is \"true\", so {what} not checked for long-lived tokens",
        path.join(".")
    );
    Ok(serde_json::to_vec(&ValidationResponse {
        audit_annotations: Some(HashMap::from([("opt-out".to_owned(), key.to_owned())])),
        warnings: Some(vec![warning]),
        ..response(&[], String::new())
    })?)
}

fn reject(request: Option<&Request>, findings: &[Finding]) -> CallResult {
    let violations = lines(findings).join("\n");
    log(request, "rejected", &violations);
    let response = ValidationResponse {
        accepted: false,
        message: Some(violations.clone()),
        ..response(findings, violations)
    };
    Ok(serde_json::to_vec(&response)?)
}

fn decide(request: &Request, target: Target, mode: Mode, mut findings: Vec<Finding>) -> CallResult {
    if is_unchanged(request, target) {
        return accept();
    }
    let blind = findings.iter().any(Finding::is_blind);
    match mode {
        Mode::Mutate => {
            if target == Target::Template {
                // What a fix mends is mended in each Pod.
                findings.retain(|finding| !matches!(finding.remedy, Remedy::Edit(_)));
            }
            mutate(request, findings)
        }
        Mode::Warn if !blind => {
            let lines = lines(&findings);
            let response = response(&findings, lines.join("\n"));
            Ok(serde_json::to_vec(&ValidationResponse { warnings: Some(lines), ..response })?)
        }
        Mode::Reject | Mode::Warn => reject(Some(request), &findings),
    }
}

/// True for an update that leaves alone what the rules are about. Rejecting it would keep old
/// objects from being scaled, labelled and deleted.
fn is_unchanged(request: &Request, target: Target) -> bool {
    let part = match target {
        Target::Template => request.object.pod_path(),
        Target::CsiDriver => &["spec", "tokenRequests"],
        _ => return false,
    };
    let Some(old) = request.old_object.at(part).text() else { return false };
    let Some(new) = request.object_text.map(Lazy::whole).and_then(|object| object.at(part).text())
    else {
        return false;
    };
    // The API server writes both, and policy-server writes them anew: what is the same looks the
    // same.
    old == new
}

fn mutate(request: &Request, mut findings: Vec<Finding>) -> CallResult {
    if findings.is_empty() {
        return accept();
    }
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
    let violations = lines(&findings).join("\n");
    if !edits.is_empty() {
        log(Some(request), "mutated", &violations);
    }
    let response = ValidationResponse { warnings, ..response(&findings, violations) };
    if edits.is_empty() {
        return Ok(serde_json::to_vec(&response)?);
    }
    with_object(request, &response, edits)
}

/// What all responses to findings have in common.
fn response(findings: &[Finding], violations: String) -> ValidationResponse {
    let broken = |rule: &&&str| findings.iter().any(|finding| finding.rule == **rule);
    let rules = rules::NAMES.iter().filter(broken).copied().collect::<Vec<_>>().join(",");
    let annotations = [("rules", rules), ("violations", violations)];
    ValidationResponse {
        accepted: true,
        message: None,
        code: None,
        mutated_object: None,
        audit_annotations: Some(HashMap::from(annotations.map(|(key, it)| (key.to_owned(), it)))),
        warnings: None,
    }
}

/// The response with the edited object in it. The SDK's type holds the object as a
/// [`serde_json::Value`]; that would parse it all and write it anew, and so it is spliced into
/// the response's text.
fn with_object(request: &Request, response: &ValidationResponse, edits: Vec<Edit>) -> CallResult {
    const MEMBER: &str = "\"mutated_object\":";
    let text = serde_json::to_string(response)?;
    let (Some(object), Some((before, after))) = (request.object_text, text.split_once(MEMBER))
    else {
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
fn log(request: Option<&Request>, verdict: &str, violations: &str) {
    let log = Logger::root(KubewardenDrain::new(), o!("policy" => env!("CARGO_PKG_NAME")));
    let (namespace, name, operation) = request.map_or(("", "", ""), |request| {
        (request.namespace.or_empty(), request.name.or_empty(), request.operation.or_empty())
    });
    let kind = request.and_then(|request| request.kind.get()).map_or("", |it| it.kind.or_empty());
    info!(log, "{}", verdict;
        "kind" => kind, "operation" => operation, "namespace" => namespace, "name" => name,
        "violations" => violations);
}
