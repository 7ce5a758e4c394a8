//! A verdict for people.

use crate::admission::{AdmissionRequest, AdmissionResponse};
use anyhow::Result;
use json_patch::PatchOperation::{Add, Copy, Move, Remove, Replace, Test};
use serde_json::Value;
use std::fmt::Write;

/// The verdict, each violation, and each change as path, old and new value.
pub fn explain(request: &AdmissionRequest, response: &AdmissionResponse) -> Result<String> {
    let mut out = String::new();
    let patch = response.patch()?;
    let verdict = match (response.allowed, patch.is_empty()) {
        (true, true) => "ACCEPTED",
        (true, false) => "ACCEPTED, with changes",
        (false, _) => "REJECTED",
    };
    writeln!(out, "{}: {verdict}", request.title())?;
    let message = response
        .status
        .as_ref()
        .and_then(|status| status.message.as_deref());
    let violations = message
        .or(response.annotation("violations"))
        .unwrap_or_default();
    section(&mut out, "violations", violations.lines())?;
    let warnings = response.warnings.as_deref().unwrap_or_default();
    section(&mut out, "warnings", warnings.iter().map(String::as_str))?;
    let old = request.object.as_ref().unwrap_or(&Value::Null);
    let changes = patch.iter().map(|operation| {
        let path = operation.path().as_str();
        let before = old
            .pointer(path)
            .map_or("(nothing)".to_owned(), Value::to_string);
        let after = match operation {
            Add(add) => add.value.to_string(),
            Replace(replace) => replace.value.to_string(),
            Remove(_) => "(nothing)".to_owned(),
            Move(from) => format!("what was at {}", from.from),
            Copy(from) => format!("what is at {}", from.from),
            Test(test) => test.value.to_string(),
        };
        format!("{path}: {before} -> {after}")
    });
    section(&mut out, "changes", changes)?;
    Ok(out)
}

fn section<T: AsRef<str>>(
    out: &mut String,
    title: &str,
    lines: impl Iterator<Item = T>,
) -> Result<()> {
    let mut lines = lines.peekable();
    if lines.peek().is_some() {
        writeln!(out, "\n{title}:")?;
    }
    for line in lines {
        writeln!(out, "  {}", line.as_ref())?;
    }
    Ok(())
}
