//! The baseline of the benchmark: reads the request and its Pod into typed structs, as most
//! policies do, and mutates by writing the whole Pod again.

use k8s_openapi::api::core::v1::{Pod, PodSecurityContext};
use kubewarden_policy_sdk::request::ValidationRequest;
use kubewarden_policy_sdk::settings::Validatable;
use kubewarden_policy_sdk::{accept_request, mutate_request};
use serde::{Deserialize, Serialize};
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

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Settings {
    exempt_namespaces: Vec<String>,
    overrides: Vec<Override>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Override {
    namespaces: Vec<String>,
    mode: Option<String>,
}

impl Validatable for Settings {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Decides about one admission request.
///
/// # Errors
/// When the payload can't be read.
pub fn validate(payload: &[u8]) -> CallResult {
    let request = ValidationRequest::<Settings>::new(payload)?;
    if request
        .settings
        .exempt_namespaces
        .contains(&request.request.namespace)
    {
        return accept_request();
    }
    let mut pod: Pod = serde_json::from_value(request.request.object)?;
    if mutate(&mut pod) {
        mutate_request(serde_json::to_value(pod)?)
    } else {
        accept_request()
    }
}

fn mutate(pod: &mut Pod) -> bool {
    let Some(spec) = &mut pod.spec else {
        return false;
    };
    let mut changed = false;
    let volumes = spec.volumes.iter_mut().flatten();
    let sources = volumes.filter_map(|volume| volume.projected.as_mut()?.sources.as_mut());
    for token in sources
        .flatten()
        .filter_map(|source| source.service_account_token.as_mut())
    {
        if token
            .expiration_seconds
            .is_some_and(|seconds| seconds > 3600)
        {
            token.expiration_seconds = Some(3600);
            changed = true;
        }
    }
    let context = spec
        .security_context
        .get_or_insert_with(PodSecurityContext::default);
    if changed && context.fs_group.is_none() {
        context.fs_group = Some(65534);
    }
    changed
}
