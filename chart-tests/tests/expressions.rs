//! Every CEL expression of the chart and the examples: it has a value on captured requests, its fields
//! are Kubernetes' own, and it selects what it should.

use chart_tests::cel::evaluate;
use chart_tests::fields::{Names, check, request_schema, schema_of};
use chart_tests::helm::{RELEASE, find, name, of_kind, parse, policy, rendered};
use chart_tests::requests::{Captured, all_captured, special};
use chart_tests::{admission, root};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::api::storage::v1::CSIDriver;
use k8s_openapi::api::{apps::v1 as apps, batch::v1 as batch, core::v1 as core};
use kubewarden_policy_sdk::crd::policies::ClusterAdmissionPolicy;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Everything that the chart can render, in all its forms.
fn releases() -> Vec<(&'static str, Vec<Value>)> {
    let all = json!({
        "namespaces": ["team-a-*", "x.y"],
        "provider": "aks",
        "settings": {
            "audiences": [
                { "audience": "sts.amazonaws.com", "maxExpirationSeconds": 86400 },
                { "audience": "api://a\"b'c\\d&<e>*", "maxExpirationSeconds": 600 },
            ],
            "apiServer": { "audiences": ["https://kubernetes.default.svc*"] },
            "exemptNamespaces": ["old-*"],
            "exemptServiceAccounts": ["ci-*/builder"],
            "optOutAnnotation": "tokens.example.com/exempt",
            "overrides": [
                { "namespaces": ["ci-*"], "maxExpirationSeconds": 7200 },
                { "namespaces": ["keep"], "mode": "warn" },
            ],
        },
        "tokenApi": {
            "people": { "enabled": true, "maxExpirationSeconds": 1800, "excludedUsers": ["system:serviceaccount:a:b"] },
            "nodes": { "enabled": true },
        },
        "secretsAndDrivers": { "enabled": true },
        "lookup": { "enabled": true, "apiServerCIDRs": ["192.0.2.1/32"] },
        "backstop": { "enabled": true, "tokenRequests": { "enabled": true } },
        "alerts": { "enabled": true },
    });
    let mut releases = vec![("defaults", rendered(&json!({})))];
    for step in ["see", "mutate", "enforce"] {
        let mut values = all.clone();
        values["step"] = json!(step);
        releases.push((step, rendered(&values)));
        values["settings"] = json!({ "apiServer": { "extendsTokens": false } });
        releases.push((step, rendered(&values)));
    }
    releases
}

fn examples() -> Vec<(String, Vec<Value>)> {
    let files = std::fs::read_dir(root().join("examples")).unwrap();
    let files = files.map(|file| file.unwrap().path());
    files
        .map(|path| {
            (
                path.display().to_string(),
                parse(&std::fs::read_to_string(path).unwrap()),
            )
        })
        .collect()
}

/// Every object with expressions, with the file or release that it is in.
fn objects() -> Vec<(String, Value)> {
    let releases = releases()
        .into_iter()
        .map(|(step, objects)| (step.to_owned(), objects));
    let all = releases.chain(examples());
    all.flat_map(|(place, objects)| {
        objects
            .into_iter()
            .map(move |object| (format!("{place}: {}", name(&object)), object))
    })
    .filter(|(_, object)| {
        object["kind"]
            .as_str()
            .unwrap()
            .ends_with("AdmissionPolicy")
    })
    .collect()
}

/// The expressions of an object in the order in which the API server evaluates them, each with the name
/// of the variable that it is, if it is one.
fn expressions(object: &Value) -> Vec<(Option<&str>, &str)> {
    let spec = &object["spec"];
    let list = |field: &str| spec[field].as_array().into_iter().flatten();
    let conditions = list("matchConditions").map(|it| (None, &it["expression"]));
    let variables = list("variables").map(|it| (it["name"].as_str(), &it["expression"]));
    let mutations = list("mutations").map(|it| (None, &it["jsonPatch"]["expression"]));
    let validations = list("validations").map(|it| (None, &it["expression"]));
    let all = conditions
        .chain(variables)
        .chain(mutations)
        .chain(validations);
    all.map(|(name, expression)| (name, expression.as_str().unwrap()))
        .collect()
}

fn rules(object: &Value) -> &Value {
    let constraints = &object["spec"]["matchConstraints"]["resourceRules"];
    if constraints.is_null() {
        &object["spec"]["rules"]
    } else {
        constraints
    }
}

/// The schemas of the kinds that the rules of an object select.
fn schemas(object: &Value) -> Vec<Value> {
    let known: BTreeMap<&str, fn() -> Value> = [
        ("pods", schema_of::<Pod> as fn() -> Value),
        ("pods/ephemeralcontainers", schema_of::<Pod>),
        (
            "replicationcontrollers",
            schema_of::<core::ReplicationController>,
        ),
        ("podtemplates", schema_of::<core::PodTemplate>),
        ("deployments", schema_of::<apps::Deployment>),
        ("replicasets", schema_of::<apps::ReplicaSet>),
        ("statefulsets", schema_of::<apps::StatefulSet>),
        ("daemonsets", schema_of::<apps::DaemonSet>),
        ("jobs", schema_of::<batch::Job>),
        ("cronjobs", schema_of::<batch::CronJob>),
        ("serviceaccounts/token", schema_of::<TokenRequest>),
        ("secrets", schema_of::<Secret>),
        ("csidrivers", schema_of::<CSIDriver>),
        (
            "clusteradmissionpolicies",
            schema_of::<ClusterAdmissionPolicy>,
        ),
        // Their `spec.policyServer` is the same.
        ("admissionpolicies", schema_of::<ClusterAdmissionPolicy>),
        ("admissionpolicygroups", schema_of::<ClusterAdmissionPolicy>),
        (
            "clusteradmissionpolicygroups",
            schema_of::<ClusterAdmissionPolicy>,
        ),
    ]
    .into();
    let resources = rules(object).as_array().unwrap().iter();
    let resources = resources.flat_map(|rule| rule["resources"].as_array().unwrap());
    resources
        .map(|resource| known[resource.as_str().unwrap()]())
        .collect()
}

#[test]
fn every_field_that_an_expression_names_is_one_of_kubernetes() {
    let mut checked = 0;
    for (place, object) in objects() {
        if expressions(&object).is_empty() {
            continue;
        }
        for schema in schemas(&object) {
            let mut names: Names = [
                ("object".to_owned(), Some(schema.clone())),
                ("oldObject".to_owned(), Some(schema)),
                ("request".to_owned(), Some(request_schema())),
                ("lists".to_owned(), None),
                ("variables".to_owned(), Some(json!({ "properties": {} }))),
            ]
            .into();
            for (variable, expression) in expressions(&object) {
                let found = check(expression, &names);
                let shape = found.unwrap_or_else(|error| panic!("{place}: {error}\n{expression}"));
                if let (Some(variable), Some(Some(variables))) =
                    (variable, names.get_mut("variables"))
                {
                    variables["properties"][variable] = shape.unwrap_or(json!({ "type": "dyn" }));
                }
                checked += 1;
            }
        }
    }
    assert!(checked > 200, "{checked} expressions");
}

#[test]
fn every_expression_has_a_value_on_every_captured_request() {
    let requests = all_captured();
    let mut asked = 0;
    for (place, object) in objects() {
        for Captured { file, request } in &requests {
            let case = format!("{place}, {file}");
            let one = [object.clone(), binding_of(&object)];
            match object["kind"].as_str().unwrap() {
                "MutatingAdmissionPolicy" => drop(admission::mutate(&one, request).expect(&case)),
                "ValidatingAdmissionPolicy" => drop(admission::failed(&one, request).expect(&case)),
                _ => asked += usize::from(admission::asks(&object, request).expect(&case)),
            }
        }
    }
    assert!(asked > 1000, "{asked} requests");
}

fn binding_of(policy: &Value) -> Value {
    let kind = format!("{}Binding", policy["kind"].as_str().unwrap());
    json!({ "kind": kind, "metadata": { "name": "b" }, "spec": { "policyName": policy["metadata"]["name"] } })
}

/// A token Secret, an update that turns `old` into `new`, and by whom.
fn secret(operation: &str, old: &Value, new: &Value, user: &str) -> Value {
    let mut request = special("secret-create-legacy-token");
    request["operation"] = json!(operation);
    request["userInfo"] = json!({ "username": user });
    request["oldObject"] = old.clone();
    request["object"] = new.clone();
    request
}

#[test]
fn the_rule_for_secrets_sees_tokens_and_nothing_else() {
    let values = json!({ "step": "enforce", "secretsAndDrivers": { "enabled": true } });
    let objects = rendered(&values);
    let policy = policy(&objects, "-secrets");
    let token =
        json!({ "metadata": { "name": "s" }, "type": "kubernetes.io/service-account-token" });
    let opaque =
        |data: Value| json!({ "metadata": { "name": "s" }, "type": "Opaque", "data": data });
    let none = Value::Null;
    let jwt = opaque(json!({ "token": "ZXlKaGJHY2lPaUpTVXpJMU5pSjk=" }));
    for (case, operation, old, new, user, asked) in [
        ("made", "CREATE", &none, &token, "alex", true),
        ("updated", "UPDATE", &token, &token, "alex", true),
        (
            "was one",
            "UPDATE",
            &token,
            &opaque(json!({})),
            "alex",
            true,
        ),
        (
            "becomes one",
            "UPDATE",
            &opaque(json!({})),
            &token,
            "alex",
            true,
        ),
        ("deleted", "DELETE", &token, &none, "alex", false),
        (
            "opaque",
            "CREATE",
            &none,
            &opaque(json!({ "password": "ZXlK" })),
            "alex",
            false,
        ),
        (
            "opaque, without data",
            "CREATE",
            &none,
            &json!({ "metadata": {}, "type": "Opaque" }),
            "alex",
            false,
        ),
        ("an opaque token", "CREATE", &none, &jwt, "alex", true),
        (
            "another program's token",
            "CREATE",
            &none,
            &opaque(json!({ "token": "aHVudGVyMg==" })),
            "alex",
            false,
        ),
        (
            "by the controller",
            "UPDATE",
            &token,
            &token,
            "system:kube-controller-manager",
            false,
        ),
        (
            "by the API server",
            "UPDATE",
            &token,
            &token,
            "system:apiserver",
            false,
        ),
        (
            "by the tokens controller",
            "UPDATE",
            &token,
            &token,
            "system:serviceaccount:kube-system:tokens-controller",
            false,
        ),
        (
            "by somebody called so",
            "UPDATE",
            &token,
            &token,
            "system:serviceaccount:kube-systems:x",
            true,
        ),
        (
            "by somebody else",
            "UPDATE",
            &token,
            &token,
            "x-system:apiserver",
            true,
        ),
    ] {
        let request = secret(operation, old, new, user);
        assert_eq!(admission::asks(policy, &request), Ok(asked), "{case}");
    }
}

#[test]
fn people_and_nodes_ask_different_policies() {
    let values = json!({
        "step": "enforce",
        "tokenApi": {
            "people": { "enabled": true, "excludedUsers": ["system:serviceaccount:vault:agent"] },
            "nodes": { "enabled": true },
        },
    });
    let objects = rendered(&values);
    for (user, groups, namespace, people, nodes) in [
        (
            "system:node:worker",
            json!(["system:nodes"]),
            "payments",
            false,
            true,
        ),
        (
            "system:node:worker",
            json!(["system:authenticated"]),
            "payments",
            true,
            false,
        ),
        ("system:node:worker", Value::Null, "payments", true, false),
        ("alex", json!(["system:nodes"]), "payments", true, false),
        ("alex", json!([]), "payments", true, false),
        (
            "system:serviceaccount:vault:agent",
            json!([]),
            "payments",
            false,
            false,
        ),
        ("alex", json!([]), "kube-system", false, false),
        (
            "system:node:worker",
            json!(["system:nodes"]),
            "kube-system",
            false,
            false,
        ),
    ] {
        let mut request = special("tokenrequest-kubelet-3607");
        request["namespace"] = json!(namespace);
        request["userInfo"] = json!({ "username": user, "groups": groups });
        if groups.is_null() {
            request["userInfo"]
                .as_object_mut()
                .unwrap()
                .remove("groups");
        }
        for (suffix, asked) in [
            ("-people", people),
            ("-people-final", people),
            ("-nodes", nodes),
            ("-nodes-final", nodes),
        ] {
            let policy = policy(&objects, suffix);
            assert_eq!(
                admission::asks(policy, &request),
                Ok(asked),
                "{user} {groups} {suffix}"
            );
        }
    }
}

#[test]
fn mirror_pods_are_left_out_and_nothing_else_is() {
    let objects = rendered(&json!({ "step": "enforce" }));
    for (file, asked) in [
        ("pod-create-mirror", false),
        ("pod-create-plain", true),
        ("pod-create-generate-name", true),
        ("pod-update-ephemeral", true),
        ("pod-update-labels", false),
        ("pod-delete", false),
    ] {
        for suffix in ["", "-final"] {
            let policy = policy(&objects, suffix);
            assert_eq!(
                admission::asks(policy, &special(file)),
                Ok(asked),
                "{file} {suffix}"
            );
        }
    }
    let mut ephemeral = special("pod-update-ephemeral");
    ephemeral["object"]["metadata"]["annotations"] = json!({ "kubernetes.io/config.mirror": "x" });
    assert_eq!(
        admission::asks(policy(&objects, ""), &ephemeral),
        Ok(true),
        "anybody may annotate"
    );
}

#[test]
fn the_guard_keeps_all_other_policies_off_the_server() {
    let all = json!({
        "step": "enforce",
        "tokenApi": { "people": { "enabled": true }, "nodes": { "enabled": true } },
        "secretsAndDrivers": { "enabled": true },
    });
    let objects = rendered(&all);
    let request = |kind: &str, object: Value| {
        let resource = match kind {
            "AdmissionPolicy" => "admissionpolicies",
            "AdmissionPolicyGroup" => "admissionpolicygroups",
            "ClusterAdmissionPolicy" => "clusteradmissionpolicies",
            _ => "clusteradmissionpolicygroups",
        };
        let group = "policies.kubewarden.io";
        json!({
            "operation": "CREATE", "object": object,
            "kind": { "group": group, "version": "v1", "kind": kind },
            "resource": { "group": group, "version": "v1", "resource": resource },
        })
    };
    for policy in of_kind(&objects, "ClusterAdmissionPolicy") {
        let failed =
            admission::failed(&objects, &request("ClusterAdmissionPolicy", policy.clone()))
                .unwrap();
        assert_eq!(failed, [], "{}", name(policy));
    }
    let other = |name: &str, server: &str| json!({ "metadata": { "name": name }, "spec": { "policyServer": server } });
    let mut going = other("tenants", RELEASE);
    going["metadata"]["deletionTimestamp"] = json!("2026-11-26T20:00:00Z");
    for (case, kind, object, refused) in [
        (
            "a tenant's",
            "AdmissionPolicy",
            other("tenants", RELEASE),
            true,
        ),
        (
            "a tenant's with a name of ours",
            "AdmissionPolicy",
            other(RELEASE, RELEASE),
            true,
        ),
        (
            "a tenant's group",
            "AdmissionPolicyGroup",
            other(RELEASE, RELEASE),
            true,
        ),
        (
            "another for the cluster",
            "ClusterAdmissionPolicy",
            other("theirs", RELEASE),
            true,
        ),
        (
            "a group for the cluster",
            "ClusterAdmissionPolicyGroup",
            other(RELEASE, RELEASE),
            true,
        ),
        (
            "elsewhere",
            "AdmissionPolicy",
            other("tenants", "default"),
            false,
        ),
        (
            "nowhere yet",
            "AdmissionPolicy",
            json!({ "metadata": { "name": "x" }, "spec": {} }),
            false,
        ),
        ("on its way out", "AdmissionPolicy", going, false),
    ] {
        let failed = admission::failed(&objects, &request(kind, object)).unwrap();
        assert_eq!(failed.len(), usize::from(refused), "{case}: {failed:?}");
    }
    let guard = find(&objects, "ValidatingAdmissionPolicy", "-guard").unwrap();
    assert_eq!(guard["spec"]["failurePolicy"], "Fail");
}

#[test]
fn a_pattern_matches_in_cel_what_it_matches_in_the_policy() {
    let values = json!({ "step": "mutate", "namespaces": ["a-*", "b.c", "*-x-*", "d"] });
    let objects = rendered(&values);
    let conditions = policy(&objects, "-final")["spec"]["matchConditions"]
        .as_array()
        .unwrap();
    let expression = conditions
        .iter()
        .find(|it| it["name"] == "only-enforced-namespaces")
        .unwrap();
    let expression = expression["expression"].as_str().unwrap();
    for (namespace, expected) in [
        ("a-", true),
        ("a-1", true),
        ("a", false),
        ("ba-1", false),
        ("b.c", true),
        ("bxc", false),
        ("1-x-2", true),
        ("-x-", true),
        ("1-x", false),
        ("d", true),
        ("dd", false),
        ("", false),
    ] {
        let variables = json!({ "request": { "namespace": namespace } });
        let found = evaluate(expression, variables.as_object().unwrap());
        assert_eq!(found, Ok(json!(expected)), "{namespace}");
    }
}
