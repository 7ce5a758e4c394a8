//! Captured requests, and the policy's answers to them.

use crate::root;
use serde_json::{Value, json};
use std::path::PathBuf;

/// A captured request, and its file below `tests/data`.
#[derive(Debug, Clone)]
pub struct Captured {
    /// The file, for messages.
    pub file: String,
    /// The AdmissionRequest.
    pub request: Value,
}

/// Every captured request of a folder of `tests/data`, with its subfolders.
///
/// # Panics
/// When the folder can't be read.
pub fn captured(folder: &str) -> Vec<Captured> {
    let data = root().join("tests/data");
    let mut folders = vec![data.join(folder)];
    let mut files: Vec<PathBuf> = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    });
    files.sort();
    let load = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a file");
        let mut review: Value = serde_json::from_str(&text).expect("JSON");
        let file = path
            .strip_prefix(&data)
            .expect("below the data")
            .display()
            .to_string();
        Captured {
            file,
            request: review["request"].take(),
        }
    };
    files.into_iter().map(load).collect()
}

/// All of `requests`, `special`, `field` and `hostile`.
pub fn all_captured() -> Vec<Captured> {
    ["requests", "special", "field", "hostile"]
        .into_iter()
        .flat_map(captured)
        .collect()
}

/// One of `special`.
///
/// # Panics
/// When there is none of that name.
pub fn special(name: &str) -> Value {
    let file = format!("special/{name}.json");
    let found = captured("special")
        .into_iter()
        .find(|captured| captured.file == file);
    found.unwrap_or_else(|| panic!("{file}")).request
}

/// What the policy answers.
///
/// # Panics
/// When it doesn't answer.
pub fn ask(request: &Value, settings: &Value) -> Value {
    let payload = json!({ "request": request, "settings": settings }).to_string();
    let answer = bound_service_account_tokens::validate(payload.as_bytes()).expect("an answer");
    serde_json::from_slice(&answer).expect("JSON")
}

/// Why the policy refuses these settings, if it does.
///
/// # Panics
/// When it doesn't answer.
pub fn refusal(settings: &Value) -> Option<String> {
    let settings = settings.to_string();
    let answer = bound_service_account_tokens::validate_settings(settings.as_bytes());
    let answer: Value = serde_json::from_slice(&answer.expect("an answer")).expect("JSON");
    (answer["valid"] != true).then(|| answer["message"].to_string())
}
