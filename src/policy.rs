//! One request from the payload to the answer.

use crate::cluster::{GetResource, Secrets};
use crate::field_path::FieldPath;
use crate::message::warning;
use crate::patch;
use crate::request::{AdmissionRequest, Payload, Subject};
use crate::response::Response;
use crate::review::Review;
use crate::rules::{self, Context};
use crate::settings::{Mode, Settings};
use serde_json::Value;
use wapc_guest::CallResult;

pub fn validate(payload: &[u8], get_resource: GetResource) -> CallResult {
    let text = std::str::from_utf8(payload).map_err(|e| format!("request: Invalid value: {e}"));
    let json = *text.as_ref().unwrap_or(&"");
    let payload = text.and_then(Payload::decode);
    let response = match &payload {
        Ok(payload) => decide(json, payload, get_resource).unwrap_or_else(Response::decode_error),
        Err(_) if is_about_another_object(json) => Response::accept(),
        Err(message) => Response::decode_error(message.clone()),
    };
    response.log(&payload.unwrap_or_default().request);
    Ok(serde_json::to_vec(&response)?)
}

/// True for a request that no rule is about. Its object may hold anything.
fn is_about_another_object(json: &str) -> bool {
    let Ok(mut payload) = serde_json::from_str::<Value>(json) else { return false };
    payload.pointer_mut("/request/object").map(Value::take);
    Payload::decode(&payload.to_string()).is_ok_and(|it| it.request.subject() == Ok(None))
}

/// The answer; or what can't be decoded.
fn decide(json: &str, payload: &Payload, get_resource: GetResource) -> Result<Response, String> {
    let request = &payload.request;
    let Some(subject) = request.subject().map_err(missing)? else { return Ok(Response::accept()) };
    let settings = Settings::read(payload.settings.map_or("{}", |it| it.get()))
        .map_err(|e| format!("settings: Invalid value: {e}"))?;
    let mut settings = settings.for_namespace(&request.namespace);
    let old_pod = request.old_pod().map_err(|e| format!("oldObject: Invalid value: {e}"))?;
    let pod = old_pod.as_deref().or(request.pod());
    let account = request.account(subject, pod).unwrap_or_default();
    if settings.exempts(&request.namespace, &account) {
        return Ok(Response::accept());
    }
    // A Pod, or a template, takes itself out with an annotation.
    if let Some(key) = &settings.opt_out_annotation
        && pod.and_then(|pod| pod.annotation(key)).is_some_and(|value| value == "true")
    {
        let path = FieldPath::new(request.pod_path()).child("metadata").child("annotations");
        let text = format!("{path}[{key}]: is \"true\", so that tokens are not checked");
        let mut response = Response { warnings: vec![warning(&text)], ..Response::accept() };
        response.audit_annotations = [("opt-out", key.clone())].into();
        return Ok(response);
    }
    if request.is_audit() {
        // The scanner would report what is mutated, or warned of, as compliant.
        settings.mode = Mode::Reject;
    }
    let review = Review::new(subject, request, old_pod.as_deref(), &account).map_err(missing)?;
    let secrets = Secrets::new(get_resource, &request.namespace);
    let violations = rules::check(&review, &Context { settings: &settings, secrets: &secrets });
    if violations.is_empty() || is_left_alone(json, request, subject) {
        return Ok(Response::accept());
    }
    let (mut response, patches) = Response::new(settings.mode, subject, violations);
    if !patches.is_empty() {
        let object = patch::apply(json, patches);
        response.mutated_object = Some(object.map_err(|e| format!("object: Internal error: {e}"))?);
    }
    Ok(response)
}

fn missing(path: impl std::fmt::Display) -> String {
    format!("{path}: Required value: there is nothing to look at without it")
}

/// True for the kubelet's mirror of a static Pod, which can hold no token: the API server refuses it
/// (`plugin/pkg/admission/serviceaccount`, `Validate`). And for an update that changes nothing that
/// rules are about: a rejection would keep old objects from being scaled, labelled and deleted.
fn is_left_alone(json: &str, request: &AdmissionRequest, subject: Subject) -> bool {
    let path = match (subject, request.pod()) {
        (Subject::Pod, Some(it)) => return it.annotation("kubernetes.io/config.mirror").is_some(),
        (Subject::Template, _) => request.pod_path(),
        (Subject::CsiDriver, _) => &["spec", "tokenRequests"],
        _ => return false,
    };
    let payload = request.old_object.map(|_| serde_json::from_str::<Value>(json));
    let Some(Ok(payload)) = payload else { return false };
    let [old, new] = ["oldObject", "object"]
        .map(|object| payload.pointer(&format!("/request/{object}/{}", path.join("/"))));
    old.is_some() && old == new
}
