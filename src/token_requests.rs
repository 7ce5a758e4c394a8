//! What a TokenRequest leaves in the API server's audit log, which at level Metadata says nothing of
//! it: who a token is for, how long it lives, and what ends it.

use crate::lifetime::{admitted, asked, effective};
use crate::message::{list_first, quote, shorten_value};
use crate::objects::{BoundObjectReference, TokenRequest};
use crate::request::AdmissionRequest;
use crate::response::Response;
use crate::review::RequestedToken;
use crate::settings::Settings;

/// Annotates the answer to a request that isn't a node's: nodes ask for each Pod, at each renewal.
pub fn annotate(
    response: &mut Response,
    token_request: &TokenRequest,
    request: &AdmissionRequest,
    settings: &Settings,
) {
    let Some(spec) = &token_request.spec else {
        return;
    };
    let token = &RequestedToken::of_token_request(spec, &request.user_info);
    if !token.is_authored {
        return;
    }
    let annotations = &mut response.audit_annotations;
    annotations.insert("token-seconds-asked", asked(token).to_string());
    if response.accepted {
        // What is neither changed nor refused lives as long as the API server lets it.
        let is_changed = response.mutated_object.is_some();
        let granted = if is_changed {
            admitted(token, settings)
        } else {
            effective(token, settings)
        };
        annotations.insert("token-seconds-granted", granted.to_string());
    }
    annotations.insert("token-audiences", name_audiences(token));
    let bound_to = name_bound_object(&spec.bound_object_ref);
    annotations.insert("token-bound-to", bound_to);
}

fn name_audiences(token: &RequestedToken) -> String {
    if token.audiences.is_empty() {
        return "the API server's own".to_owned();
    }
    list_first(&token.audiences, quote)
}

fn name_bound_object(object: &BoundObjectReference) -> String {
    if object.kind.is_empty() {
        return "nothing".to_owned();
    }
    format!(
        "{} {}",
        shorten_value(&object.kind),
        shorten_value(&object.name)
    )
}
