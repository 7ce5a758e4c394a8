//! One request from the payload to the answer.

use crate::cluster::{GetResource, Secrets};
use crate::field_path::FieldPath;
use crate::message::fit_warning;
use crate::objects::MIRROR_POD;
use crate::patch;
use crate::request::{AdmissionRequest, Payload, Subject, required};
use crate::response::{Answering, Response};
use crate::review::Review;
use crate::rules::{self, Context};
use crate::settings::{Mode, Settings};
use crate::token_requests;
use wapc_guest::CallResult;

pub fn validate(payload: &[u8], get_resource: GetResource) -> CallResult {
    let json = std::str::from_utf8(payload).map_err(|e| format!("request: Invalid value: {e}"));
    let response = match json.and_then(Payload::decode) {
        Ok(payload) => {
            let response = decide(&payload, get_resource);
            response.log(&payload.request);
            response
        }
        // Nothing tells in which mode.
        Err(message) => Response::decode_error(&message, Mode::Reject),
    };
    Ok(serde_json::to_vec(&response)?)
}

/// The answer. The kind comes first: what no rule is about, and what is in an exempt namespace, is
/// accepted without a look at the object.
fn decide(payload: &Payload, get_resource: GetResource) -> Response {
    let request = &payload.request;
    let kind = match request.subject_kind() {
        Ok(Some(kind)) => kind,
        Ok(None) => return Response::accept(),
        Err(path) => return Response::decode_error(&required(path), Mode::Reject),
    };
    let settings = match Settings::read(payload.settings.map_or("{}", |settings| settings.get())) {
        Ok(settings) => settings.for_namespace(&request.namespace),
        Err(problem) => {
            let message = format!("settings: Invalid value: {problem}");
            return Response::decode_error(&message, Mode::Reject);
        }
    };
    if settings.exempts_namespace(&request.namespace) {
        return Response::accept();
    }
    let mode = settings.mode;
    let judged = request
        .decode_subject(kind)
        .and_then(|subject| judge(&subject, request, settings, get_resource));
    judged.unwrap_or_else(|message| {
        let mode = if request.is_audit_of_undecodable() {
            Mode::Reject
        } else {
            mode
        };
        Response::decode_error(&message, mode)
    })
}

/// Judges a decoded object; or says what is missing.
fn judge(
    subject: &Subject,
    request: &AdmissionRequest,
    mut settings: Settings,
    get_resource: GetResource,
) -> Result<Response, String> {
    let audited_mode = request
        .is_audit(&subject.metadata().uid)
        .then_some(settings.mode);
    if audited_mode.is_some() {
        // The scanner would report what is mutated, or warned of, as compliant.
        settings.mode = Mode::Reject;
    }
    let accounts = subject.service_accounts(request);
    let left_alone = leave_alone(subject, request, &accounts, &settings);
    let mut response = if let Some(response) = left_alone {
        response
    } else {
        let account = accounts.first().map_or("", String::as_str);
        let review = Review::new(subject, request, account)?;
        let secrets = Secrets::new(get_resource, &request.namespace);
        apply_rules(&review, &settings, &secrets, audited_mode)?
    };
    if let Subject::TokenRequest(token_request) = subject {
        token_requests::annotate(&mut response, token_request, request, &settings);
    }
    Ok(response)
}

/// The answer about what no rule looks at: what belongs to exempt accounts only, what takes itself
/// out, and mirror Pods.
fn leave_alone(
    subject: &Subject,
    request: &AdmissionRequest,
    accounts: &[String],
    settings: &Settings,
) -> Option<Response> {
    let is_exempt = |account: &String| settings.exempts_account(&request.namespace, account);
    if !accounts.is_empty() && accounts.iter().all(is_exempt) {
        return Some(Response::accept());
    }
    opt_out(subject, settings).or_else(|| is_mirror_pod(subject).then(Response::accept))
}

fn apply_rules(
    review: &Review,
    settings: &Settings,
    secrets: &Secrets,
    audited_mode: Option<Mode>,
) -> Result<Response, String> {
    let request = review.request;
    let context = Context::new(review, settings, secrets);
    let violations = rules::check(review, &context);
    if !violations.is_empty() && request.changes_nothing_judged(review.subject) {
        return Ok(Response::accept());
    }
    let answering = Answering {
        mode: settings.mode,
        is_template: review.is_template(),
        audited_mode,
    };
    let (mut response, patches) = Response::new(answering, violations);
    if !patches.is_empty() {
        let object = request.object.map_or("null", |object| object.get());
        let mutated = patch::apply(object, patches);
        let mutated = mutated.map_err(|e| format!("object: Internal error: {e}"))?;
        response.mutated_object = Some(mutated);
    }
    Ok(response)
}

/// A Pod, or a template, takes itself out with an annotation.
fn opt_out(subject: &Subject, settings: &Settings) -> Option<Response> {
    let key = settings.opt_out_annotation.as_ref()?;
    let value = subject.pod_metadata()?.annotation(key)?;
    if value != "true" {
        return None;
    }
    let path = FieldPath::new(subject.pod_path())
        .child("metadata")
        .child("annotations");
    let warning = format!("{path}[{key}]: is \"true\", so that tokens are not checked");
    let mut response = Response::accept();
    response.warnings.push(fit_warning(&warning));
    response.audit_annotations.insert("opt-out", key.clone());
    Some(response)
}

/// True for the kubelet's mirror of a static Pod, which can hold no token: the API server refuses it
/// (`plugin/pkg/admission/serviceaccount`, `Validate`).
fn is_mirror_pod(subject: &Subject) -> bool {
    match subject {
        Subject::Pod(pod) => pod.metadata.annotation(MIRROR_POD).is_some(),
        _ => false,
    }
}
