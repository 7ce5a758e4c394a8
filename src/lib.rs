//! A Kubewarden policy that makes every service-account token short-lived and readable only by
//! those who need it.
//!
//! This file holds the waPC entry points, nothing else. Data flows one way: [`request`] reads
//! the payload, [`target`] says whether a rule is about it, [`rules`] report findings on the
//! borrowed views of [`pod_spec`] and [`objects`], and [`verdict`] makes a [`response`] of them, with
//! the edits of [`fix`] on the object's own text.
//!
//! Beneath that: [`settings`] are what an operator writes, [`lookup`] asks the cluster, [`reader`]
//! goes through JSON text, [`json`] makes views of it and [`section`] settings.

use kubewarden_policy_sdk::protocol_version_guest;
use kubewarden_policy_sdk::settings::SettingsValidationResponse;
use wapc_guest::{CallResult, register_function};

pub mod fix;
pub mod json;
pub mod lookup;
pub mod message;
pub mod objects;
pub mod pattern;
pub mod pod_spec;
pub mod reader;
pub mod request;
pub mod response;
pub mod rules;
pub mod section;
pub mod settings;
pub mod target;
pub mod verdict;

/// Registers the policy's functions. The host calls it once, before anything else.
#[allow(unsafe_code, reason = "the waPC host looks the function up by its name")]
#[unsafe(no_mangle)]
pub extern "C" fn wapc_init() {
    register_function("validate", validate);
    register_function("validate_settings", validate_settings);
    register_function("protocol_version", protocol_version_guest);
}

/// Decides about one admission request.
///
/// # Errors
/// Never for what stands in the payload: what can't be read is rejected with its path.
pub fn validate(payload: &[u8]) -> CallResult {
    verdict::on(payload)
}

/// Checks the settings. Settings of any shape get an answer that people can read.
///
/// # Errors
/// Never, but for running out of memory.
pub fn validate_settings(payload: &[u8]) -> CallResult {
    let message = match std::str::from_utf8(payload) {
        Ok(json) => settings::Settings::read(json).err(),
        Err(e) => Some(format!("the settings: {e}")),
    };
    Ok(serde_json::to_vec(&SettingsValidationResponse { valid: message.is_none(), message })?)
}
