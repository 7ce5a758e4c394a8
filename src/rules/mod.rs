//! What a rule is, a function from what there is to see to the violations; and the registry of all.

use crate::field_path::FieldPath;
use crate::patch::Patch;
use crate::review::Review;
use crate::settings::Mode;
use std::collections::BTreeMap;
use std::fmt;

pub use context::Context;

mod context;

mod audience;
mod automount;
mod fs_group;
mod legacy_token;
mod legacy_token_secret;
mod token_lifetime;
mod token_renewal;

/// All rules, sorted by name. None depends on another one having run.
const RULES: &[Rule] = &[
    audience::RULE,
    automount::RULE,
    fs_group::RULE,
    legacy_token::RULE,
    legacy_token_secret::RULE,
    token_lifetime::RULE,
    token_renewal::RULE,
];

/// All violations, sorted by path, each with its rule's name.
pub fn check<'r>(review: &'r Review, context: &'r Context) -> Vec<(&'static str, Violation<'r>)> {
    let mut violations = Vec::new();
    for rule in RULES {
        let found = (rule.check)(review, context).into_iter();
        let found =
            found.filter_map(|violation| violation.without_presumption(context.settings.mode));
        violations.extend(found.map(|violation| (rule.name, violation)));
    }
    if violations.is_sorted_by(|(_, a), (_, b)| a.path <= b.path) {
        return violations;
    }
    let mut by_path = BTreeMap::new();
    for (rule, mut violation) in violations {
        // What is about one field keeps the order of the rules.
        let place = (std::mem::take(&mut violation.path), by_path.len());
        by_path.insert(place, (rule, violation));
    }
    let sorted = by_path.into_iter();
    sorted
        .map(|((path, _), (rule, violation))| (rule, Violation { path, ..violation }))
        .collect()
}

/// A rule of the registry. Its name goes into the audit annotation `rules`.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    pub name: &'static str,
    pub check: for<'r> fn(&'r Review<'r>, &'r Context<'r>) -> Vec<Violation<'r>>,
}

/// What is said about a violation. An author can make tens of thousands of them, of which an answer
/// shows a few: what one of many is about is written when it is shown.
pub enum Message<'r> {
    Written(String),
    Lazy(Box<dyn Fn() -> String + 'r>),
}

impl<'r> Message<'r> {
    pub fn lazy(write: impl Fn() -> String + 'r) -> Self {
        Self::Lazy(Box::new(write))
    }
}

impl From<String> for Message<'_> {
    fn from(text: String) -> Self {
        Self::Written(text)
    }
}

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Written(text) => f.write_str(text),
            Self::Lazy(write) => f.write_str(&write()),
        }
    }
}

pub struct Violation<'r> {
    /// The field, as the client wrote the object.
    pub path: FieldPath,
    /// The value, the maximum and the way out, in one of the forms of apimachinery's `field.Error`.
    pub message: Message<'r>,
    pub remedy: Remedy<'r>,
    /// True for what follows only from the volume that the API server will inject into the Pods of a
    /// template: it doesn't show the volume, and the service account may switch it off.
    pub is_presumed: bool,
}

/// What mode `mutate` does about a violation, and what the client is told.
pub enum Remedy<'r> {
    /// Only the author can fix it: the request is rejected.
    Reject,
    /// The patches fix it. The warnings say what is changed of the author's own, and what may break
    /// later.
    Patch {
        patches: Vec<Patch>,
        warnings: Vec<Message<'r>>,
    },
    /// It could be fixed, but that may break the Pod: it is left as it is, for these reasons.
    Leave {
        reasons: Vec<String>,
        warnings: Vec<Message<'r>>,
    },
    /// It could not be evaluated. The annotation `rules` says why.
    Undecided { why: &'static str },
    /// Nothing is violated, but something may break later: the warnings are given in every mode.
    Notice { warnings: Vec<Message<'r>> },
}

impl<'r> Violation<'r> {
    pub fn new(path: FieldPath, message: impl Into<Message<'r>>, remedy: Remedy<'r>) -> Self {
        Self {
            path,
            message: message.into(),
            remedy,
            is_presumed: false,
        }
    }

    /// A warning that isn't about a violation.
    pub fn notice(path: FieldPath, message: impl Into<Message<'r>>) -> Self {
        let message = message.into();
        let about = path.clone();
        let warning = Message::lazy(move || format!("{about}: {message}"));
        Self::new(
            path,
            String::new(),
            Remedy::Notice {
                warnings: vec![warning],
            },
        )
    }

    /// What is presumed of a template's Pods becomes a notice, if there is something to tell. Nobody
    /// is told to do something about what mode `mutate` fixes in each Pod: only what it leaves alone,
    /// or rejects.
    fn without_presumption(self, mode: Mode) -> Option<Self> {
        if !self.is_presumed {
            return Some(self);
        }
        let line = self.to_string();
        let is_fixed_in_pods = mode != Mode::Reject;
        let warnings = match self.remedy {
            Remedy::Notice { warnings } => warnings,
            Remedy::Patch { warnings, .. } | Remedy::Leave { warnings, .. } if is_fixed_in_pods => {
                warnings
            }
            _ => vec![line.into()],
        };
        if warnings.is_empty() {
            return None;
        }
        Some(Self {
            remedy: Remedy::Notice { warnings },
            ..self
        })
    }
}

impl fmt::Display for Violation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Context, RULES, Remedy, Rule, Violation};
    use crate::cluster::Secrets;
    use crate::field_path::FieldPath;
    use crate::request::Payload;
    use crate::review::Review;
    use crate::settings::{Mode, Settings};
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
        let request = json!({
            "kind": { "group": group, "kind": kind }, "subResource": sub_resource,
            "operation": "CREATE", "name": "app", "namespace": "payments", "object": object,
        });
        check_request(rule, &request, settings)
    }

    /// What a rule reports about a request.
    pub fn check_request(rule: &Rule, request: &Value, settings: &Value) -> Vec<Found> {
        let payload = json!({ "request": request }).to_string();
        let Payload { request, .. } = Payload::decode(&payload).unwrap();
        let kind = request.subject_kind().unwrap().unwrap();
        let subject = request.decode_subject(kind).unwrap();
        let accounts = subject.service_accounts(&request);
        let account = accounts.first().map_or("", String::as_str);
        let review = Review::new(&subject, &request, account).unwrap();
        let settings = Settings::read(&settings.to_string()).unwrap();
        let get_resource = |request: &_| Ok(to_raw_value(&cluster(request)?).unwrap());
        let secrets = Secrets::new(get_resource, "payments");
        let context = Context::new(&review, &settings, &secrets);
        let violations = (rule.check)(&review, &context).into_iter();
        violations
            .filter_map(|violation| violation.without_presumption(settings.mode))
            .map(Found::new)
            .collect()
    }

    impl Found {
        fn new(violation: Violation<'_>) -> Self {
            let none = Vec::new;
            let (remedy, patches, warnings) = match violation.remedy {
                Remedy::Reject => ("reject", none(), Vec::new()),
                Remedy::Patch { patches, warnings } => ("patch", patches, warnings),
                Remedy::Leave { warnings, .. } => ("leave", none(), warnings),
                Remedy::Undecided { why } => (why, none(), Vec::new()),
                Remedy::Notice { warnings } => ("notice", none(), warnings),
            };
            let patches = patches.into_iter().map(|(path, value)| {
                let value = value.map(|value| serde_json::from_str(value.get()).unwrap());
                (path.to_string(), value)
            });
            Self {
                path: violation.path.to_string(),
                remedy,
                patches: patches.collect(),
                message: violation.message.to_string(),
                warnings: warnings.iter().map(ToString::to_string).collect(),
            }
        }
    }

    /// What a rule reports about a TokenRequest of this user.
    pub fn check_token_request(
        rule: &Rule,
        object: &Value,
        user: &Value,
        settings: &Value,
    ) -> Vec<Found> {
        let kind = json!({ "group": "authentication.k8s.io", "kind": "TokenRequest" });
        let request = json!({
            "kind": kind, "subResource": "token", "operation": "CREATE", "name": "app",
            "userInfo": user, "object": object,
        });
        check_request(rule, &request, settings)
    }

    /// What a rule reports about a Secret, which is created where there is no old one.
    pub fn check_secret(rule: &Rule, new: &Value, old: &Value, settings: &Value) -> Vec<Found> {
        let operation = if old.is_null() { "CREATE" } else { "UPDATE" };
        let request = json!({
            "kind": { "group": "", "kind": "Secret" }, "operation": operation,
            "namespace": "payments", "name": "app", "object": new, "oldObject": old,
        });
        check_request(rule, &request, settings)
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
            assert!(
                readme.contains(&format!("\n| `{}` | ", rule.name)),
                "{}",
                rule.name
            );
        }
    }

    #[test]
    fn a_notice_stays_one() {
        for is_presumed in [false, true] {
            let notice = Violation {
                is_presumed,
                ..Violation::notice(FieldPath::new(&["spec"]), "text".to_owned())
            };
            let kept = notice.without_presumption(Mode::Reject).map(Found::new);
            assert_eq!(kept.unwrap().warnings, ["spec: text"], "{is_presumed}");
        }
    }
}
