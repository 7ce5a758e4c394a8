//! What is rendered are valid objects of Kubernetes and Kubewarden, and what belongs to the policies.

use chart_tests::helm::{
    self, NAMESPACE, RELEASE, find, name, notes, of_kind, parse, policy, rendered,
};
use chart_tests::root;
use k8s_openapi::api::admissionregistration::v1 as admissionregistration;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{
    Affinity, EnvVar, PodSecurityContext, SecurityContext, ServiceAccount, Toleration,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use k8s_openapi::apimachinery::pkg::{api::resource::Quantity, util::intstr::IntOrString};
use kubewarden_policy_sdk::crd::policies::{AdmissionPolicy, ClusterAdmissionPolicy};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;

/// The fields of a PolicyServer's spec that the chart can set, with their types: those of
/// `api/policies/v1/policyserver_types.go` in kubewarden/kubewarden-controller. No crate has them.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PolicyServerSpec {
    image: String,
    replicas: i32,
    min_available: Option<IntOrString>,
    service_account_name: Option<String>,
    priority_class_name: Option<String>,
    requests: Option<BTreeMap<String, Quantity>>,
    limits: Option<BTreeMap<String, Quantity>>,
    affinity: Option<Affinity>,
    tolerations: Option<Vec<Toleration>>,
    env: Option<Vec<EnvVar>>,
    image_pull_secret: Option<String>,
    insecure_sources: Option<Vec<String>>,
    source_authorities: Option<BTreeMap<String, Vec<String>>>,
    verification_config: Option<String>,
    sigstore_trust_config: Option<String>,
    security_contexts: Option<PolicyServerSecurity>,
    namespaced_policies_capabilities: Option<Vec<String>>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PolicyServerSecurity {
    container: Option<SecurityContext>,
    pod: Option<PodSecurityContext>,
}

/// Prometheus operator's, `pkg/apis/monitoring/v1/prometheusrule_types.go`.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct PrometheusRuleSpec {
    groups: Vec<RuleGroup>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RuleGroup {
    name: String,
    rules: Vec<PrometheusRule>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct PrometheusRule {
    record: Option<String>,
    alert: Option<String>,
    expr: String,
    r#for: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
}

/// What the chart renders with everything in it.
fn everything() -> Value {
    json!({
        "step": "mutate",
        "namespaces": ["team-a"],
        "provider": "aks",
        "pullSecret": "pull",
        "policyServer": {
            "tolerations": [{ "key": "k", "operator": "Exists" }],
            "insecureSources": ["registry.example.org:5000"],
            "sourceAuthorities": { "registry.example.org": ["PEM"] },
            "verificationConfig": "verify", "sigstoreTrustConfig": "trust",
            "securityContexts": { "pod": { "runAsNonRoot": true }, "container": { "runAsUser": 65533 } },
        },
        "settings": { "overrides": [{ "namespaces": ["x"], "mode": "warn" }] },
        "tokenApi": { "people": { "enabled": true }, "nodes": { "enabled": true } },
        "secretsAndDrivers": { "enabled": true },
        "lookup": { "enabled": true, "apiServerCIDRs": ["192.0.2.1/32"] },
        "backstop": { "enabled": true, "tokenRequests": { "enabled": true } },
        "alerts": { "enabled": true, "labels": { "release": "p" }, "alertLabels": { "team": "t" } },
    })
}

fn all_objects() -> Vec<(String, Value)> {
    let mut objects = Vec::new();
    for values in [json!({}), json!({ "step": "enforce" }), everything()] {
        objects.extend(
            rendered(&values)
                .into_iter()
                .map(|object| (values.to_string(), object)),
        );
    }
    for file in std::fs::read_dir(root().join("examples")).unwrap() {
        let path = file.unwrap().path();
        let found = parse(&std::fs::read_to_string(&path).unwrap());
        objects.extend(
            found
                .into_iter()
                .map(|object| (path.display().to_string(), object)),
        );
    }
    objects
}

/// Fails on a field that the type doesn't have, or of another type.
fn assert_is<T: DeserializeOwned + Serialize>(place: &str, value: &Value) {
    let typed: T = serde_json::from_value(value.clone())
        .unwrap_or_else(|error| panic!("{place}: {error}: {value}"));
    assert_kept(place, value, &serde_json::to_value(typed).unwrap());
}

/// What was read into a type and written again still has every field. (It may have defaults as well.)
fn assert_kept(place: &str, before: &Value, after: &Value) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (name, value) in before {
                let kept = after
                    .get(name)
                    .unwrap_or_else(|| panic!("{place}.{name}: no such field"));
                assert_kept(&format!("{place}.{name}"), value, kept);
            }
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            before
                .iter()
                .zip(after)
                .for_each(|(before, after)| assert_kept(place, before, after));
        }
        _ => assert_eq!(before, after, "{place}"),
    }
}

#[test]
fn every_object_is_one_that_kubernetes_and_kubewarden_know() {
    for (place, object) in all_objects() {
        let place = format!("{place}: {} {}", object["kind"], name(&object));
        let version = object["apiVersion"].as_str().unwrap();
        match (version, object["kind"].as_str().unwrap()) {
            ("policies.kubewarden.io/v1", "ClusterAdmissionPolicy") => {
                assert_is::<ClusterAdmissionPolicy>(&place, &object);
            }
            ("policies.kubewarden.io/v1", "AdmissionPolicy") => {
                assert_is::<AdmissionPolicy>(&place, &object);
            }
            ("policies.kubewarden.io/v1", "PolicyServer") => {
                assert_is::<PolicyServerSpec>(&place, &object["spec"]);
            }
            ("monitoring.coreos.com/v1", "PrometheusRule") => {
                assert_is::<PrometheusRuleSpec>(&place, &object["spec"]);
            }
            ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy") => {
                assert_is::<admissionregistration::ValidatingAdmissionPolicy>(&place, &object);
            }
            ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding") => {
                assert_is::<admissionregistration::ValidatingAdmissionPolicyBinding>(
                    &place, &object,
                );
            }
            ("admissionregistration.k8s.io/v1", "MutatingAdmissionPolicy") => {
                assert_is::<admissionregistration::MutatingAdmissionPolicy>(&place, &object);
            }
            ("admissionregistration.k8s.io/v1", "MutatingAdmissionPolicyBinding") => {
                assert_is::<admissionregistration::MutatingAdmissionPolicyBinding>(&place, &object);
            }
            ("batch/v1", "Job") => assert_is::<Job>(&place, &object),
            ("v1", "ServiceAccount") => assert_is::<ServiceAccount>(&place, &object),
            ("networking.k8s.io/v1", "NetworkPolicy") => {
                assert_is::<NetworkPolicy>(&place, &object);
            }
            ("rbac.authorization.k8s.io/v1", "ClusterRole") => {
                assert_is::<ClusterRole>(&place, &object);
            }
            ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding") => {
                assert_is::<ClusterRoleBinding>(&place, &object);
            }
            ("scheduling.k8s.io/v1", "PriorityClass") => {
                assert_is::<PriorityClass>(&place, &object);
            }
            other => panic!("{place}: {other:?}"),
        }
    }
}

#[test]
fn two_policy_servers_run_on_different_nodes_and_are_not_evicted_together() {
    let objects = rendered(&json!({}));
    let spec = &find(&objects, "PolicyServer", "").unwrap()["spec"];
    assert_eq!(spec["replicas"], 2);
    assert_eq!(spec["minAvailable"], 1);
    for field in ["requests", "limits"] {
        assert!(
            spec[field]["cpu"].is_string() && spec[field]["memory"].is_string(),
            "{field}"
        );
    }
    let class = find(&objects, "PriorityClass", "").unwrap();
    assert_eq!(spec["priorityClassName"], class["metadata"]["name"]);
    let apart =
        &spec["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0];
    assert_eq!(apart["topologyKey"], "kubernetes.io/hostname");
    assert_eq!(
        apart["labelSelector"]["matchLabels"],
        json!({ "kubewarden/policy-server": RELEASE })
    );
    // Without it two nodes have no room for the third Pod of an update.
    assert_eq!(apart["matchLabelKeys"], json!(["pod-template-hash"]));
    let account = find(&objects, "ServiceAccount", "").unwrap();
    assert_eq!(spec["serviceAccountName"], account["metadata"]["name"]);
    assert_eq!(account["metadata"]["namespace"], NAMESPACE);
}

#[test]
fn an_existing_policy_server_is_used_as_it_is() {
    let objects = rendered(&json!({ "policyServer": { "create": false, "name": "shared" } }));
    for kind in ["PolicyServer", "PriorityClass", "ValidatingAdmissionPolicy"] {
        assert!(of_kind(&objects, kind).is_empty(), "{kind}");
    }
    assert_eq!(policy(&objects, "")["spec"]["policyServer"], "shared");
    let pulled = rendered(&json!({ "pullSecret": "pull" }));
    assert_eq!(
        find(&pulled, "PolicyServer", "").unwrap()["spec"]["imagePullSecret"],
        "pull"
    );
}

#[test]
fn the_look_up_comes_with_what_it_needs() {
    let off = rendered(&json!({ "step": "enforce", "secretsAndDrivers": { "enabled": true } }));
    let on = rendered(&everything());
    for (objects, expected) in [(&off, false), (&on, true)] {
        for suffix in ["", "-final"] {
            let spec = &policy(objects, suffix)["spec"];
            let secrets = json!([{ "apiVersion": "v1", "kind": "Secret" }]);
            assert_eq!(
                spec["contextAwareResources"] == secrets,
                expected,
                "{suffix}"
            );
            let detect = &spec["settings"]["legacyTokens"]["detect"];
            assert_eq!(detect == "Lookup", expected, "{suffix}");
        }
        assert_eq!(find(objects, "ClusterRole", "-lookup").is_some(), expected);
        assert_eq!(
            find(objects, "NetworkPolicy", "-lookup").is_some(),
            expected
        );
    }
    let role = find(&on, "ClusterRole", "-lookup").unwrap();
    assert_eq!(
        role["rules"],
        json!([{ "apiGroups": [""], "resources": ["secrets"], "verbs": ["get"] }])
    );
    let allowed = &find(&on, "NetworkPolicy", "-lookup").unwrap()["spec"];
    assert_eq!(
        allowed["podSelector"]["matchLabels"],
        json!({ "kubewarden/policy-server": RELEASE })
    );
    let from = json!([{ "ipBlock": { "cidr": "192.0.2.1/32" } }, { "podSelector": {} }]);
    assert_eq!(
        allowed["ingress"][0],
        json!({ "from": from, "ports": [{ "protocol": "TCP", "port": 8443 }] })
    );
}

#[test]
fn everything_but_the_policies_for_pods_is_off_until_it_is_switched_on() {
    let kinds = |values: &Value| {
        let objects = rendered(values);
        let policies = of_kind(&objects, "ClusterAdmissionPolicy").len();
        (
            policies,
            of_kind(&objects, "PrometheusRule").len(),
            of_kind(&objects, "NetworkPolicy").len(),
        )
    };
    for (values, expected) in [
        (json!({}), (1, 0, 0)),
        (json!({ "step": "enforce" }), (2, 0, 0)),
        (
            json!({ "step": "enforce", "tokenApi": { "people": { "enabled": true } } }),
            (4, 0, 0),
        ),
        (
            json!({ "step": "enforce", "tokenApi": { "nodes": { "enabled": true } } }),
            (4, 0, 0),
        ),
        (
            json!({ "step": "enforce", "secretsAndDrivers": { "enabled": true } }),
            (4, 0, 0),
        ),
        (
            json!({ "step": "enforce", "alerts": { "enabled": true } }),
            (2, 1, 0),
        ),
    ] {
        assert_eq!(kinds(&values), expected, "{values}");
    }
}

#[test]
fn people_have_a_failure_policy_and_a_maximum_of_their_own() {
    let values = json!({
        "step": "enforce",
        "settings": { "maxExpirationSeconds": 7200 },
        "tokenApi": { "people": { "enabled": true, "maxExpirationSeconds": 1800 }, "nodes": { "enabled": true } },
    });
    let objects = rendered(&values);
    for (suffix, failure_policy, maximum) in [
        ("", "Ignore", 7200),
        ("-nodes", "Ignore", 7200),
        ("-nodes-final", "Ignore", 7200),
        ("-people", "Fail", 1800),
        ("-people-final", "Fail", 1800),
    ] {
        let spec = &policy(&objects, suffix)["spec"];
        assert_eq!(spec["failurePolicy"], failure_policy, "{suffix}");
        assert_eq!(
            spec["settings"]["maxExpirationSeconds"], maximum,
            "{suffix}"
        );
    }
}

#[test]
fn on_aks_the_selectors_have_the_terms_that_the_enforcer_wants() {
    let terms = |values: &Value, suffix: &str| {
        let objects = rendered(values);
        let selector = &policy(&objects, suffix)["spec"]["namespaceSelector"]["matchExpressions"];
        selector
            .as_array()
            .unwrap()
            .iter()
            .map(|term| term["key"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let name = "kubernetes.io/metadata.name";
    assert_eq!(terms(&json!({}), ""), [name]);
    let aks = json!({ "provider": "aks", "step": "enforce" });
    let expected = [
        name,
        "control-plane",
        "kubernetes.azure.com/managedby",
        "control-plane",
    ];
    assert_eq!(terms(&aks, ""), expected);
    assert_eq!(terms(&aks, "-final"), expected);
    assert!(notes(&aks).contains("control-plane: controller-manager"));
}

#[test]
fn alerts_name_the_webhooks_and_policies_of_the_release() {
    let objects = rendered(&everything());
    let rule = of_kind(&objects, "PrometheusRule")[0];
    assert_eq!(rule["metadata"]["labels"]["release"], "p");
    let text = rule["spec"].to_string();
    for metric in [
        "serviceaccount_stale_tokens_total",
        "serviceaccount_valid_tokens_total",
        "apiserver_admission_webhook_rejection_count",
        "apiserver_admission_webhook_fail_open_count",
        "apiserver_admission_webhook_admission_duration_seconds_bucket",
        "kubewarden_policy_total",
        "kubewarden_policy_evaluations_total",
        "kube_deployment_status_replicas_updated",
        "error_type",
        "policy-server-bound-service-account-tokens",
    ] {
        assert!(text.contains(metric), "{metric}");
    }
    for group in rule["spec"]["groups"].as_array().unwrap() {
        for rule in group["rules"].as_array().unwrap() {
            let expression = rule["expr"].as_str().unwrap();
            promql_parser::parser::parse(expression)
                .unwrap_or_else(|error| panic!("{expression}: {error}"));
            // Of the two metrics that webhooks have, only rejections have this label.
            assert!(
                !(expression.contains("_fail_open_count") && expression.contains("error_type")),
                "{expression}"
            );
            // Progress that is shown, not alarmed about.
            let is_alert = !rule["alert"].is_null();
            assert!(
                !(is_alert && expression.contains("serviceaccount_valid")),
                "{expression}"
            );
            assert_eq!(rule["labels"]["team"] == "t", is_alert, "{expression}");
        }
    }
}

// ---------------------------------------------------------------------------------------------
// Examples and texts

#[test]
fn the_examples_are_what_the_chart_renders() {
    let folder = root().join("target/examples");
    std::fs::create_dir_all(&folder).unwrap();
    let script = Command::new(root().join("scripts/examples.sh"))
        .arg(&folder)
        .output()
        .unwrap();
    assert!(
        script.status.success(),
        "{}",
        String::from_utf8_lossy(&script.stderr)
    );
    let mut compared = 0;
    for file in std::fs::read_dir(root().join("chart/ci")).unwrap() {
        let file = file.unwrap().file_name().into_string().unwrap();
        let example = format!("{}.yml", file.strip_suffix("-values.yaml").expect("a name"));
        let read =
            |folder: &std::path::Path| std::fs::read_to_string(folder.join(&example)).unwrap();
        assert!(
            read(&folder) == read(&root().join("examples")),
            "{example}: run `make examples`"
        );
        compared += 1;
    }
    assert!(compared >= 9, "{compared} examples");
}

#[test]
fn kubectl_reads_the_examples() {
    for file in std::fs::read_dir(root().join("examples")).unwrap() {
        let path = file.unwrap().path();
        let example = path.file_stem().unwrap().to_str().unwrap();
        let folder = root().join("target/kustomize").join(example);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::copy(&path, folder.join("all.yaml")).unwrap();
        std::fs::write(folder.join("kustomization.yaml"), "resources: [all.yaml]\n").unwrap();
        let output = Command::new("kubectl")
            .arg("kustomize")
            .arg(&folder)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{example}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let found = parse(std::str::from_utf8(&output.stdout).unwrap()).len();
        assert_eq!(
            found,
            parse(&std::fs::read_to_string(&path).unwrap()).len(),
            "{example}"
        );
    }
}

#[test]
fn the_notes_say_what_was_installed_and_how_to_go_on_and_back() {
    let mut all = everything();
    all["settings"]["optOutAnnotation"] = json!("tokens.example.com/exempt");
    let see = json!({});
    let enforce = json!({ "step": "enforce" });
    let last = json!({
        "step": "enforce", "failurePolicy": "Fail", "hooks": { "enabled": false },
        "tokenApi": { "people": { "enabled": true }, "nodes": { "enabled": true } },
        "secretsAndDrivers": { "enabled": true },
    });
    for (values, expected) in [
        (
            &see,
            vec![
                "Nothing is changed and nothing is rejected",
                "--set step=mutate",
                "serviceaccount_stale_tokens_total",
            ],
        ),
        (
            &all,
            vec![
                "Enforced in the namespaces team-a;",
                "--set step=enforce",
                "are deleted first",
                "alerts, as a PrometheusRule",
                "who opted out",
                "A TokenRequest doesn't show its Pod",
            ],
        ),
        (
            &enforce,
            vec![
                "Enforced everywhere",
                "--set failurePolicy=Fail",
                "-final",
                "admitted unjudged (failurePolicy: Ignore)",
            ],
        ),
        (
            &last,
            vec![
                "Delete the token Secrets",
                "refused (failurePolicy: Fail)",
                "reason=FailedMount",
                "kubectl delete clusteradmissionpolicies bound-service-account-tokens-final bound-service-account-tokens-people-final",
            ],
        ),
    ] {
        let notes = notes(values);
        let always = [
            "helm rollback bound-service-account-tokens --namespace kubewarden",
            "helm uninstall bound-service-account-tokens --namespace kubewarden",
            "kubectl rollout status deployment/policy-server-bound-service-account-tokens",
            "PolicyActive",
        ];
        for expected in expected.into_iter().chain(always) {
            assert!(notes.contains(expected), "{expected}: {notes}");
        }
        assert!(
            !notes.contains("<no value>") && !notes.contains("%!"),
            "{notes}"
        );
    }
    assert!(helm::template(&see, &[]).is_ok());
}

#[test]
fn the_table_of_injectors_has_their_audiences_and_lifetimes() {
    let values = std::fs::read_to_string(root().join("chart/values.yaml")).unwrap();
    for (audience, seconds) in [
        ("sts.amazonaws.com", "86400"),
        ("pods.eks.amazonaws.com", "86400"),
        ("api://AzureADTokenExchange", "3600"),
        ("istio-ca", "43200"),
        ("identity.l5d.io", "86400"),
        ("spire-server", "7200"),
    ] {
        let row = values
            .lines()
            .find(|line| line.starts_with("# ") && line.contains(audience));
        assert!(row.is_some_and(|row| row.contains(seconds)), "{audience}");
    }
}
