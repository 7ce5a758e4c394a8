//! `matchConditions` of a policy, in CEL, with the variables that an API server gives a webhook's.

use crate::admission::AdmissionRequest;
use anyhow::{Result, anyhow};
use cel::{Context, Env, Program, Value as CelValue, extensions};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// `admissionregistration.k8s.io/v1 MatchCondition`
#[derive(Debug, Deserialize)]
pub struct MatchCondition {
    pub name: String,
    expression: String,
}

/// A policy's conditions.
pub struct Conditions {
    env: Arc<Env>,
    programs: Vec<(String, Result<Program, String>)>,
}

/// What the conditions say of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Matched {
    Yes,
    /// The name of a condition that is false.
    No(String),
    /// The names of those that can't be evaluated here, and why not; the others are true.
    Unknown(Vec<(String, String)>),
}

impl Conditions {
    pub fn new(conditions: Vec<MatchCondition>) -> Result<Self> {
        let mut env = Env::stdlib();
        for extension in [extensions::strings, extensions::lists] {
            env.add_extension(extension)
                .map_err(|error| anyhow!("{error}"))?;
        }
        let compile = |condition: MatchCondition| {
            let program = env.compile(&condition.expression).map_err(|errors| {
                let first = errors.errors.into_iter().next();
                first.map_or_else(|| "syntax error".to_owned(), |error| error.msg)
            });
            (condition.name, program)
        };
        let programs = conditions.into_iter().map(compile).collect();
        Ok(Self {
            env: Arc::new(env),
            programs,
        })
    }

    /// Evaluates all of them: one that is false decides, whatever the others are
    /// (`plugin/webhook/matchconditions` in the API server).
    pub fn evaluate(&self, request: &AdmissionRequest) -> Result<Matched> {
        if self.programs.is_empty() {
            return Ok(Matched::Yes);
        }
        let context = self.context(request)?;
        let mut unknown = Vec::new();
        for (name, program) in &self.programs {
            let result = match program {
                Ok(program) => program.execute(&context).map_err(|error| error.to_string()),
                Err(error) => Err(error.clone()),
            };
            match result {
                Ok(CelValue::Bool(true)) => {}
                Ok(CelValue::Bool(false)) => return Ok(Matched::No(name.clone())),
                Ok(_) => unknown.push((name.clone(), "the result is no boolean".to_owned())),
                Err(error) => unknown.push((name.clone(), error)),
            }
        }
        Ok(if unknown.is_empty() {
            Matched::Yes
        } else {
            Matched::Unknown(unknown)
        })
    }

    /// `object`, `oldObject`, and `request` without the two. There is no `authorizer` here.
    fn context(&self, request: &AdmissionRequest) -> Result<Context<'_, '_>> {
        let header = AdmissionRequest {
            object: None,
            old_object: None,
            ..request.clone()
        };
        let mut context = Context::with_env(self.env.clone());
        context.add_variable_from_value("request", cel_value(&serde_json::to_value(header)?));
        for (name, object) in [
            ("object", &request.object),
            ("oldObject", &request.old_object),
        ] {
            context.add_variable_from_value(name, object.as_ref().map(cel_value));
        }
        Ok(context)
    }
}

/// A JSON value as CEL sees it in an API server: a whole number is an int, never a uint.
fn cel_value(value: &Value) -> CelValue {
    match value {
        Value::Null => CelValue::Null,
        Value::Bool(value) => CelValue::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(value) => CelValue::Int(value),
            None => CelValue::Float(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(values) => values.iter().map(cel_value).collect::<Vec<_>>().into(),
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| (name.clone(), cel_value(value)));
            fields.collect::<HashMap<_, _>>().into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::objects::POD;
    use super::super::workloads::author;
    use super::*;
    use serde_json::json;

    #[test]
    fn conditions() {
        let pod = json!({
            "metadata": { "name": "web-0", "annotations": { "a.example.com/b": "c" } },
            "spec": { "priority": 3, "containers": [{ "name": "a" }] },
        });
        let request = AdmissionRequest::create(&POD.resource, Some("team-a"), &author(), pod);
        for (expression, expected) in [
            ("true", "yes"),
            (
                "request.kind.kind == 'Pod' && !has(request.subResource)",
                "yes",
            ),
            ("'a.example.com/b' in object.metadata.annotations", "yes"),
            ("!has(object.metadata.labels)", "yes"),
            ("has(object.type) && object.type == 'x'", "no"),
            (
                "['kube-', 'gke-'].exists(it, request.namespace.startsWith(it))",
                "no",
            ),
            ("object.spec.priority + 1 == 4", "yes"),
            ("object.spec.?priority.orValue(0) == 3", "yes"),
            ("object.metadata.name.split('-')[1] == '0'", "yes"),
            ("oldObject == null && request.operation == 'CREATE'", "yes"),
            (
                "request.userInfo.groups.exists(it, it == 'system:authenticated')",
                "yes",
            ),
            (
                "object.spec.containers.all(it, it.name.matches('^[a-z]+$'))",
                "yes",
            ),
            ("object.spec.nodeName == 'a'", "unknown"),
            (
                "authorizer.group('').resource('pods').check('create').allowed()",
                "unknown",
            ),
            ("object.spec.priority", "unknown"),
            ("object.spec.(", "unknown"),
        ] {
            let condition = MatchCondition {
                name: "c".into(),
                expression: expression.into(),
            };
            let conditions = Conditions::new(vec![condition]).unwrap();
            let matched = match conditions.evaluate(&request).unwrap() {
                Matched::Yes => "yes",
                Matched::No(_) => "no",
                Matched::Unknown(_) => "unknown",
            };
            assert_eq!(matched, expected, "{expression}");
        }
    }

    #[test]
    fn one_that_is_false_decides() {
        let request = AdmissionRequest::create(&POD.resource, None, &author(), json!({}));
        let condition = |name: &str, expression: &str| MatchCondition {
            name: name.to_owned(),
            expression: expression.to_owned(),
        };
        let conditions = vec![condition("a", "authorizer"), condition("b", "false")];
        let conditions = Conditions::new(conditions).unwrap();
        assert_eq!(
            conditions.evaluate(&request).unwrap(),
            Matched::No("b".to_owned())
        );
    }
}
