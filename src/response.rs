//! What the policy-server is told: the answer to a request, and a line in its log.
//!
//! The SDK has types for both. Its response holds the object as a `serde_json::Value` and its log
//! drain makes one of each line, and with them floating-point numbers, maps and hash tables come
//! into the module: a third of its size. Tests compare what is written here with the SDK's types.

use crate::fix::{self, Edit};
use serde::Serialize;
use wapc_guest::CallResult;

/// `ValidationResponse` of the SDK; what isn't there is left out.
#[derive(Debug, Default, Serialize)]
pub struct Response {
    /// True if the request is accepted.
    pub accepted: bool,
    /// Why it isn't.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What goes into the API server's audit log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_annotations: Option<Annotations>,
    /// What the client is told, accepted or not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The audit annotations.
#[derive(Debug, Default, Serialize)]
pub struct Annotations {
    /// The annotation with which the object took itself out.
    #[serde(rename = "opt-out", skip_serializing_if = "Option::is_none")]
    pub opt_out: Option<String>,
    /// The names of the rules that are broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<String>,
    /// What a person sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub violations: Option<String>,
}

impl Response {
    /// The response to what nothing is wrong with.
    pub fn accept() -> Self {
        Self { accepted: true, ..Self::default() }
    }

    /// Writes it.
    ///
    /// # Errors
    /// Never, but for running out of memory.
    pub fn write(&self) -> CallResult {
        Ok(serde_json::to_vec(self)?)
    }

    /// Writes it with the object as the edits make it.
    ///
    /// # Errors
    /// When an edit doesn't fit the object, which no rule's edits should bring about.
    pub fn write_with_object(&self, object: &str, edits: Vec<Edit>) -> CallResult {
        let mut out = serde_json::to_string(self)?;
        out.reserve(object.len() + fix::added(&edits) + 32);
        out.pop();
        out.push_str(",\"mutated_object\":");
        fix::apply(object, edits, &mut out).ok_or("an edit does not fit the object")?;
        out.push('}');
        Ok(out.into_bytes())
    }
}

/// One structured line in the policy-server's log
/// (`crates/policy-evaluator/src/policy_tracing.rs` in kubewarden/kubewarden-controller).
#[derive(Debug, Serialize)]
pub struct Event<'e> {
    /// How important it is.
    pub level: &'static str,
    /// What happened.
    pub message: &'e str,
    /// The policy that says so.
    pub policy: &'static str,
    /// The object's kind.
    pub kind: &'e str,
    /// What was being done to it.
    pub operation: &'e str,
    /// Where.
    pub namespace: &'e str,
    /// Its name.
    pub name: &'e str,
    /// What is wrong with it, one violation in a line.
    pub violations: &'e str,
}

impl Event<'_> {
    /// Hands it to the policy-server. A log that can't be written changes no verdict.
    pub fn log(&self) {
        if let Ok(line) = serde_json::to_vec(self) {
            drop(wapc_guest::host_call("kubewarden", "tracing", "log", &line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kubewarden_policy_sdk::response::ValidationResponse;
    use serde_json::{Value, json};

    fn annotations() -> Annotations {
        let text = |it: &str| Some(it.to_owned());
        Annotations { opt_out: text("a"), rules: text("b"), violations: text("c\n\"d\"") }
    }

    #[test]
    fn the_sdk_reads_what_is_written() {
        let warned = Response {
            accepted: false,
            message: Some("why".to_owned()),
            audit_annotations: Some(annotations()),
            warnings: vec!["one".to_owned(), "two".to_owned()],
        };
        let object = r#"{"kind":"Pod"}"#;
        let edit = Edit::Replace { at: &object[1..1], with: r#""a":1,"#.to_owned() };
        for (written, expected) in [
            (Response::accept().write(), json!({ "accepted": true })),
            (
                warned.write(),
                json!({
                    "accepted": false, "message": "why", "warnings": ["one", "two"],
                    "audit_annotations": { "opt-out": "a", "rules": "b", "violations": "c\n\"d\"" },
                }),
            ),
            (
                Response::accept().write_with_object(object, vec![edit]),
                json!({ "accepted": true, "mutated_object": { "a": 1, "kind": "Pod" } }),
            ),
        ] {
            let written: Value = serde_json::from_slice(&written.unwrap()).unwrap();
            assert_eq!(written, expected);
            // What the SDK's type doesn't know, or calls otherwise, would not come back.
            let read: ValidationResponse = serde_json::from_value(written.clone()).unwrap();
            let mut again = serde_json::to_value(read).unwrap();
            again.as_object_mut().unwrap().retain(|_, member| !member.is_null());
            assert_eq!(again, expected);
        }
    }

    #[test]
    fn edits_that_do_not_fit_are_an_error() {
        let edit = Edit::Replace { at: "elsewhere", with: String::new() };
        assert!(Response::accept().write_with_object("{}", vec![edit]).is_err());
    }
}
