//! Findings and the mode become a response.

use crate::json::{Lazy, Read};
use crate::lookup::{Cluster, Host};
use crate::message::{Joined, Misread, Path};
use crate::pod_spec::Pod;
use crate::reader::Error;
use crate::request::{Early, Payload, Request};
use crate::response::{Annotations, Event, Response};
use crate::rules::{self, Context, Finding, Remedy};
use crate::settings::{Mode, Settings};
use crate::target::Target;
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
    let at_end = Payload::settings_at_end(text);
    if let Some((at, settings)) = at_end.and_then(|at| Some((at, Settings::read(at).ok()?))) {
        let payload = Payload::read(text, Some(Early { text: at, settings: &settings }))?;
        let found = payload.get().and_then(|payload| payload.settings.text());
        if found.is_some_and(|found| std::ptr::eq(found, at)) {
            return Ok((payload, Ok(settings)));
        }
    }
    // They are not, or they are wrong: all over again, without an exemption that nobody granted.
    let payload = Payload::read(text, None)?;
    let found = payload.get().and_then(|payload| payload.settings.text());
    Ok((payload, Settings::read(found.unwrap_or("null"))))
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
    let Some(target) = Target::of(request) else { return Response::accept().write() };
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
        return Response::accept().write();
    }
    let service_account = request.service_account();
    let service_account = service_account.as_deref();
    if service_account.is_some_and(|name| settings.exempts_service_account(namespace, name)) {
        return Response::accept().write();
    }
    if let Some(key) = opted_out(request, &settings) {
        return accept_opted_out(request, target, key);
    }
    let settings = settings.for_namespace(namespace);
    let context = Context { settings: &settings, namespace, service_account, cluster };
    let findings = rules::check(request, target, &context);
    let is_mirror = || target == Target::Pod && request.object.pod().is_some_and(Pod::is_mirror);
    if findings.is_empty() || is_mirror() {
        return Response::accept().write();
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
        Joined(&path, ".")
    );
    let annotations = Annotations { opt_out: Some(key.to_owned()), ..Annotations::default() };
    let audit_annotations = Some(annotations);
    Response { audit_annotations, warnings: vec![warning], ..Response::accept() }.write()
}

fn reject(request: Option<&Request>, findings: &[Finding]) -> CallResult {
    let violations = Joined(findings, "\n").to_string();
    log(request, "rejected", &violations);
    let message = Some(violations.clone());
    Response { accepted: false, message, ..response(findings, violations) }.write()
}

fn decide(request: &Request, target: Target, mode: Mode, mut findings: Vec<Finding>) -> CallResult {
    if is_unchanged(request, target) {
        return Response::accept().write();
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
            let response = response(&findings, Joined(&lines, "\n").to_string());
            Response { warnings: lines, ..response }.write()
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
        return Response::accept().write();
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
    let violations = Joined(&findings, "\n").to_string();
    if !edits.is_empty() {
        log(Some(request), "mutated", &violations);
    }
    let response = Response { warnings, ..response(&findings, violations) };
    match request.object_text {
        Some(object) if !edits.is_empty() => response.write_with_object(object, edits),
        _ => response.write(),
    }
}

/// What all responses to findings have in common.
fn response(findings: &[Finding], violations: String) -> Response {
    let broken = |rule: &&&str| findings.iter().any(|finding| finding.rule == **rule);
    let rules: Vec<_> = rules::NAMES.iter().filter(broken).collect();
    let rules = Joined(&rules, ",").to_string();
    let annotations =
        Annotations { rules: Some(rules), violations: Some(violations), opt_out: None };
    Response { audit_annotations: Some(annotations), ..Response::accept() }
}

fn lines(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

fn log(request: Option<&Request>, message: &str, violations: &str) {
    let event = Event {
        level: "info",
        message,
        policy: env!("CARGO_PKG_NAME"),
        kind: request.and_then(|request| request.kind.get()).map_or("", |it| it.kind.or_empty()),
        operation: request.map_or("", |it| it.operation.or_empty()),
        namespace: request.map_or("", |it| it.namespace.or_empty()),
        name: request.map_or("", |it| it.name.or_empty()),
        violations,
    };
    event.log();
}
