//! One request from the payload to the answer.

use crate::cluster::{GetResource, Secrets};
use crate::field_path::FieldPath;
use crate::message::warning;
use crate::objects::KubernetesObject;
use crate::patch;
use crate::request::{AdmissionRequest, Payload, Subject};
use crate::response::Response;
use crate::review::Review;
use crate::rule::Context;
use crate::rules;
use crate::settings::{Mode, Settings};
use serde_json::Value;
use std::fmt::Display;
use wapc_guest::CallResult;

pub fn validate(payload: &[u8], get_resource: GetResource) -> CallResult {
    let response = match std::str::from_utf8(payload) {
        Ok(json) => answer(json, get_resource),
        Err(e) => Response::decode_error(format!("request: Invalid value: {e}")),
    };
    Ok(serde_json::to_vec(&response)?)
}

fn answer(json: &str, get_resource: GetResource) -> Response {
    let payload = Payload::decode(json);
    let response = match &payload {
        Ok(payload) => decide(json, payload, get_resource),
        Err(_) if is_about_another_object(json) => Response::accept(),
        Err(message) => Response::decode_error(message.clone()),
    };
    response.log(payload.ok().as_ref().map(|payload| &payload.request.0));
    response
}

/// True for a request that no rule is about. Its object may hold anything.
fn is_about_another_object(json: &str) -> bool {
    let Ok(mut payload) = serde_json::from_str::<Value>(json) else { return false };
    if let Some(object) = payload.pointer_mut("/request/object") {
        object.take();
    }
    Payload::decode(&payload.to_string()).is_ok_and(|Payload { request, .. }| {
        request.missing_field().is_none() && request.subject().is_none()
    })
}

fn decide(json: &str, payload: &Payload, get_resource: GetResource) -> Response {
    let request = &payload.request;
    if let Some(field) = request.missing_field() {
        return missing(format!("request.{field}"));
    }
    let Some(subject) = request.subject() else { return Response::accept() };
    let mut settings = match Settings::read(payload.settings.map_or("{}", |it| it.get())) {
        Ok(settings) => settings.for_namespace(&request.namespace),
        Err(e) => return Response::decode_error(format!("settings: Invalid value: {e}")),
    };
    let existing_pod = request.existing_pod();
    let pod = existing_pod.as_deref().or(request.pod());
    let account = request.service_account(subject, pod);
    if settings.exempts(&request.namespace, &account) {
        return Response::accept();
    }
    if let Some(response) = opted_out(pod, request.pod_path(), &settings) {
        return response;
    }
    if request.is_audit() {
        // The scanner would report what is mutated, or warned of, as compliant.
        settings.mode = Mode::Reject;
    }
    let review = match Review::new(subject, request, existing_pod.as_deref(), &account) {
        Ok(review) => review,
        Err(path) => return missing(path),
    };
    let secrets = Secrets::new(get_resource, &request.namespace);
    let violations = rules::check(&review, &Context { settings: &settings, secrets: &secrets });
    if violations.is_empty()
        || (subject == Subject::Pod && pod.is_some_and(KubernetesObject::is_mirror))
        || is_unchanged(json, request, subject)
    {
        return Response::accept();
    }
    let (response, patches) = Response::new(settings.mode, subject, violations);
    if patches.is_empty() {
        return response;
    }
    match patch::apply(json, &FieldPath::new(&["request", "object"]), patches) {
        Ok(object) => Response { mutated_object: Some(object), ..response },
        Err(e) => Response::decode_error(format!("object: Internal error: {e}")),
    }
}

fn missing(path: impl Display) -> Response {
    let message = format!("{path}: Required value: there is nothing to look at without it");
    Response::decode_error(message)
}

/// A Pod, or a template, takes itself out with an annotation.
fn opted_out(
    pod: Option<&KubernetesObject>,
    path: &[&'static str],
    settings: &Settings,
) -> Option<Response> {
    let key = settings.opt_out_annotation.as_ref()?;
    if pod?.annotation(key)? != "true" {
        return None;
    }
    let path = FieldPath::new(path).child("metadata").child("annotations");
    let mut response = Response::accept();
    let text = format!("{path}[{key}]: is \"true\", so that tokens are not checked");
    response.warnings.push(warning(&text));
    response.annotate("opt-out", key.clone());
    Some(response)
}

/// True for an update that leaves alone what the rules are about. A rejection would keep old
/// objects from being scaled, labelled and deleted.
fn is_unchanged(json: &str, request: &AdmissionRequest, subject: Subject) -> bool {
    let path = match subject {
        Subject::Template => request.pod_path(),
        Subject::CsiDriver => &["spec", "tokenRequests"],
        _ => return false,
    };
    if request.old_object.is_none() {
        return false;
    }
    let Ok(payload) = serde_json::from_str::<Value>(json) else { return false };
    let [old, new] = ["oldObject", "object"]
        .map(|object| payload.pointer(&format!("/request/{object}/{}", path.join("/"))));
    old.is_some() && old == new
}
