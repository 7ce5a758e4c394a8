//! Are the fields that expressions name those of Kubernetes? An evaluator without types doesn't notice a
//! misspelt one: `has(object.spec.volume)` is just false. This walks through an expression with the JSON
//! schemas of k8s-openapi's types, as the API server's type checker does with its own.

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, SelectExpr};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What is known of a value: a JSON schema with its definitions in place, or nothing.
pub type Shape = Option<Value>;

/// The names of an expression, and what they stand for.
pub type Names = BTreeMap<String, Shape>;

/// The shape of an expression's value.
///
/// # Errors
/// The first name that isn't known, or field that its type doesn't have.
pub fn check(expression: &str, names: &Names) -> Result<Shape, String> {
    let program = crate::cel::compile(expression)?;
    shape(program.expression(), names)
}

/// The schema of a type, with its definitions in place.
pub fn schema_of<T: schemars::JsonSchema>() -> Value {
    let schema = schemars::schema_for!(T).to_value();
    let definitions = schema["$defs"].clone();
    resolve(&schema, &definitions, 0)
}

/// The schema of what the API server tells of a request. The type itself is none of its API: the names
/// are those of `AdmissionRequest` in k8s.io/api/admission/v1.
pub fn request_schema() -> Value {
    let text = json!({ "type": "string" });
    let kind = |last: &str| json!({ "properties": { "group": text, "version": text, last: text } });
    let user = schema_of::<k8s_openapi::api::authentication::v1::UserInfo>();
    json!({ "properties": {
        "uid": text, "kind": kind("kind"), "resource": kind("resource"), "subResource": text,
        "requestKind": kind("kind"), "requestResource": kind("resource"), "requestSubResource": text,
        "name": text, "namespace": text, "operation": text, "userInfo": user,
        "dryRun": { "type": "boolean" }, "options": {},
    } })
}

/// Deeper than any path that an expression names; types such as JSONSchemaProps contain themselves.
const DEEPEST: usize = 16;

fn resolve(schema: &Value, definitions: &Value, depth: usize) -> Value {
    match schema {
        Value::Object(fields) => {
            if let Some(name) = fields.get("$ref").and_then(Value::as_str) {
                if depth == DEEPEST {
                    return json!({});
                }
                let name = name.trim_start_matches("#/$defs/");
                return resolve(&definitions[name], definitions, depth + 1);
            }
            let fields = fields.iter().filter(|(name, _)| *name != "$defs");
            fields
                .map(|(name, field)| (name.clone(), resolve(field, definitions, depth)))
                .collect()
        }
        Value::Array(elements) => elements
            .iter()
            .map(|element| resolve(element, definitions, depth))
            .collect(),
        other => other.clone(),
    }
}

fn shape(expression: &IdedExpr, names: &Names) -> Result<Shape, String> {
    match &expression.expr {
        Expr::Ident(name) => names
            .get(name)
            .cloned()
            .ok_or_else(|| format!("{name}: unknown name")),
        Expr::Select(select) => field(select, names),
        Expr::Call(call) => result(call, names),
        Expr::Comprehension(comprehension) => comprehended(comprehension, names),
        Expr::List(list) => {
            let elements = list.elements.iter().map(|element| shape(element, names));
            let elements = elements.collect::<Result<Vec<_>, _>>()?;
            Ok(elements
                .into_iter()
                .flatten()
                .next()
                .map(|items| json!({ "items": items })))
        }
        Expr::Struct(fields) => {
            for entry in &fields.entries {
                if let EntryExpr::StructField(field) = &entry.expr {
                    shape(&field.value, names)?;
                }
            }
            Ok(None)
        }
        Expr::Map(_) => Err("a map: this checker doesn't know it".to_owned()),
        Expr::Literal(_) | Expr::Unspecified => Ok(None),
    }
}

fn field(select: &SelectExpr, names: &Names) -> Result<Shape, String> {
    let Some(operand) = shape(&select.operand, names)? else {
        return Ok(None);
    };
    let found = if let Some(properties) = operand.get("properties") {
        properties.get(&select.field)
    } else if let Some(values) = operand.get("additionalProperties") {
        Some(values)
    } else {
        return Err(format!(
            "{}: the value has no fields: {operand}",
            select.field
        ));
    };
    let found = found.ok_or_else(|| format!("{}: no such field", select.field))?;
    Ok((!select.test).then(|| without_null(found)))
}

/// A field that may be null is `anyOf` its schema and null.
fn without_null(schema: &Value) -> Value {
    let any = schema.get("anyOf").and_then(Value::as_array);
    let first = any.and_then(|any| any.iter().find(|schema| schema["type"] != "null"));
    first.unwrap_or(schema).clone()
}

fn result(call: &CallExpr, names: &Names) -> Result<Shape, String> {
    let target = call
        .target
        .as_deref()
        .map(|target| shape(target, names))
        .transpose()?
        .flatten();
    let arguments = call.args.iter().map(|argument| shape(argument, names));
    let arguments = arguments.collect::<Result<Vec<_>, _>>()?;
    Ok(match call.func_name.as_str() {
        "_[_]" => arguments[0].as_ref().and_then(|list| {
            list.get("items")
                .or(list.get("additionalProperties"))
                .map(without_null)
        }),
        "_?_:_" => arguments.into_iter().skip(1).flatten().next(),
        "_+_" => arguments.into_iter().flatten().last(),
        "flatten" => target.and_then(|list| list.get("items").cloned()),
        _ => None,
    })
}

/// `exists`, `all`, `map` and `filter`, as the parser writes them out.
fn comprehended(comprehension: &ComprehensionExpr, names: &Names) -> Result<Shape, String> {
    let range = shape(&comprehension.iter_range, names)?;
    let mut names = names.clone();
    let item = range.and_then(|range| range.get("items").map(without_null));
    names.insert(comprehension.iter_var.clone(), item);
    let first = shape(&comprehension.accu_init, &names)?;
    names.insert(comprehension.accu_var.clone(), first);
    shape(&comprehension.loop_cond, &names)?;
    let last = shape(&comprehension.loop_step, &names)?;
    names.insert(comprehension.accu_var.clone(), last);
    shape(&comprehension.result, &names)
}

#[cfg(test)]
mod tests {
    use super::{Names, check, request_schema, schema_of};
    use k8s_openapi::api::core::v1::Pod;

    #[test]
    fn a_misspelt_field_is_found_wherever_it_is() {
        let names: Names = [
            ("object".to_owned(), Some(schema_of::<Pod>())),
            ("request".to_owned(), Some(request_schema())),
        ]
        .into();
        for expression in [
            "has(object.spec.volumes)",
            "object.spec.volumes.exists(v, has(v.projected) && v.projected.sources.exists(s, has(s.serviceAccountToken)))",
            "object.spec.volumes[0].projected.sources[1].serviceAccountToken.audience == ''",
            "'a' in object.metadata.annotations && object.metadata.annotations['a'] == 'true'",
            "object.metadata.annotations.anything == ''",
            "(has(object.spec.volumes) ? object.spec.volumes : []).map(v, v.projected).map(p, p.sources)",
            "'system:nodes' in request.userInfo.groups && request.kind.kind == 'Pod'",
        ] {
            assert!(
                check(expression, &names).is_ok(),
                "{:?}",
                check(expression, &names)
            );
        }
        for (expression, wrong) in [
            ("has(object.spec.volume)", "volume"),
            ("object.spec.volumes.exists(v, has(v.project))", "project"),
            (
                "object.spec.volumes.all(v, v.projected.sources.exists(s, has(s.serviceaccountToken)))",
                "serviceaccountToken",
            ),
            ("object.spec.volumes[0].projected.source == null", "source"),
            (
                "(has(object.spec.volumes) ? object.spec.volumes : []).map(v, v.projected).map(p, p.source)",
                "source",
            ),
            (
                "object.spec.volumes.filter(v, has(v.projected))[0].projcted == null",
                "projcted",
            ),
            ("object.metadata.annotation == null", "annotation"),
            ("request.userinfo.groups == []", "userinfo"),
            ("requests.name == ''", "requests"),
        ] {
            let error = check(expression, &names).expect_err(expression);
            assert!(error.starts_with(wrong), "{expression}: {error}");
        }
    }
}
