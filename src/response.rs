//! The mode and the violations become the answer to policy-server, and a line in its log.

use crate::message::{
    MOST_VIOLATIONS, MOST_WARNINGS, fit_warning, join_violations, limit_warnings, shorten_line,
    shorten_value,
};
use crate::patch::Patch;
use crate::request::AdmissionRequest;
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
    /// out; `rules`, the names of the rules that are broken, or `decode`, `lookup`, `not-judged` for
    /// what couldn't be evaluated; `violations`, one a line; of a TokenRequest what was asked for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub audit_annotations: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// How the violations of a request are answered.
#[derive(Debug, Clone, Copy)]
pub struct Answering {
    /// What the answer depends on.
    pub mode: Mode,
    /// A template is never mutated: what can be fixed is fixed in each of its Pods.
    pub is_template: bool,
    /// The mode in the settings, for an object that exists: each line says what that mode will do
    /// about it when the object is created again.
    pub audited_mode: Option<Mode>,
}

impl Response {
    pub fn accept() -> Self {
        Self {
            accepted: true,
            ..Self::default()
        }
    }

    /// Names the rules, or what couldn't be evaluated, and the violations.
    fn annotate(&mut self, rules: String, violations: String) {
        self.audit_annotations.insert("rules", rules);
        self.audit_annotations.insert("violations", violations);
    }

    /// What can't be decoded, and what comes without that which is needed: rejected, but for mode
    /// `warn`.
    pub fn decode_error(message: &str, mode: Mode) -> Self {
        let message = shorten_line(message);
        let accepted = mode == Mode::Warn;
        let mut response = Self {
            accepted,
            warnings: Vec::from_iter(accepted.then(|| fit_warning(&message))),
            message: (!accepted).then(|| message.clone()),
            ..Self::default()
        };
        response.annotate("decode".to_owned(), message);
        response
    }

    /// What the mode makes of the violations, each with its rule's name; and the patches that are
    /// to be applied to the object.
    pub fn new(
        answering: Answering,
        violations: Vec<(&'static str, Violation)>,
    ) -> (Self, Vec<Patch>) {
        let is_rejected = |(_, violation): &(_, Violation)| answering.rejects(&violation.remedy);
        let accepted = !violations.iter().any(is_rejected);
        let mut report = Report::default();
        for (rule, violation) in violations {
            report.add(rule, violation, answering, accepted);
        }
        let warnings = limit_warnings(&report.warnings.first, report.warnings.number);
        let mut response = Self {
            accepted,
            warnings,
            ..Self::default()
        };
        if report.lines.number > 0 {
            let violations = join_violations(&report.lines.first, report.lines.number);
            response.message = (!accepted).then(|| violations.clone());
            let rules = report.rules.into_iter().collect::<Vec<_>>().join(",");
            response.annotate(rules, violations);
        }
        (response, report.patches)
    }

    /// Writes a structured line into policy-server's log, unless the request is plainly accepted.
    /// A line that can't be written changes no answer.
    pub fn log(&self, request: &AdmissionRequest) {
        let Some(violations) = self.audit_annotations.get("violations") else {
            return;
        };
        let policy = o!("policy" => env!("CARGO_PKG_NAME"));
        let logger = Logger::root(KubewardenDrain::default().ignore_res(), policy);
        let message = match (self.accepted, &self.mutated_object) {
            (false, _) => "rejected",
            (true, Some(_)) => "mutated",
            (true, None) => "accepted with warnings",
        };
        info!(
            logger, "{}", message;
            "kind" => shorten_value(&request.kind.kind),
            "operation" => &*request.operation,
            "namespace" => shorten_value(&request.namespace),
            "name" => shorten_value(&request.name),
            "violations" => &**violations,
        );
    }
}

impl Answering {
    fn rejects(self, remedy: &Remedy) -> bool {
        match remedy {
            Remedy::Notice { .. } => false,
            Remedy::Reject | Remedy::Undecided { .. } => self.mode != Mode::Warn,
            Remedy::Patch { .. } | Remedy::Leave { .. } => self.mode == Mode::Reject,
        }
    }
}

/// Texts of which only the first are written, and how many there are.
#[derive(Default)]
struct First {
    first: Vec<String>,
    number: usize,
}

impl First {
    fn add(&mut self, most: usize, write: impl FnOnce() -> String) {
        self.number += 1;
        if self.number <= most {
            self.first.push(write());
        }
    }
}

/// What is said and done about all violations.
#[derive(Default)]
struct Report {
    rules: BTreeSet<&'static str>,
    lines: First,
    warnings: First,
    patches: Vec<Patch>,
}

impl Report {
    fn add(
        &mut self,
        rule: &'static str,
        violation: Violation,
        answering: Answering,
        accepted: bool,
    ) {
        if matches!(violation.remedy, Remedy::Notice { .. }) {
            self.warn(violation.remedy);
            return;
        }
        let write_line = || {
            let outcome = answering
                .audited_mode
                .map(|mode| foretell(&violation.remedy, mode));
            format!("{violation}{}", outcome.unwrap_or_default())
        };
        if answering.mode == Mode::Warn {
            self.warnings.add(MOST_WARNINGS, write_line);
        }
        let mutates = answering.mode == Mode::Mutate;
        let is_fixable = matches!(violation.remedy, Remedy::Patch { .. });
        // A template is never mutated: this is fixed in each of its Pods.
        if !(mutates && is_fixable && answering.is_template) {
            self.lines.add(MOST_VIOLATIONS, write_line);
            self.rules.insert(match violation.remedy {
                Remedy::Undecided { why } => why,
                _ => rule,
            });
        }
        // Where something is rejected, nothing is mutated.
        if mutates && accepted {
            self.change(violation.remedy, answering.is_template);
        }
    }

    fn change(&mut self, mut remedy: Remedy, is_template: bool) {
        if let Remedy::Patch { patches, .. } = &mut remedy
            && !is_template
        {
            self.patches.append(patches);
        }
        self.warn(remedy);
    }

    fn warn(&mut self, remedy: Remedy) {
        let (Remedy::Patch { warnings, .. }
        | Remedy::Leave { warnings, .. }
        | Remedy::Notice { warnings }) = remedy
        else {
            return;
        };
        for warning in warnings {
            self.warnings.add(MOST_WARNINGS, || warning.to_string());
        }
    }
}

/// What will happen when an object that exists is created again. A mode `warn` stands for what comes
/// after it, `mutate`.
fn foretell(remedy: &Remedy, mode: Mode) -> String {
    if mode == Mode::Reject {
        return " [created again, in mode reject: rejected]".to_owned();
    }
    let outcome = match remedy {
        Remedy::Patch { .. } => "fixed".to_owned(),
        Remedy::Leave { reasons, .. } => format!("left alone, since {}", reasons.join("; ")),
        Remedy::Notice { .. } => return String::new(),
        Remedy::Reject | Remedy::Undecided { .. } => "rejected".to_owned(),
    };
    format!(" [created again, in mode mutate: {outcome}]")
}
