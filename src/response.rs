//! The mode and the violations become the answer to policy-server, and a line in its log.

use crate::message::warning;
use crate::objects::text;
use crate::patch::Patches;
use crate::request::{AdmissionRequest, Subject};
use crate::rule::{Remedy, Violation};
use crate::settings::Mode;
use kubewarden_policy_sdk::logging::KubewardenDrain;
use serde::Serialize;
use serde_json::value::RawValue;
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_annotations: Option<AuditAnnotations>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// What goes into the API server's audit log.
#[derive(Debug, Default, Clone, Serialize)]
pub struct AuditAnnotations {
    /// The annotation with which the object took itself out.
    #[serde(rename = "opt-out", skip_serializing_if = "Option::is_none")]
    pub opt_out: Option<String>,
    /// The names of the rules that are broken, sorted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<String>,
    /// All violations in full, one a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub violations: Option<String>,
}

impl AuditAnnotations {
    fn new(rules: String, violations: String) -> Self {
        Self { rules: Some(rules), violations: Some(violations), opt_out: None }
    }
}

impl Response {
    pub fn accept() -> Self {
        Self { accepted: true, ..Self::default() }
    }

    /// Rejects, in every mode, what can't be decoded.
    pub fn decode_error(message: String) -> Self {
        let audit_annotations = Some(AuditAnnotations::new("decode".to_owned(), message.clone()));
        Self { message: Some(message), audit_annotations, ..Self::default() }
    }

    /// What the mode makes of the violations, each with its rule's name; and the patches that are
    /// to be applied to the object.
    pub fn new(
        mode: Mode,
        subject: Subject,
        violations: Vec<(&'static str, Violation)>,
    ) -> (Self, Patches) {
        let accepted = !violations.iter().any(|(_, it)| is_rejected(it, mode));
        let warnings = violations.iter().flat_map(|(_, it)| warnings(it, mode, accepted));
        let warnings = warnings.map(warning).collect();
        // A template is never mutated: what a patch fixes is fixed in each of its Pods.
        let is_fixed_later = |it: &Violation| {
            mode == Mode::Mutate
                && subject == Subject::Template
                && matches!(it.remedy, Remedy::Patch(_))
        };
        let is_reported = |it: &Violation| {
            !matches!(it.remedy, Remedy::Notice) && !it.is_presumed && !is_fixed_later(it)
        };
        let (mut rules, mut lines) = (BTreeSet::new(), Vec::new());
        let mut patches = Patches::new();
        for (rule, violation) in violations.into_iter().filter(|(_, it)| is_reported(it)) {
            rules.extend([rule]);
            lines.push(violation.to_string());
            if let (true, Mode::Mutate, Remedy::Patch(more)) = (accepted, mode, violation.remedy) {
                patches.extend(more);
            }
        }
        if lines.is_empty() {
            return (Self { warnings, ..Self::accept() }, patches);
        }
        let rules = rules.into_iter().collect::<Vec<_>>().join(",");
        let violations = lines.join("\n");
        let message = (!accepted).then(|| violations.clone());
        let audit_annotations = Some(AuditAnnotations::new(rules, violations));
        (Self { accepted, message, audit_annotations, warnings, mutated_object: None }, patches)
    }

    /// Writes a structured line into policy-server's log, unless the request is plainly accepted.
    /// A line that can't be written changes no answer.
    pub fn log(&self, request: Option<&AdmissionRequest>) {
        let annotations = self.audit_annotations.as_ref();
        let Some(violations) = annotations.and_then(|it| it.violations.as_ref()) else { return };
        let policy = o!("policy" => env!("CARGO_PKG_NAME"));
        let logger = Logger::root(KubewardenDrain::default().ignore_res(), policy);
        let message = match (self.accepted, &self.mutated_object) {
            (false, _) => "rejected",
            (true, Some(_)) => "mutated",
            (true, None) => "accepted with warnings",
        };
        let [kind, operation, namespace, name] = request.map_or([""; 4], |it| {
            let kind = it.kind.as_ref().and_then(|kind| kind.kind.as_ref());
            [kind, it.operation.as_ref(), it.namespace.as_ref(), it.name.as_ref()].map(text)
        });
        info!(
            logger, "{}", message;
            "kind" => kind, "operation" => operation, "namespace" => namespace, "name" => name,
            "violations" => violations,
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
