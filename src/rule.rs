//! What a rule is: a function from what there is to see to the violations.

use crate::cluster::Secrets;
use crate::field_path::FieldPath;
use crate::patch::Patch;
use crate::review::Review;
use crate::settings::Settings;
use derive_more::Display;

/// A rule of the registry. Its name goes into the audit annotation `rules`.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    pub name: &'static str,
    pub check: fn(&Review, &Context) -> Vec<Violation>,
}

/// What a rule knows beside what it sees: the settings for the request's namespace, and the cluster.
pub struct Context<'c> {
    pub settings: &'c Settings,
    pub secrets: &'c Secrets<'c>,
}

/// One violation of a rule.
#[derive(Debug, Display)]
#[display("{path}: {message}")]
pub struct Violation {
    /// The field, as the client wrote the object.
    pub path: FieldPath,
    /// The value, the maximum and the way out, in one of the forms of apimachinery's `field.Error`.
    pub message: String,
    pub remedy: Remedy,
    /// What the client is told, by mode `mutate` once the object is admitted, of a notice always:
    /// what is changed of the author's own, what is left as it is and why, what may break later.
    pub warnings: Vec<String>,
}

/// What mode `mutate` does about a violation.
#[derive(Debug)]
pub enum Remedy {
    /// Only the author can fix it: the request is rejected.
    Reject,
    /// These fix it.
    Patch(Vec<Patch>),
    /// It could be fixed, but that may break the Pod: it is admitted, with the warnings.
    Warn,
    /// It could not be evaluated: the request is rejected in every mode.
    Error,
    /// Nothing is violated, but something may break later: the warnings are given in every mode.
    Notice,
}

impl Violation {
    pub fn new(path: FieldPath, message: String, remedy: Remedy) -> Self {
        Self { path, message, remedy, warnings: Vec::new() }
    }

    /// A warning that isn't about a violation.
    pub fn notice(path: FieldPath, message: String) -> Self {
        let warnings = vec![format!("{path}: {message}")];
        Self { warnings, ..Self::new(path, message, Remedy::Notice) }
    }
}
