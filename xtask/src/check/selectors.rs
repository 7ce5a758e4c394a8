//! Label selectors, as apimachinery's `LabelSelectorAsSelector` reads them.

use serde::Deserialize;
use std::collections::BTreeMap;

pub type Labels = BTreeMap<String, String>;

/// `meta/v1 LabelSelector`
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct LabelSelector {
    match_labels: Option<Labels>,
    match_expressions: Option<Vec<Requirement>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Requirement {
    key: String,
    operator: Operator,
    #[serde(default)]
    values: Vec<String>,
}

#[derive(Debug, Deserialize)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

impl LabelSelector {
    /// True where all requirements hold.
    pub fn matches(&self, labels: &Labels) -> bool {
        let mut equal = self.match_labels.iter().flatten();
        let mut expressions = self.match_expressions.iter().flatten();
        equal.all(|(key, value)| labels.get(key) == Some(value))
            && expressions.all(|requirement| requirement.matches(labels))
    }

    /// The labels that are asked for.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let equal = self.match_labels.iter().flatten().map(|(key, _)| &**key);
        let expressions = self.match_expressions.iter().flatten();
        equal.chain(expressions.map(|requirement| &*requirement.key))
    }
}

impl Requirement {
    fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match self.operator {
            Operator::In => value.is_some_and(|value| self.values.contains(value)),
            Operator::NotIn => value.is_none_or(|value| !self.values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn selectors() {
        let labels = Labels::from([("team".to_owned(), "a".to_owned())]);
        let expression = |key: &str, operator: &str, values: Value| json!({ "matchExpressions": [{ "key": key, "operator": operator, "values": values }] });
        for (name, selector, expected) in [
            ("nothing", json!({}), true),
            (
                "null",
                json!({ "matchLabels": null, "matchExpressions": null }),
                true,
            ),
            ("a label", json!({ "matchLabels": { "team": "a" } }), true),
            (
                "another value",
                json!({ "matchLabels": { "team": "b" } }),
                false,
            ),
            (
                "another label",
                json!({ "matchLabels": { "app": "a" } }),
                false,
            ),
            ("In", expression("team", "In", json!(["b", "a"])), true),
            ("In others", expression("team", "In", json!(["b"])), false),
            (
                "In of what is not there",
                expression("app", "In", json!(["a"])),
                false,
            ),
            ("NotIn", expression("team", "NotIn", json!(["a"])), false),
            (
                "NotIn others",
                expression("team", "NotIn", json!(["b"])),
                true,
            ),
            (
                "NotIn of what is not there",
                expression("app", "NotIn", json!(["a"])),
                true,
            ),
            ("Exists", expression("team", "Exists", json!([])), true),
            ("Exists not", expression("app", "Exists", json!([])), false),
            (
                "DoesNotExist",
                expression("app", "DoesNotExist", json!([])),
                true,
            ),
            (
                "DoesNotExist, but does",
                expression("team", "DoesNotExist", json!([])),
                false,
            ),
            (
                "both",
                json!({
                    "matchLabels": { "team": "a" },
                    "matchExpressions": [{ "key": "app", "operator": "Exists" }],
                }),
                false,
            ),
        ] {
            let selector: LabelSelector = serde_json::from_value(selector).unwrap();
            assert_eq!(selector.matches(&labels), expected, "{name}");
        }
    }
}
