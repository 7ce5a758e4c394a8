//! What the module says to a request, policy after policy, and what that means for its object.

use super::policies::{Namespaces, Policy, Selected};
use super::tokens::{self, Token};
use crate::admission::{AdmissionRequest, Answer, SettingsAnswer};
use crate::explain::changes;
use crate::host::Module;
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What happens to the object of a request.
#[derive(Default)]
pub struct Judgement {
    /// False where no policy has a rule for the request.
    pub is_covered: bool,
    pub rejections: Vec<Rejection>,
    pub left_alone: Vec<LeftAlone>,
    pub warnings: Vec<String>,
    /// Each as path, old and new value.
    pub changes: Vec<String>,
    pub tokens: Vec<Token>,
    /// The object that is stored.
    object: Value,
}

/// Why an object is rejected.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Rejection {
    /// The policy that rejects it; empty where settings alone are judged.
    pub policy: String,
    /// The kind of the object that is rejected: a workload's own, or that of its Pods.
    pub kind: String,
    pub message: String,
}

/// A violation that stays, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct LeftAlone {
    pub reason: String,
    pub violation: String,
}

/// The module with its policies.
pub struct Judge {
    module: Module,
    policies: Vec<Policy>,
    namespaces: Namespaces,
    /// What was taken for granted.
    pub notes: BTreeSet<String>,
}

impl Judge {
    /// Refuses settings that the module refuses.
    pub fn new(module: Module, policies: Vec<Policy>, namespaces: Namespaces) -> Result<Self> {
        for policy in &policies {
            let settings = policy.settings.to_string();
            let checked: SettingsAnswer = module.call("validate_settings", &settings)?;
            let message = checked.message.unwrap_or_default();
            let name = if policy.name.is_empty() { "" } else { " of " };
            ensure!(
                checked.valid,
                "the settings{name}{} are not valid: {message}",
                policy.name
            );
        }
        Ok(Self {
            module,
            policies,
            namespaces,
            notes: BTreeSet::new(),
        })
    }

    /// Asks about a request that an earlier mutation may have left its fsGroup in: if the policy
    /// would set the very same one, it is not the author's.
    pub fn judge_again(
        &mut self,
        request: &AdmissionRequest,
        without_fs_group: &Value,
    ) -> Result<Judgement> {
        const CONTEXT: &str = "/spec/securityContext";
        let original = AdmissionRequest {
            object: Some(without_fs_group.clone()),
            ..request.clone()
        };
        let judgement = self.judge(&original, true)?;
        let own = request.object.as_ref().and_then(|pod| pod.pointer(CONTEXT));
        if judgement.object.pointer(CONTEXT) == own {
            return Ok(judgement);
        }
        self.judge(request, true)
    }

    /// Asks the mutating policies, then the others about what came out. `is_final`: what the policies
    /// leave as it is stays so, and is looked for; in a template that its Pods will show.
    pub fn judge(&mut self, request: &AdmissionRequest, is_final: bool) -> Result<Judgement> {
        let mut judgement = Judgement::default();
        let mut current = request.clone();
        let mut reason = None;
        let mut asked = None;
        let covering: Vec<_> = self
            .policies
            .iter()
            .filter(|it| it.covers(request))
            .collect();
        let Some(first) = covering.first() else {
            return Ok(judgement);
        };
        judgement.is_covered = true;
        for policy in &covering {
            let notes = &mut self.notes;
            let mut note = |text| _ = notes.insert(text);
            match policy.selects(&current, &self.namespaces, &mut note)? {
                Selected::No(by) => {
                    let name = &policy.name;
                    reason.get_or_insert(format!("{by} leaves it out of {name}"));
                }
                Selected::Yes => {
                    asked.get_or_insert(*policy);
                    reason = self.ask(policy, &mut current, &mut judgement)?.or(reason);
                }
            }
            if !judgement.rejections.is_empty() {
                break;
            }
        }
        let is_rejected = !judgement.rejections.is_empty();
        if is_final && !is_rejected {
            self.find_left_alone(asked.unwrap_or(first), &current, reason, &mut judgement)?;
        }
        judgement.tokens = tokens::of(request, (!is_rejected).then_some(&current));
        judgement.changes = match (&request.object, &current.object) {
            (Some(old), Some(new)) if !is_rejected => changes(old, new),
            _ => Vec::new(),
        };
        judgement.object = current.object.unwrap_or_default();
        Ok(judgement)
    }

    /// Asks one policy. Answers why it leaves the object alone as a whole, if it does.
    fn ask(
        &self,
        policy: &Policy,
        current: &mut AdmissionRequest,
        judgement: &mut Judgement,
    ) -> Result<Option<String>> {
        let answer = self.call(current, &policy.settings)?;
        let annotations = answer.audit_annotations.unwrap_or_default();
        let warnings = answer.warnings.unwrap_or_default();
        let reason = reason(policy, &annotations, &warnings);
        judgement.warnings.extend(warnings);
        if policy.is_monitor {
            return Ok(reason);
        }
        let message = match (answer.accepted, &answer.mutated_object) {
            (true, Some(_)) if !policy.is_mutating => {
                Some("the policy mutates, but `mutating` is false in its resource".to_owned())
            }
            (true, _) => None,
            (false, _) => Some(answer.message.unwrap_or_default()),
        };
        if let Some(message) = message {
            let policy = policy.name.clone();
            judgement.rejections.push(Rejection {
                policy,
                kind: current.kind.kind.clone(),
                message,
            });
        } else if answer.mutated_object.is_some() {
            current.object = answer.mutated_object;
        }
        Ok(reason)
    }

    /// What mode `reject` still finds in the object that came out, exempt or not: that stays.
    fn find_left_alone(
        &self,
        policy: &Policy,
        current: &AdmissionRequest,
        reason: Option<String>,
        judgement: &mut Judgement,
    ) -> Result<()> {
        let answer = self.call(current, &strict(&policy.settings, true))?;
        if answer.accepted {
            return Ok(());
        }
        let is_exempt = || -> Result<bool> {
            let answer = self.call(current, &strict(&policy.settings, false))?;
            Ok(answer.accepted && answer.audit_annotations.is_none())
        };
        let reason = match reason {
            Some(reason) => reason,
            None if is_exempt()? => "its namespace or its service account is exempt".to_owned(),
            None => String::new(),
        };
        for violation in answer.message.unwrap_or_default().lines() {
            let path = path(violation);
            let told = judgement
                .warnings
                .iter()
                .find(|warning| self::path(warning) == path);
            let reason = match told {
                Some(warning) if reason.is_empty() => warning.clone(),
                _ => reason.clone(),
            };
            judgement.left_alone.push(LeftAlone {
                violation: violation.to_owned(),
                reason,
            });
        }
        Ok(())
    }

    fn call(&self, request: &AdmissionRequest, settings: &Value) -> Result<Answer> {
        let answer = self.module.call("validate", &request.payload(settings));
        answer.with_context(|| format!("the module gives no answer to {}", request.title()))
    }
}

/// The field that a line is about.
fn path(line: &str) -> &str {
    line.split_once(": ").map_or(line, |(path, _)| path)
}

/// Why a policy leaves an object alone as a whole.
fn reason(
    policy: &Policy,
    annotations: &BTreeMap<String, String>,
    warnings: &[String],
) -> Option<String> {
    if let Some(annotation) = annotations.get("opt-out") {
        return Some(format!("its annotation {annotation} takes it out"));
    }
    if annotations
        .get("rules")
        .is_some_and(|rules| rules == "not-judged")
    {
        return Some("there is too much in it to judge it".to_owned());
    }
    if policy.is_monitor {
        return Some(format!("{} is in mode monitor", policy.name));
    }
    // In mode `warn` the violations are the warnings.
    let violations = annotations
        .get("violations")
        .map(String::as_str)
        .unwrap_or_default();
    let is_violation = |warning: &String| violations.lines().any(|line| line == warning);
    let says_warn = policy.settings.to_string().contains("\"mode\":\"warn\"");
    (says_warn && warnings.iter().any(is_violation)).then(|| "the mode is warn".to_owned())
}

/// The settings in mode `reject`; also without exemptions.
fn strict(settings: &Value, exempts_nothing: bool) -> Value {
    let mut settings = settings.clone();
    let Some(fields) = settings.as_object_mut() else {
        return settings;
    };
    fields.insert("mode".to_owned(), json!("reject"));
    let overrides = fields.get_mut("overrides").and_then(Value::as_array_mut);
    for fields in overrides
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
    {
        fields.remove("mode");
        if fields.len() == 1 {
            // The policy wants one of the two.
            fields.insert("mode".to_owned(), json!("reject"));
        }
    }
    if exempts_nothing {
        for field in [
            "exemptNamespaces",
            "exemptServiceAccounts",
            "optOutAnnotation",
        ] {
            fields.remove(field);
        }
    }
    settings
}
