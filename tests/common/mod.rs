//! Whole requests in, whole responses out.

#![allow(dead_code, reason = "each test file uses its part")]

use kubewarden_policy_sdk::response::ValidationResponse;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A captured request: the file's name, the request of its AdmissionReview, and the request's text.
pub struct Captured {
    pub file: String,
    pub request: Value,
    pub text: String,
}

impl Captured {
    pub fn load(path: &Path) -> Self {
        let json = std::fs::read_to_string(path).unwrap();
        let mut review: Value = serde_json::from_str(&json).unwrap();
        let file = path.file_stem().unwrap().to_string_lossy().into_owned();
        let (_, text) = json.trim().split_once("\"request\":").unwrap();
        let text = text.strip_suffix('}').unwrap().to_owned();
        Self {
            file,
            request: review["request"].take(),
            text,
        }
    }

    /// One of `tests/data/special`.
    pub fn special(name: &str) -> Self {
        Self::load(&data().join("special").join(format!("{name}.json")))
    }

    /// Those of `tests/data/requests`.
    pub fn corpus() -> Vec<Self> {
        let folders = std::fs::read_dir(data().join("requests")).unwrap();
        let mut files: Vec<PathBuf> = folders
            .flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap())
            .map(|file| file.unwrap().path())
            .collect();
        files.sort();
        files.iter().map(|path| Self::load(path)).collect()
    }

    pub fn kind(&self) -> &str {
        self.request["kind"]["kind"].as_str().unwrap()
    }
}

/// The folder of the tests' data.
pub fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// The JSON files of a folder of `tests/data`, as their names and what `read` makes of each.
pub fn load_all<T>(folder: &str, read: fn(&str) -> T) -> Vec<(String, T)> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(data().join(folder))
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    files.sort();
    let name = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
    let file = |path: &PathBuf| (name(path), read(&std::fs::read_to_string(path).unwrap()));
    files.iter().map(file).collect()
}

/// The payload as policy-server writes it.
pub fn payload(request: &Value, settings: &Value) -> String {
    json!({ "request": request, "settings": settings }).to_string()
}

/// Asks the policy.
pub fn ask(request: &Value, settings: &Value) -> ValidationResponse {
    ask_text(payload(request, settings).as_bytes())
}

/// Asks the policy with any bytes.
pub fn ask_text(payload: &[u8]) -> ValidationResponse {
    let answer = bound_service_account_tokens::validate(payload).expect("an answer, always");
    serde_json::from_slice(&answer).expect("an answer that policy-server can decode")
}

/// The request to create a Pod.
pub fn create(pod: &Value) -> Value {
    json!({
        "uid": "1", "operation": "CREATE", "namespace": "payments", "name": "pod",
        "kind": { "group": "", "version": "v1", "kind": "Pod" },
        "object": pod,
    })
}

/// A Pod with this `spec`.
pub fn pod(spec: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "pod" }, "spec": spec })
}

/// A volume with one projected token.
pub fn token_volume(name: &str, audience: &Value, seconds: &Value) -> Value {
    json!({ "name": name, "projected": { "sources": [
        { "serviceAccountToken":
            { "path": "token", "audience": audience, "expirationSeconds": seconds } },
    ] } })
}

/// The lines of a rejection.
pub fn rejection(response: &ValidationResponse) -> Vec<&str> {
    assert!(!response.accepted, "is accepted");
    response.message.as_deref().unwrap().lines().collect()
}

/// The path that a line is about.
pub fn path(line: &str) -> &str {
    line.split_once(": ").unwrap().0
}

/// What the policy did, as the cases in `tests/data` name it.
pub fn decision(response: &ValidationResponse) -> &'static str {
    match (response.accepted, &response.mutated_object) {
        (false, _) => "reject",
        (true, Some(_)) => "mutate",
        (true, None) => "accept",
    }
}
