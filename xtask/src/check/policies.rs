//! Policies as Kubewarden's resources deploy them: which requests they are asked about, and with which
//! settings.

use super::Mode;
use super::conditions::{Conditions, MatchCondition, Matched};
use super::input::yaml_documents;
use super::selectors::{LabelSelector, Labels};
use crate::admission::AdmissionRequest;
use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// The label that every namespace has.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";
const API_GROUP: &str = "policies.kubewarden.io/";

/// A ClusterAdmissionPolicy or an AdmissionPolicy.
#[derive(Debug, Deserialize)]
struct Resource {
    kind: String,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    name: String,
    namespace: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    rules: Vec<Rule>,
    #[serde(default)]
    mutating: bool,
    mode: Option<PolicyMode>,
    #[serde(default)]
    settings: Value,
    namespace_selector: Option<LabelSelector>,
    object_selector: Option<LabelSelector>,
    match_conditions: Option<Vec<MatchCondition>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PolicyMode {
    Protect,
    Monitor,
}

/// `admissionregistration.k8s.io/v1 RuleWithOperations`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(default)]
    api_groups: Vec<String>,
    #[serde(default)]
    api_versions: Vec<String>,
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    operations: Vec<String>,
}

/// A policy, ready to be asked.
pub struct Policy {
    /// Empty where settings alone are judged.
    pub name: String,
    pub settings: Value,
    pub is_mutating: bool,
    pub is_monitor: bool,
    /// None: every request.
    rules: Option<Vec<Rule>>,
    namespace_selector: LabelSelector,
    object_selector: LabelSelector,
    conditions: Conditions,
}

/// Whether a policy is asked about a request.
pub enum Selected {
    Yes,
    /// What leaves the request out.
    No(String),
}

/// The labels of the Namespaces in the input.
pub type Namespaces = BTreeMap<String, Labels>;

impl Policy {
    /// Settings without a policy resource: every object that a rule is about.
    pub fn from_settings(settings: Value, mode: Option<Mode>) -> Result<Self> {
        Ok(Self {
            name: String::new(),
            settings: with_mode(settings, mode, true),
            is_mutating: true,
            is_monitor: false,
            rules: None,
            namespace_selector: LabelSelector::default(),
            object_selector: LabelSelector::default(),
            conditions: Conditions::new(Vec::new())?,
        })
    }

    fn new(resource: Resource, mode: Option<Mode>) -> Result<Self> {
        let Resource {
            kind,
            metadata,
            spec,
        } = resource;
        let mut namespace_selector = spec.namespace_selector.unwrap_or_default();
        if kind == "AdmissionPolicy" {
            // So does Kubewarden's controller.
            let namespace = metadata.namespace.as_deref().unwrap_or("default");
            let only = json!({ "matchLabels": { NAMESPACE_NAME: namespace } });
            namespace_selector = serde_json::from_value(only)?;
        }
        Ok(Self {
            name: metadata.name,
            settings: with_mode(spec.settings, mode, spec.mutating),
            is_mutating: spec.mutating,
            is_monitor: spec.mode == Some(PolicyMode::Monitor),
            rules: Some(spec.rules),
            namespace_selector,
            object_selector: spec.object_selector.unwrap_or_default(),
            conditions: Conditions::new(spec.match_conditions.unwrap_or_default())?,
        })
    }

    /// True where a rule of the policy is about the request.
    pub fn covers(&self, request: &AdmissionRequest) -> bool {
        self.rules
            .as_ref()
            .is_none_or(|rules| rules.iter().any(|rule| rule.matches(request)))
    }

    /// Whether the selectors and conditions let a request through, which a rule is about. What can't
    /// be decided here is noted, and lets it through.
    pub fn selects(
        &self,
        request: &AdmissionRequest,
        namespaces: &Namespaces,
        note: &mut impl FnMut(String),
    ) -> Result<Selected> {
        if let Some(namespace) = request.namespace.as_deref().filter(|it| !it.is_empty())
            && !self.selects_namespace(namespace, namespaces, note)
        {
            return Ok(Selected::No("its namespaceSelector".to_owned()));
        }
        let objects = [&request.object, &request.old_object];
        let mut labels = objects.into_iter().flatten().map(labels);
        if !labels.any(|labels| self.object_selector.matches(&labels)) {
            return Ok(Selected::No("its objectSelector".to_owned()));
        }
        match self.conditions.evaluate(request)? {
            Matched::Yes => {}
            Matched::No(condition) => {
                return Ok(Selected::No(format!("its matchCondition {condition:?}")));
            }
            Matched::Unknown(conditions) => {
                for (condition, error) in conditions {
                    let subject = format!("matchCondition {condition:?} of {}", self.name);
                    note(format!(
                        "{subject} was not evaluated, and taken as true: {error}"
                    ));
                }
            }
        }
        Ok(Selected::Yes)
    }

    fn selects_namespace(
        &self,
        namespace: &str,
        namespaces: &Namespaces,
        note: &mut impl FnMut(String),
    ) -> bool {
        let known = namespaces.get(namespace);
        let mut labels = known.cloned().unwrap_or_default();
        labels.insert(NAMESPACE_NAME.to_owned(), namespace.to_owned());
        if known.is_none()
            && self
                .namespace_selector
                .keys()
                .any(|key| key != NAMESPACE_NAME)
        {
            note(format!(
                "the namespaceSelector of {} asks for labels; Namespace {namespace} is not in the \
                 input, and taken to have none but its name",
                self.name
            ));
        }
        self.namespace_selector.matches(&labels)
    }
}

impl Rule {
    fn matches(&self, request: &AdmissionRequest) -> bool {
        let is_in = |list: &[String], value: &str| list.iter().any(|it| it == "*" || it == value);
        is_in(&self.api_groups, &request.resource.group)
            && is_in(&self.api_versions, &request.resource.version)
            && is_in(&self.operations, &request.operation)
            && self
                .resources
                .iter()
                .any(|resource| matches_resource(resource, request))
    }
}

/// `pods`, `pods/*`, `*/ephemeralcontainers`, `*`, which is no subresource, and `*/*`
/// (`plugin/webhook/predicates/rules` in the API server).
fn matches_resource(pattern: &str, request: &AdmissionRequest) -> bool {
    let sub_resource = request.sub_resource.as_deref().unwrap_or_default();
    let (resource, sub_pattern) = pattern.split_once('/').unwrap_or((pattern, ""));
    (resource == "*" || resource == request.resource.resource)
        && (sub_pattern == "*" || sub_pattern == sub_resource)
}

fn labels(object: &Value) -> Labels {
    let labels = object
        .pointer("/metadata/labels")
        .and_then(Value::as_object);
    let labels = labels.into_iter().flatten();
    labels
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// The labels of an object of kind Namespace.
pub fn namespace_labels(object: &Value) -> Labels {
    labels(object)
}

/// The settings in the mode that is asked for. Settings of mode `warn` are judged as if they were
/// enforced, unless it is asked for: the question is what will happen then. A policy that doesn't
/// mutate can't have mode `mutate`.
fn with_mode(settings: Value, mode: Option<Mode>, is_mutating: bool) -> Value {
    let mut settings = if settings.is_null() {
        json!({})
    } else {
        settings
    };
    let Some(fields) = settings.as_object_mut() else {
        return settings;
    };
    let own = fields
        .get("mode")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let mode = match (mode, own) {
        (Some(mode), _) => mode,
        (None, "warn") => Mode::Mutate,
        (None, _) => return settings,
    };
    let mode = if mode == Mode::Mutate && !is_mutating {
        Mode::Reject
    } else {
        mode
    };
    fields.insert("mode".to_owned(), json!(mode.name()));
    settings
}

/// The documents of a file of policies or settings.
fn documents(path: &Path) -> Result<Vec<Value>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut values = Vec::new();
    for document in yaml_documents(&text) {
        let document = document
            .map_err(|error| anyhow!("{}, document {}: {error}", path.display(), values.len() + 1));
        match document? {
            // As `kubectl get` prints policies.
            Value::Object(mut list) if list.get("items").is_some_and(Value::is_array) => {
                let items = list.remove("items").unwrap_or_default();
                values.extend(items.as_array().into_iter().flatten().cloned());
            }
            document => values.push(document),
        }
    }
    Ok(values)
}

fn is_policy(document: &Value) -> bool {
    let api_version = document["apiVersion"].as_str().unwrap_or_default();
    let kind = document["kind"].as_str().unwrap_or_default();
    api_version.starts_with(API_GROUP)
        && matches!(kind, "ClusterAdmissionPolicy" | "AdmissionPolicy")
}

/// The policies of a file, in order: the mutating ones before the others. Other objects, such as
/// what else a chart makes, are left out.
pub fn load(paths: &[impl AsRef<Path>], mode: Option<Mode>) -> Result<Vec<Policy>> {
    let mut policies = Vec::new();
    for path in paths {
        let path = path.as_ref();
        let found: Vec<_> = documents(path)?.into_iter().filter(is_policy).collect();
        ensure!(
            !found.is_empty(),
            "{} holds no ClusterAdmissionPolicy and no AdmissionPolicy",
            path.display()
        );
        for document in found {
            let resource = serde_json::from_value(document);
            let resource = resource.with_context(|| format!("{}", path.display()))?;
            policies.push(Policy::new(resource, mode)?);
        }
    }
    policies.sort_by_key(|policy| !policy.is_mutating);
    Ok(policies)
}

/// The settings of a file: those of the first policy resource in it, with its kind and name, or the
/// file.
pub fn settings(path: &Path) -> Result<(Value, Option<String>)> {
    let documents = documents(path)?;
    if let Some(policy) = documents.iter().find(|document| is_policy(document)) {
        let name = format!("{} {}", policy["kind"], policy["metadata"]["name"]).replace('"', "");
        return Ok((policy["spec"]["settings"].clone(), Some(name)));
    }
    match <[Value; 1]>::try_from(documents) {
        Ok([settings]) => Ok((settings, None)),
        Err(documents) if documents.is_empty() => Ok((json!({}), None)),
        Err(_) => bail!(
            "{} holds more than one document, and no policy",
            path.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::objects::POD;
    use super::super::workloads::author;
    use super::*;

    fn policy(kind: &str, spec: &Value) -> Policy {
        let metadata = json!({ "name": "p", "namespace": "team-a" });
        let resource = json!({ "kind": kind, "metadata": metadata, "spec": spec });
        Policy::new(serde_json::from_value(resource).unwrap(), None).unwrap()
    }

    fn request(namespace: &str) -> AdmissionRequest {
        let pod = json!({ "metadata": { "labels": { "app": "web" } } });
        AdmissionRequest::create(&POD.resource, Some(namespace), &author(), pod)
    }

    #[test]
    fn rules() {
        let rule = |groups: &str, resources: &str, operations: &str| {
            json!({ "rules": [{ "apiGroups": [groups],
            "apiVersions": ["v1"], "resources": [resources], "operations": [operations] }] })
        };
        for (name, spec, sub_resource, expected) in [
            ("the Pod", rule("", "pods", "CREATE"), None, true),
            ("all", rule("*", "*", "*"), None, true),
            ("another group", rule("apps", "pods", "CREATE"), None, false),
            (
                "another resource",
                rule("", "secrets", "CREATE"),
                None,
                false,
            ),
            ("another operation", rule("", "pods", "UPDATE"), None, false),
            (
                "the subresource",
                rule("", "pods/ephemeralcontainers", "*"),
                Some("ephemeralcontainers"),
                true,
            ),
            (
                "a subresource only",
                rule("", "pods/ephemeralcontainers", "*"),
                None,
                false,
            ),
            (
                "no subresource",
                rule("", "pods", "*"),
                Some("ephemeralcontainers"),
                false,
            ),
            (
                "the star is no subresource",
                rule("", "*", "*"),
                Some("ephemeralcontainers"),
                false,
            ),
            (
                "all of all",
                rule("", "*/*", "*"),
                Some("ephemeralcontainers"),
                true,
            ),
            (
                "all of all is no subresource, too",
                rule("", "*/*", "*"),
                None,
                true,
            ),
            (
                "of any resource",
                rule("", "*/ephemeralcontainers", "*"),
                Some("ephemeralcontainers"),
                true,
            ),
            ("no rules", json!({}), None, false),
        ] {
            let mut request = request("team-a");
            request.sub_resource = sub_resource.map(str::to_owned);
            let policy = policy("ClusterAdmissionPolicy", &spec);
            assert_eq!(policy.covers(&request), expected, "{name}");
        }
    }

    #[test]
    fn selection() {
        let labels = Labels::from([("tier".to_owned(), "gold".to_owned())]);
        let namespaces = Namespaces::from([("team-a".to_owned(), labels)]);
        let cluster = "ClusterAdmissionPolicy";
        let label = |key: &str, value: &str| json!({ "matchLabels": { key: value } });
        let condition = json!([{ "name": "c", "expression": "request.namespace != 'team-a'" }]);
        for (name, kind, spec, expected, notes) in [
            ("nothing", cluster, json!({}), None, 0),
            (
                "null",
                cluster,
                json!({ "namespaceSelector": null, "matchConditions": null }),
                None,
                0,
            ),
            (
                "its name",
                cluster,
                json!({ "namespaceSelector": label(NAMESPACE_NAME, "team-a") }),
                None,
                0,
            ),
            (
                "another name",
                cluster,
                json!({ "namespaceSelector": label(NAMESPACE_NAME, "b") }),
                Some("its namespaceSelector"),
                0,
            ),
            (
                "its label",
                cluster,
                json!({ "namespaceSelector": label("tier", "gold") }),
                None,
                0,
            ),
            (
                "another label",
                cluster,
                json!({ "namespaceSelector": label("tier", "tin") }),
                Some("its namespaceSelector"),
                0,
            ),
            (
                "the object's label",
                cluster,
                json!({ "objectSelector": label("app", "web") }),
                None,
                0,
            ),
            (
                "not the object's",
                cluster,
                json!({ "objectSelector": label("app", "db") }),
                Some("its objectSelector"),
                0,
            ),
            (
                "a condition",
                cluster,
                json!({ "matchConditions": condition }),
                Some("its matchCondition \"c\""),
                0,
            ),
            (
                "one that isn't evaluated",
                cluster,
                json!({ "matchConditions": [{ "name": "c", "expression": "authorizer" }] }),
                None,
                1,
            ),
            (
                "a namespace's policy",
                "AdmissionPolicy",
                json!({}),
                None,
                0,
            ),
        ] {
            let mut noted = Vec::new();
            let selected = policy(kind, &spec)
                .selects(&request("team-a"), &namespaces, &mut |note| {
                    noted.push(note);
                })
                .unwrap();
            let left_out = match selected {
                Selected::Yes => None,
                Selected::No(reason) => Some(reason),
            };
            assert_eq!(left_out.as_deref(), expected, "{name}");
            assert_eq!(noted.len(), notes, "{name}: {noted:?}");
        }
    }

    #[test]
    fn a_namespace_that_is_not_in_the_input_has_no_label_but_its_name() {
        let spec = json!({ "namespaceSelector": { "matchLabels": { "tier": "gold" } } });
        let policy = policy("ClusterAdmissionPolicy", &spec);
        let mut noted = Vec::new();
        let namespaces = Namespaces::new();
        let selected = policy
            .selects(&request("other"), &namespaces, &mut |note| noted.push(note))
            .unwrap();
        assert!(matches!(selected, Selected::No(_)));
        assert!(
            noted[0].contains("Namespace other is not in the input"),
            "{noted:?}"
        );
    }

    #[test]
    fn modes() {
        for (own, asked, is_mutating, expected) in [
            (json!({}), Some(Mode::Mutate), true, "mutate"),
            (Value::Null, Some(Mode::Warn), true, "warn"),
            (json!({ "mode": "mutate" }), None, false, "mutate"),
            (json!({ "mode": "warn" }), None, true, "mutate"),
            (json!({ "mode": "warn" }), None, false, "reject"),
            (json!({ "mode": "reject" }), None, true, "reject"),
            (json!({ "mode": "reject" }), None, false, "reject"),
            (
                json!({ "mode": "reject" }),
                Some(Mode::Mutate),
                true,
                "mutate",
            ),
            (
                json!({ "mode": "reject" }),
                Some(Mode::Mutate),
                false,
                "reject",
            ),
            (json!({ "mode": "mutate" }), Some(Mode::Warn), true, "warn"),
            (json!({ "mode": "wrong" }), None, true, "wrong"),
        ] {
            let settings = with_mode(own.clone(), asked, is_mutating);
            assert_eq!(settings["mode"], expected, "{own} {asked:?} {is_mutating}");
        }
    }
}
