//! CEL as the API server has it, as far as the chart's expressions use it: the standard library, the
//! extensions for texts and lists, and `JSONPatch` of MutatingAdmissionPolicies. What an expression of
//! the chart needs beyond that is an error here, and so no test passes for the wrong reason. Two
//! differences: types aren't checked (see [`crate::fields`]), and there are no limits for cost.

use cel::common::types::{CelStruct, Type};
use cel::common::value::{CowVal, Val};
use cel::{Context, Env, ExecutionError, Program, StructType, Value as CelValue, extensions};
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

/// `JSONPatch{op, path, value}`: a value of any type.
struct JsonPatch(Type);

impl StructType for JsonPatch {
    fn get_type(&self) -> &Type {
        &self.0
    }

    fn new_value<'b, 'v>(
        &self,
        fields: BTreeMap<String, CowVal<'b, 'v>>,
    ) -> Result<Box<dyn Val + 'v>, ExecutionError> {
        let mut patch = CelStruct::new("JSONPatch".to_owned());
        for (name, value) in fields {
            if !["op", "path", "from", "value"].contains(&name.as_str()) {
                return Err(ExecutionError::NoSuchKey(Arc::new(name)));
            }
            patch.add_field_value(name, value);
        }
        Ok(Box::new(patch))
    }
}

thread_local! {
    /// Each expression is evaluated on hundreds of requests.
    static PROGRAMS: RefCell<HashMap<String, Rc<Program>>> = RefCell::default();
}

static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(new_environment);

/// An expression, compiled.
///
/// # Errors
/// Why it isn't CEL.
pub fn compile(expression: &str) -> Result<Rc<Program>, String> {
    if let Some(program) = PROGRAMS.with_borrow(|programs| programs.get(expression).cloned()) {
        return Ok(program);
    }
    let program = ENVIRONMENT
        .compile(expression)
        .map_err(|error| error.to_string())?;
    let program = Rc::new(program);
    PROGRAMS.with_borrow_mut(|programs| programs.insert(expression.to_owned(), program.clone()));
    Ok(program)
}

fn new_environment() -> Arc<Env> {
    let mut environment = Env::stdlib();
    environment
        .add_extension(extensions::strings)
        .expect("strings");
    environment.add_extension(extensions::lists).expect("lists");
    environment
        .add_type(JsonPatch(Type::new_struct("JSONPatch".to_owned())))
        .expect("JSONPatch");
    Arc::new(environment)
}

/// The value of an expression.
///
/// # Errors
/// Why it isn't CEL, or why it has no value: the API server's failurePolicy would decide.
pub fn evaluate(expression: &str, variables: &Map<String, Value>) -> Result<Value, String> {
    let program = compile(expression)?;
    let mut context = Context::with_env(ENVIRONMENT.clone());
    for (name, value) in variables {
        context
            .add_variable(name, value)
            .map_err(|error| error.to_string())?;
    }
    let value = program
        .execute(&context)
        .map_err(|error| error.to_string())?;
    to_json(&value)
}

/// A value as JSON; a struct as the object of its fields.
fn to_json(value: &CelValue) -> Result<Value, String> {
    match value {
        CelValue::List(elements) => elements.iter().map(to_json).collect(),
        CelValue::Struct(fields) => {
            let fields = fields.field_values().into_iter().map(|(name, value)| {
                let value = CelValue::try_from(&*value).map_err(|error| error.to_string())?;
                Ok((name, to_json(&value)?))
            });
            fields
                .collect::<Result<Map<_, _>, String>>()
                .map(Value::Object)
        }
        value => value.json().map_err(|error| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::evaluate;
    use serde_json::{Map, Value, json};

    #[test]
    fn expressions_have_the_value_that_the_api_server_gives_them() {
        let mut variables = Map::new();
        variables.insert(
            "object".into(),
            json!({ "spec": { "n": 3607, "list": [1, 2] } }),
        );
        variables.insert("oldObject".into(), Value::Null);
        for (expression, expected) in [
            ("object.spec.n == 3607", json!(true)),
            (
                "has(object.spec.other) && object.spec.other == 1",
                json!(false),
            ),
            ("oldObject != null && has(oldObject.type)", json!(false)),
            ("'a.b'.matches(\"(?s)^(?:a\\\\.b)$\")", json!(true)),
            ("'axb'.matches(\"(?s)^(?:a\\\\.b)$\")", json!(false)),
            (
                "lists.range(2).map(i, [i, i]).flatten()",
                json!([0, 0, 1, 1]),
            ),
            (
                "object.spec.list.exists(n, n > 1) ? 'yes' : 'no'",
                json!("yes"),
            ),
            (
                "[JSONPatch{op: \"add\", path: \"/spec/\" + string(1), value: 3600}]",
                json!([{ "op": "add", "path": "/spec/1", "value": 3600 }]),
            ),
        ] {
            assert_eq!(
                evaluate(expression, &variables),
                Ok(expected),
                "{expression}"
            );
        }
        for wrong in [
            "object.",
            "object.spec.other",
            "nothing()",
            "JSONPatch{operation: \"add\"}",
        ] {
            assert!(evaluate(wrong, &variables).is_err(), "{wrong}");
        }
    }
}
