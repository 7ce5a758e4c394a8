//! What a rule is, a function from what there is to see to the violations; and the registry of all.

use crate::cluster::Secrets;
use crate::field_path::FieldPath;
use crate::patch::Patch;
use crate::review::Review;
use crate::settings::Settings;
use derive_more::Display;
use std::collections::BTreeMap;

mod audience;
mod fs_group;
mod legacy_token;
mod legacy_token_secret;
mod token_lifetime;
mod token_renewal;

/// All rules, sorted by name. None depends on another one having run.
pub const RULES: &[Rule] = &[
    audience::RULE,
    fs_group::RULE,
    legacy_token::RULE,
    legacy_token_secret::RULE,
    token_lifetime::RULE,
    token_renewal::RULE,
];

/// All violations, sorted by path, each with its rule's name.
pub fn check(review: &Review, context: &Context) -> Vec<(&'static str, Violation)> {
    let mut by_path: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for rule in RULES {
        for violation in (rule.check)(review, context) {
            by_path.entry(violation.path.clone()).or_default().push((rule.name, violation));
        }
    }
    by_path.into_values().flatten().collect()
}

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

#[cfg(test)]
pub(crate) mod tests {
    use super::{Context, RULES, Remedy, Rule};
    use crate::cluster::Secrets;
    use crate::request::{Payload, Subject};
    use crate::review::Review;
    use crate::settings::Settings;
    use kubewarden_policy_sdk::host_capabilities::kubernetes::GetResourceRequest;
    use serde_json::value::to_raw_value;
    use serde_json::{Value, json};
    use std::path::Path;

    /// What a rule reports: the path, what mode `mutate` does about it, the message and the
    /// warnings.
    #[derive(Debug)]
    pub struct Found {
        pub path: String,
        pub remedy: &'static str,
        pub patches: Vec<(String, Option<Value>)>,
        pub message: String,
        pub warnings: Vec<String>,
    }

    /// A valid Pod with nothing that a rule is about, changed by a JSON merge patch on its spec.
    pub fn pod(tweak: &Value) -> Value {
        let mut spec = json!({
            "automountServiceAccountToken": false,
            "serviceAccountName": "app", "serviceAccount": "app",
            "containers": [{ "name": "main", "image": "registry.k8s.io/pause:3.10" }],
        });
        json_patch::merge(&mut spec, tweak);
        json!({ "kind": "Pod", "apiVersion": "v1", "metadata": { "name": "pod" }, "spec": spec })
    }

    /// A projected volume with a token for this audience that lives so many seconds.
    pub fn token_volume(name: &str, audience: &Value, seconds: &Value) -> Value {
        let token = json!({ "path": "token", "audience": audience, "expirationSeconds": seconds });
        json!({ "name": name, "projected": { "sources": [{ "serviceAccountToken": token }] } })
    }

    /// A cluster that knows Secrets by their names.
    fn cluster(request: &GetResourceRequest) -> Result<Value, String> {
        let of = |secret_type: &str, account: &str| {
            let annotations = json!({ "kubernetes.io/service-account.name": account });
            let metadata = json!({ "name": request.name, "annotations": annotations });
            Ok(json!({ "type": secret_type, "metadata": metadata }))
        };
        match &*request.name {
            "own" => of(crate::objects::TOKEN_SECRET, "app"),
            "other" => of(crate::objects::TOKEN_SECRET, "builder"),
            "forbidden" => Err("not allowed".to_owned()),
            _ => of("Opaque", ""),
        }
    }

    /// What a rule reports about an object.
    pub fn check(
        rule: &Rule,
        kind: (&str, &str, &str),
        object: &Value,
        settings: &Value,
    ) -> Vec<Found> {
        let (group, kind, sub_resource) = kind;
        let payload = json!({ "request": {
            "kind": { "group": group, "kind": kind }, "subResource": sub_resource,
            "operation": "CREATE", "name": "app", "object": object,
        } });
        let payload = payload.to_string();
        let Payload { request, .. } = Payload::decode(&payload).unwrap();
        let subject = request.subject().unwrap().unwrap();
        let account = request.account(subject, request.pod()).unwrap_or_default();
        let review = Review::new(subject, &request, None, &account).unwrap();
        let settings = Settings::read(&settings.to_string()).unwrap();
        let get_resource = |request: &_| Ok(to_raw_value(&cluster(request)?).unwrap());
        let secrets = Secrets::new(get_resource, "payments");
        let context = Context { settings: &settings, secrets: &secrets };
        let violations = (rule.check)(&review, &context).into_iter();
        violations
            .map(|violation| {
                let path = violation.path.to_string();
                let (remedy, patches) = match violation.remedy {
                    Remedy::Reject => ("reject", Vec::new()),
                    Remedy::Patch(patches) => ("patch", patches),
                    Remedy::Warn => ("warn", Vec::new()),
                    Remedy::Error => ("error", Vec::new()),
                    Remedy::Notice => ("notice", Vec::new()),
                };
                let patches = patches.into_iter().map(|(path, value)| {
                    let value = value.map(|value| serde_json::from_str(value.get()).unwrap());
                    (path.to_string(), value)
                });
                Found {
                    path,
                    remedy,
                    patches: patches.collect(),
                    message: violation.message,
                    warnings: violation.warnings,
                }
            })
            .collect()
    }

    /// What a rule reports about a Pod: its spec is changed by a JSON merge patch.
    pub fn check_pod(rule: &Rule, tweak: &Value, settings: &Value) -> Vec<Found> {
        check(rule, ("", "Pod", ""), &pod(tweak), settings)
    }

    /// What a rule reports about a Deployment with such a Pod.
    pub fn check_template(rule: &Rule, tweak: &Value, settings: &Value) -> Vec<Found> {
        let deployment = json!({ "spec": { "template": pod(tweak) } });
        check(rule, ("apps", "Deployment", ""), &deployment, settings)
    }

    #[test]
    fn rules_have_names_that_are_unique_and_sorted() {
        assert!(RULES.is_sorted_by(|a, b| a.name < b.name), "{RULES:?}");
    }

    #[test]
    fn each_rule_has_fixtures_that_pass_and_that_fail() {
        for rule in RULES {
            for outcome in ["pass", "fail"] {
                let folder = format!("tests/data/{}/{outcome}", rule.name);
                let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
                let files = std::fs::read_dir(&folder).map_or(0, Iterator::count);
                assert!(files > 0, "{}: no fixtures", folder.display());
            }
        }
    }

    #[test]
    fn each_rule_has_its_row_in_the_readme() {
        let readme = include_str!("../../README.md");
        for rule in RULES {
            assert!(readme.contains(&format!("\n| `{}` | ", rule.name)), "{}", rule.name);
        }
    }

    #[test]
    fn each_subject_is_told_from_the_others() {
        let with = |group: &str, kind: &str, sub_resource: &str, operation: &str| {
            let payload = json!({ "request": {
                "kind": { "group": group, "version": "v1", "kind": kind },
                "subResource": sub_resource, "operation": operation,
            } });
            let payload = payload.to_string();
            Payload::decode(&payload).unwrap().request.subject().unwrap()
        };
        for (group, kind, sub_resource, operation, expected) in [
            ("", "Pod", "", "CREATE", Some(Subject::Pod)),
            ("", "Pod", "", "UPDATE", None),
            ("", "Pod", "", "DELETE", None),
            ("", "Pod", "ephemeralcontainers", "UPDATE", Some(Subject::EphemeralContainers)),
            ("", "Pod", "status", "UPDATE", None),
            ("", "Pod", "exec", "CONNECT", None),
            ("example.com", "Pod", "", "CREATE", None),
            ("", "pod", "", "CREATE", None),
            ("apps", "Deployment", "", "UPDATE", Some(Subject::Template)),
            ("apps", "ReplicaSet", "", "CREATE", Some(Subject::Template)),
            ("apps", "StatefulSet", "", "CREATE", Some(Subject::Template)),
            ("apps", "DaemonSet", "", "CREATE", Some(Subject::Template)),
            ("", "ReplicationController", "", "CREATE", Some(Subject::Template)),
            ("batch", "Job", "", "CREATE", Some(Subject::Template)),
            ("batch", "CronJob", "", "CREATE", Some(Subject::Template)),
            ("", "PodTemplate", "", "CREATE", Some(Subject::Template)),
            ("apps", "Deployment", "status", "UPDATE", None),
            ("apps", "Deployment", "", "DELETE", None),
            ("autoscaling", "Scale", "scale", "UPDATE", None),
            (
                "authentication.k8s.io",
                "TokenRequest",
                "token",
                "CREATE",
                Some(Subject::TokenRequest),
            ),
            ("", "Secret", "", "CREATE", Some(Subject::Secret)),
            ("", "Secret", "", "UPDATE", None),
            ("storage.k8s.io", "CSIDriver", "", "UPDATE", Some(Subject::CsiDriver)),
            ("", "ConfigMap", "", "CREATE", None),
        ] {
            let subject = with(group, kind, sub_resource, operation);
            assert_eq!(subject, expected, "{operation} {group} {kind} {sub_resource}");
        }
    }
}
