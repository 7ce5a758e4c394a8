//! What an image says about the module in it.

use crate::section;
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeMap;

/// The annotation that says where the source is, for everybody who knows nothing of policies.
const SOURCE: &str = "org.opencontainers.image.source";

/// The annotations of the manifest: those of the module's metadata, but for what has several lines,
/// which the OCI specification doesn't allow.
pub fn annotations(wasm: &[u8]) -> Result<BTreeMap<String, String>> {
    let metadata = section::section(wasm).context("it is no WebAssembly module")?;
    let metadata = metadata.with_context(|| {
        format!(
            "it has no section {}: run 'make annotated-policy.wasm'",
            section::SECTION
        )
    })?;
    let metadata: Value = serde_json::from_slice(metadata).context("its metadata")?;
    let mut annotations = BTreeMap::new();
    for (key, value) in metadata["annotations"].as_object().into_iter().flatten() {
        if let Some(value) = value.as_str().filter(|value| value.lines().count() <= 1) {
            annotations.insert(key.clone(), value.trim().to_owned());
        }
    }
    if let Some(source) = annotations.get("io.kubewarden.policy.source").cloned() {
        annotations.entry(SOURCE.to_owned()).or_insert(source);
    }
    Ok(annotations)
}
