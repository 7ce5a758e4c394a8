//! The section of a module in which kwctl and policy-server look for a policy's metadata.

use anyhow::Result;

/// The section's name.
pub const SECTION: &str = "io.kubewarden.metadata";

/// The metadata of a module, as JSON.
pub fn section(wasm: &[u8]) -> Result<Option<&[u8]>> {
    for payload in wasmparser::Parser::new(0).parse_all(wasm) {
        if let wasmparser::Payload::CustomSection(section) = payload?
            && section.name() == SECTION
        {
            return Ok(Some(section.data()));
        }
    }
    Ok(None)
}
