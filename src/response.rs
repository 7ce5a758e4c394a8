//! The mode and the violations become the answer to policy-server, and a line in its log.

use crate::message::warning;
use crate::patch::Patch;
use crate::request::{AdmissionRequest, Subject};
use crate::rules::{Remedy, Violation};
use crate::settings::Mode;
use kubewarden_policy_sdk::logging::KubewardenDrain;
use serde::Serialize;
use serde_json::value::RawValue;
use slog::{Drain, Logger, info, o};
use std::collections::{BTreeMap, BTreeSet};

/// The SDK's `ValidationResponse`, with the object as text: a `Value` would decode all of it.
#[derive(Debug, Default, Serialize)]
pub struct Response {
    pub accepted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mutated_object: Option<Box<RawValue>>,
    /// For the API server's audit log: `opt-out`, the annotation with which the object took itself
    /// out; `rules`, the names of the rules that are broken, `lookup` where one couldn't be evaluated;
    /// `violations`, in full, one a line.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub audit_annotations: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl Response {
    pub fn accept() -> Self {
        Self { accepted: true, ..Self::default() }
    }

    /// Rejects, in every mode, what can't be decoded.
    pub fn decode_error(message: String) -> Self {
        let annotations = [("rules", "decode".to_owned()), ("violations", message.clone())];
        Self { message: Some(message), audit_annotations: annotations.into(), ..Self::default() }
    }

    /// What the mode makes of the violations, each with its rule's name; and the patches that are
    /// to be applied to the object.
    pub fn new(
        mode: Mode,
        subject: Subject,
        violations: Vec<(&'static str, Violation)>,
    ) -> (Self, Vec<Patch>) {
        let accepted = !violations.iter().any(|(_, it)| is_rejected(&it.remedy, mode));
        let mut response = Self { accepted, ..Self::default() };
        let (mut rules, mut lines, mut patches) = (BTreeSet::new(), Vec::new(), Vec::new());
        for (rule, violation) in violations {
            let line = violation.to_string();
            let warnings = match (mode, &violation.remedy) {
                (_, Remedy::Notice) => &*violation.warnings,
                (Mode::Mutate, _) if accepted => &*violation.warnings,
                (Mode::Warn, _) if accepted => std::slice::from_ref(&line),
                _ => &[],
            };
            response.warnings.extend(warnings.iter().map(|text| warning(text)));
            let rule = if matches!(violation.remedy, Remedy::Error) { "lookup" } else { rule };
            match (mode, violation.remedy) {
                (_, Remedy::Notice) => continue,
                // A template is never mutated: this is fixed in each of its Pods.
                (Mode::Mutate, Remedy::Patch(_)) if subject == Subject::Template => continue,
                (Mode::Mutate, Remedy::Patch(more)) if accepted => patches.extend(more),
                _ => {}
            }
            rules.insert(rule);
            lines.push(line);
        }
        if !lines.is_empty() {
            let violations = lines.join("\n");
            response.message = (!accepted).then(|| violations.clone());
            let rules = rules.into_iter().collect::<Vec<_>>().join(",");
            response.audit_annotations = [("rules", rules), ("violations", violations)].into();
        }
        (response, patches)
    }

    /// Writes a structured line into policy-server's log, unless the request is plainly accepted.
    /// A line that can't be written changes no answer.
    pub fn log(&self, request: &AdmissionRequest) {
        let Some(violations) = self.audit_annotations.get("violations") else { return };
        let policy = o!("policy" => env!("CARGO_PKG_NAME"));
        let logger = Logger::root(KubewardenDrain::default().ignore_res(), policy);
        let message = match (self.accepted, &self.mutated_object) {
            (false, _) => "rejected",
            (true, Some(_)) => "mutated",
            (true, None) => "accepted with warnings",
        };
        info!(
            logger, "{}", message;
            "kind" => &*request.kind.kind, "operation" => &*request.operation,
            "namespace" => &*request.namespace, "name" => &*request.name,
            "violations" => &**violations,
        );
    }
}

fn is_rejected(remedy: &Remedy, mode: Mode) -> bool {
    match remedy {
        Remedy::Error => true,
        Remedy::Notice => false,
        Remedy::Reject => mode != Mode::Warn,
        Remedy::Patch(_) | Remedy::Warn => mode == Mode::Reject,
    }
}
