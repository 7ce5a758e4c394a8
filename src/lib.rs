//! A Kubewarden policy that makes every service-account token short-lived and readable only by
//! those who need it: the waPC entry points.
//!
//! Data flows one way. [`request`] reads the AdmissionRequest and, once its kind is known, decodes its
//! object into the views of [`objects`]; [`review`] lists what there is to see, [`kubelet`] what a
//! kubelet makes of it; each of the [`rules`] reports violations, and [`response`] makes an answer of
//! them. [`policy`] calls these in turn.

#![cfg_attr(
    test,
    allow(clippy::too_many_lines, reason = "tables of cases are long")
)]

use kubewarden_policy_sdk::{protocol_version_guest, settings::SettingsValidationResponse};
use wapc_guest::{CallResult, register_function};

mod cluster;
mod conversion;
mod decode;
mod field_path;
mod kubelet;
mod legacy_tokens;
mod lifetime;
mod message;
mod missing_fs_group;
mod objects;
mod patch;
mod policy;
mod request;
mod response;
mod review;
mod rules;
pub mod settings;
mod token_claims;
mod token_requests;

/// Registers the policy's functions. The host calls it once, before anything else.
#[allow(
    unsafe_code,
    reason = "the waPC host looks the function up by its name"
)]
#[unsafe(no_mangle)]
pub extern "C" fn wapc_init() {
    register_function("validate", validate);
    register_function("validate_settings", validate_settings);
    register_function("protocol_version", protocol_version_guest);
}

/// Answers one admission request.
///
/// # Errors
/// Never for what the payload holds: what can't be decoded is rejected with its path.
pub fn validate(payload: &[u8]) -> CallResult {
    policy::validate(payload, cluster::from_policy_server)
}

/// Checks the settings. Settings of any shape get an answer that people can read.
///
/// # Errors
/// Never for what the settings hold.
pub fn validate_settings(payload: &[u8]) -> CallResult {
    let json = std::str::from_utf8(payload).map_err(|e| e.to_string());
    let message = json.and_then(settings::Settings::read).err();
    Ok(serde_json::to_vec(&SettingsValidationResponse {
        valid: message.is_none(),
        message,
    })?)
}
