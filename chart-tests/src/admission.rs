//! What the API server does with a request: which webhooks it asks, and what its own admission policies
//! change and refuse.

use crate::cel::evaluate;
use crate::helm::name;
use serde_json::{Map, Value, json};

/// True when the API server asks the webhook of a ClusterAdmissionPolicy about a request.
///
/// # Errors
/// Which condition has no value: the failurePolicy would decide.
pub fn asks(policy: &Value, request: &Value) -> Result<bool, String> {
    let spec = &policy["spec"];
    let is_selected = rules_select(&spec["rules"], request)
        && namespace_is_selected(&spec["namespaceSelector"], request);
    Ok(is_selected && conditions_are_met(&spec["matchConditions"], &variables(request))?)
}

/// The object of a request after the MutatingAdmissionPolicies among `objects`.
///
/// # Errors
/// Which expression has no value, or makes no patch.
pub fn mutate(objects: &[Value], request: &Value) -> Result<Value, String> {
    let mut request = request.clone();
    for policy in with_binding(objects, "MutatingAdmissionPolicy") {
        let Some(variables) = selected(policy, &request)? else {
            continue;
        };
        for mutation in elements(&policy["spec"]["mutations"]) {
            let expression = text(&mutation["jsonPatch"]["expression"])?;
            let patch = evaluate(expression, &variables)
                .map_err(|error| format!("{}: {error}", name(policy)))?;
            let patch: json_patch::Patch =
                serde_json::from_value(patch).map_err(|error| error.to_string())?;
            json_patch::patch(&mut request["object"], &patch).map_err(|error| error.to_string())?;
        }
    }
    Ok(request["object"].take())
}

/// What the ValidatingAdmissionPolicies among `objects` say of a request: each failed one's name and the
/// actions of its binding.
///
/// # Errors
/// Which expression has no value.
pub fn failed<'o>(
    objects: &'o [Value],
    request: &Value,
) -> Result<Vec<(&'o str, Vec<&'o str>)>, String> {
    let mut failed = Vec::new();
    for policy in with_binding(objects, "ValidatingAdmissionPolicy") {
        let Some(variables) = selected(policy, request)? else {
            continue;
        };
        for validation in elements(&policy["spec"]["validations"]) {
            let value = evaluate(text(&validation["expression"])?, &variables)
                .map_err(|error| format!("{}: {error}", name(policy)))?;
            if value != true {
                failed.push((name(policy), actions(objects, policy)));
            }
        }
    }
    Ok(failed)
}

/// The variables of an admission policy's expressions, if it selects the request.
fn selected(policy: &Value, request: &Value) -> Result<Option<Map<String, Value>>, String> {
    let spec = &policy["spec"];
    let constraints = &spec["matchConstraints"];
    let mut variables = variables(request);
    let is_selected = rules_select(&constraints["resourceRules"], request)
        && namespace_is_selected(&constraints["namespaceSelector"], request)
        && conditions_are_met(&spec["matchConditions"], &variables)?;
    if !is_selected {
        return Ok(None);
    }
    variables.insert("variables".to_owned(), json!({}));
    for variable in elements(&spec["variables"]) {
        let value = evaluate(text(&variable["expression"])?, &variables)
            .map_err(|error| format!("{}: {}: {error}", name(policy), variable["name"]))?;
        variables["variables"][text(&variable["name"])?] = value;
    }
    Ok(Some(variables))
}

/// Those that a binding puts in force: one that has no params and selects nothing less.
fn with_binding<'o>(objects: &'o [Value], kind: &str) -> Vec<&'o Value> {
    let binding = format!("{kind}Binding");
    let is_bound = |policy: &Value| {
        objects.iter().any(|object| {
            object["kind"] == *binding && object["spec"]["policyName"] == policy["metadata"]["name"]
        })
    };
    objects
        .iter()
        .filter(|object| object["kind"] == kind && is_bound(object))
        .collect()
}

fn actions<'o>(objects: &'o [Value], policy: &Value) -> Vec<&'o str> {
    let bindings = objects.iter().filter(|object| {
        object["kind"] == "ValidatingAdmissionPolicyBinding"
            && object["spec"]["policyName"] == policy["metadata"]["name"]
    });
    let actions = bindings.flat_map(|binding| elements(&binding["spec"]["validationActions"]));
    actions.filter_map(Value::as_str).collect()
}

/// What expressions may name: the request without its objects, and these.
fn variables(request: &Value) -> Map<String, Value> {
    let mut header = request.clone();
    let fields = header.as_object_mut().expect("a request");
    let object = fields.remove("object").unwrap_or_default();
    let old_object = fields.remove("oldObject").unwrap_or_default();
    let mut variables = Map::new();
    variables.insert("object".to_owned(), object);
    variables.insert("oldObject".to_owned(), old_object);
    variables.insert("request".to_owned(), header);
    variables
}

fn rules_select(rules: &Value, request: &Value) -> bool {
    let has = |list: &Value, expected: &str| {
        elements(list)
            .iter()
            .any(|element| *element == expected || *element == "*")
    };
    let field = |path: &str| {
        request
            .pointer(path)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let resource = match field("/subResource") {
        "" => field("/resource/resource").to_owned(),
        sub_resource => format!("{}/{sub_resource}", field("/resource/resource")),
    };
    elements(rules).iter().any(|rule| {
        has(&rule["apiGroups"], field("/resource/group"))
            && has(&rule["apiVersions"], field("/resource/version"))
            && has(&rule["resources"], &resource)
            && has(&rule["operations"], field("/operation"))
    })
}

/// With the labels that Kubernetes itself gives to a namespace. What is in none is always selected.
fn namespace_is_selected(selector: &Value, request: &Value) -> bool {
    let Some(namespace) = request["namespace"]
        .as_str()
        .filter(|name| !name.is_empty())
    else {
        return true;
    };
    elements(&selector["matchExpressions"])
        .iter()
        .all(|expression| {
            let label = (expression["key"] == "kubernetes.io/metadata.name").then_some(namespace);
            let is_in = elements(&expression["values"])
                .iter()
                .any(|value| value.as_str() == label);
            match expression["operator"].as_str() {
                Some("NotIn") => label.is_none() || !is_in,
                Some("DoesNotExist") => label.is_none(),
                other => panic!("operator {other:?}"),
            }
        })
}

fn conditions_are_met(conditions: &Value, variables: &Map<String, Value>) -> Result<bool, String> {
    for condition in elements(conditions) {
        let value = evaluate(text(&condition["expression"])?, variables)
            .map_err(|error| format!("{}: {error}", condition["name"]))?;
        match value {
            Value::Bool(true) => {}
            Value::Bool(false) => return Ok(false),
            other => return Err(format!("{}: {other}", condition["name"])),
        }
    }
    Ok(true)
}

fn elements(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| format!("{value} is no text"))
}
