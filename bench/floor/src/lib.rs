//! The floor of the benchmark: receives the payload, checks that it is JSON, accepts it.

use serde::de::IgnoredAny;
use wapc_guest::{CallResult, register_function};

/// Registers the policy's function.
#[allow(
    unsafe_code,
    reason = "the waPC host looks the function up by its name"
)]
#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub extern "C" fn wapc_init() {
    register_function("validate", validate);
}

/// Decides about one admission request.
///
/// # Errors
/// When the payload can't be read.
pub fn validate(payload: &[u8]) -> CallResult {
    serde_json::from_slice::<IgnoredAny>(payload)?;
    Ok(br#"{"accepted":true}"#.to_vec())
}
