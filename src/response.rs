//! The mode and the violations become the answer to policy-server, and a line in its log.

use crate::message::warning;
use crate::patch::Patch;
use crate::request::{AdmissionRequest, Subject};
use crate::rule::{Remedy, Violation};
use crate::settings::Mode;
use kubewarden_policy_sdk::logging::KubewardenDrain;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use slog::{Drain, Logger, info, o};
use std::collections::BTreeSet;

/// The SDK's `ValidationResponse`, with the object as text: as the SDK's `serde_json::Value` all
/// of it would be decoded and written.
#[derive(Debug, Default, Serialize)]
pub struct Response {
    pub accepted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mutated_object: Option<Box<RawValue>>,
    /// What goes into the API server's audit log: `opt-out`, the annotation with which the object
    /// took itself out; `rules`, the names of the rules that are broken; `violations`, in full and
    /// one a line.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub audit_annotations: Map<String, Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl Response {
    pub fn accept() -> Self {
        Self { accepted: true, ..Self::default() }
    }

    /// Rejects, in every mode, what can't be decoded.
    pub fn decode_error(message: String) -> Self {
        let mut response = Self { message: Some(message.clone()), ..Self::default() };
        response.annotate("decode".to_owned(), message);
        response
    }

    /// What the mode makes of the violations, each with its rule's name; and the patches that are
    /// to be applied to the object.
    pub fn new(
        mode: Mode,
        subject: Subject,
        violations: Vec<(&'static str, Violation)>,
    ) -> (Self, Vec<Patch>) {
        let accepted = !violations.iter().any(|(_, it)| is_rejected(it, mode));
        let mut response = Self { accepted, ..Self::default() };
        let (mut rules, mut lines, mut patches) = (BTreeSet::new(), Vec::new(), Vec::new());
        for (rule, violation) in violations {
            let warnings = warnings(&violation, mode, accepted);
            response.warnings.extend(warnings.iter().map(|text| warning(text)));
            if !is_reported(&violation, mode, subject) {
                continue;
            }
            rules.insert(rule);
            lines.push(violation.to_string());
            if let (true, Mode::Mutate, Remedy::Patch(more)) = (accepted, mode, violation.remedy) {
                patches.extend(more);
            }
        }
        if !lines.is_empty() {
            let violations = lines.join("\n");
            response.message = (!accepted).then(|| violations.clone());
            response.annotate(rules.into_iter().collect::<Vec<_>>().join(","), violations);
        }
        (response, patches)
    }

    fn annotate(&mut self, rules: String, violations: String) {
        self.audit_annotations.insert("rules".to_owned(), rules.into());
        self.audit_annotations.insert("violations".to_owned(), violations.into());
    }

    /// Writes a structured line into policy-server's log, unless the request is plainly accepted.
    /// A line that can't be written changes no answer.
    pub fn log(&self, request: Option<&AdmissionRequest>) {
        let Some(violations) = self.audit_annotations.get("violations") else { return };
        let policy = o!("policy" => env!("CARGO_PKG_NAME"));
        let logger = Logger::root(KubewardenDrain::default().ignore_res(), policy);
        let message = match (self.accepted, &self.mutated_object) {
            (false, _) => "rejected",
            (true, Some(_)) => "mutated",
            (true, None) => "accepted with warnings",
        };
        let [kind, operation, namespace, name] = request
            .map_or([""; 4], |it| [&*it.kind.kind, &*it.operation, &*it.namespace, &*it.name]);
        info!(
            logger, "{}", message;
            "kind" => kind, "operation" => operation, "namespace" => namespace, "name" => name,
            "violations" => violations.as_str(),
        );
    }
}

fn is_rejected(violation: &Violation, mode: Mode) -> bool {
    match (mode, &violation.remedy) {
        (_, Remedy::Error) => true,
        (_, Remedy::Notice) | (Mode::Warn, _) | (Mode::Mutate, Remedy::Patch(_) | Remedy::Warn) => {
            false
        }
        (Mode::Mutate | Mode::Reject, _) => !violation.is_presumed,
    }
}

/// What is in the message of a rejection and in the audit annotation.
fn is_reported(violation: &Violation, mode: Mode, subject: Subject) -> bool {
    match &violation.remedy {
        Remedy::Notice => false,
        // A template is never mutated: what a patch fixes is fixed in each of its Pods.
        Remedy::Patch(_) if mode == Mode::Mutate && subject == Subject::Template => false,
        _ => !violation.is_presumed,
    }
}

/// What the client is told of a violation beside a rejection.
fn warnings(violation: &Violation, mode: Mode, accepted: bool) -> Vec<String> {
    match (mode, &violation.remedy) {
        (_, Remedy::Notice) => violation.warnings.clone(),
        (Mode::Mutate, Remedy::Patch(_) | Remedy::Warn) if accepted => violation.warnings.clone(),
        (Mode::Mutate, Remedy::Patch(_) | Remedy::Warn) => Vec::new(),
        (Mode::Warn, _) if accepted => vec![violation.to_string()],
        _ if violation.is_presumed => vec![violation.to_string()],
        _ => Vec::new(),
    }
}
