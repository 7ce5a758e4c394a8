//! No step takes back what another one said, and each mutating policy has its validating one.

use chart_tests::helm::{self, NAMESPACE, RELEASE, find, name, of_kind, policy, rendered};
use chart_tests::requests::{all_captured, ask};
use chart_tests::{admission, root};
use serde_json::{Value, json};

const STEPS: [&str; 3] = ["see", "mutate", "enforce"];

/// The mutating policies, and the suffix of the validating one of each.
const TWINS: [(&str, &str); 3] = [
    ("", "-final"),
    ("-people", "-people-final"),
    ("-nodes", "-nodes-final"),
];

/// What people write: nothing; a bit of everything; overrides that overlap with `namespaces`.
fn user_settings() -> Vec<(&'static str, Value)> {
    vec![
        ("none", json!({})),
        (
            "some of all",
            json!({
                "maxExpirationSeconds": 7200,
                "audiences": [{ "audience": "sts.amazonaws.com", "maxExpirationSeconds": 86400 }],
                "allowedAudiences": ["sts.amazonaws.com", "vault"],
                "apiServer": { "audiences": ["https://kubernetes.default.svc"] },
                "legacyTokens": { "rule": "Allow" },
                "fsGroup": { "rule": "MayRunAs", "rootContainers": "Leave" },
                "exemptNamespaces": ["old"],
                "exemptServiceAccounts": ["*/builder"],
                "optOutAnnotation": "tokens.example.com/exempt",
            }),
        ),
        (
            "groups are not checked",
            json!({ "fsGroup": { "rule": "RunAsAny" } }),
        ),
        ("what is enforced is rejected", json!({ "mode": "reject" })),
        (
            "overrides that overlap",
            json!({ "overrides": [
                { "namespaces": ["team-a-old"], "mode": "warn" },
                { "namespaces": ["team-a-*"], "maxExpirationSeconds": 86400 },
                { "namespaces": ["team-*"], "maxExpirationSeconds": 7200 },
                { "namespaces": ["team-a-strict", "strict"], "mode": "reject", "maxExpirationSeconds": 600 },
                { "namespaces": ["*"], "maxExpirationSeconds": 4_294_967_296_i64 },
            ] }),
        ),
    ]
}

const NAMESPACES: [&str; 6] = [
    "team-a-web",
    "team-a-old",
    "team-a-strict",
    "team-b",
    "strict",
    "payments",
];

fn values(step: &str, settings: &Value) -> Value {
    json!({
        "step": step,
        "namespaces": ["team-a-*"],
        "settings": settings,
        "tokenApi": { "people": { "enabled": true, "maxExpirationSeconds": 1800 }, "nodes": { "enabled": true } },
        "secretsAndDrivers": { "enabled": true },
    })
}

/// A setting in a namespace: the first override that sets it wins.
fn effective<'s>(settings: &'s Value, field: &str, namespace: &str) -> &'s Value {
    let matches = |pattern: &Value| match pattern.as_str().unwrap().split_once('*') {
        Some((start, end)) => namespace.starts_with(start) && namespace.ends_with(end),
        None => pattern == namespace,
    };
    let overrides = settings["overrides"].as_array().into_iter().flatten();
    let matching = overrides
        .filter(|it| it["namespaces"].as_array().unwrap().iter().any(matches))
        .find(|it| !it[field].is_null());
    &matching.unwrap_or(settings)[field]
}

/// The settings without what a step may decide.
fn without_mode(settings: &Value) -> Value {
    let mut settings = settings.clone();
    let fields = settings.as_object_mut().unwrap();
    fields.remove("mode");
    fields.remove("overrides");
    settings
}

fn orders() -> Vec<[&'static str; 3]> {
    let [a, b, c] = STEPS;
    vec![
        [a, b, c],
        [a, c, b],
        [b, a, c],
        [b, c, a],
        [c, a, b],
        [c, b, a],
    ]
}

#[test]
fn no_order_of_steps_takes_anything_back() {
    for (case, settings) in user_settings() {
        for order in orders() {
            let releases = order.map(|step| rendered(&values(step, &settings)));
            for (before, after) in releases.iter().zip(&releases[1..]) {
                for (suffix, _) in TWINS {
                    assert_same(&format!("{case} {order:?} {suffix}"), before, after, suffix);
                }
            }
        }
    }
}

/// The policy is the same in both releases, but for the mode in its settings.
fn assert_same(case: &str, before: &[Value], after: &[Value], suffix: &str) {
    let [before, after] = [before, after].map(|objects| policy(objects, suffix).clone());
    let [old, new] = [&before, &after].map(|policy| &policy["spec"]["settings"]);
    assert_eq!(without_mode(old), without_mode(new), "{case}");
    for namespace in NAMESPACES {
        let maximum = |settings| effective(settings, "maxExpirationSeconds", namespace).clone();
        assert_eq!(maximum(old), maximum(new), "{case} {namespace}");
    }
    let rest = |mut policy: Value| {
        policy["spec"].as_object_mut().unwrap().remove("settings");
        policy
    };
    assert_eq!(rest(before), rest(after), "{case}");
}

#[test]
fn each_step_enforces_what_the_one_before_did_and_more() {
    for (case, settings) in user_settings() {
        let enforced = settings["mode"].as_str().unwrap_or("mutate");
        for namespace in NAMESPACES {
            let modes = STEPS.map(|step| {
                let objects = rendered(&values(step, &settings));
                let settings = &policy(&objects, "")["spec"]["settings"];
                effective(settings, "mode", namespace)
                    .as_str()
                    .unwrap()
                    .to_owned()
            });
            let own = effective(&settings, "mode", namespace).as_str();
            let own = own.filter(|_| !settings["overrides"].is_null());
            let in_mutate = if namespace.starts_with("team-a-") {
                enforced
            } else {
                "warn"
            };
            let expected = ["warn", own.unwrap_or(in_mutate), own.unwrap_or(enforced)];
            assert_eq!(modes, expected, "{case} {namespace}");
        }
    }
}

#[test]
fn each_mutating_policy_has_a_validating_one_that_differs_in_mode_and_rule_only() {
    for (case, settings) in user_settings() {
        for step in ["mutate", "enforce"] {
            let objects = rendered(&values(step, &settings));
            let mutating = of_kind(&objects, "ClusterAdmissionPolicy");
            let mutating = mutating
                .iter()
                .filter(|policy| policy["spec"]["mutating"] == true);
            assert_eq!(
                mutating.count(),
                TWINS.len(),
                "{case}: a mutating policy without twin"
            );
            for (first, second) in TWINS {
                let case = format!("{case} {step} {second}");
                let [first, second] =
                    [first, second].map(|suffix| &policy(&objects, suffix)["spec"]);
                assert_eq!(second["mutating"], false, "{case}");
                let mut expected = first["settings"].clone();
                expected["mode"] = json!("reject");
                let overrides = expected.get_mut("overrides").and_then(Value::as_array_mut);
                for it in overrides.into_iter().flatten() {
                    if it["mode"] == "mutate" {
                        it["mode"] = json!("reject");
                    }
                }
                if first["settings"]["fsGroup"]["rule"] != "RunAsAny" {
                    expected["fsGroup"]["rule"] = json!("MayRunAs");
                }
                assert_eq!(second["settings"], expected, "{case}");
                for same in [
                    "policyServer",
                    "module",
                    "mode",
                    "failurePolicy",
                    "timeoutSeconds",
                    "namespaceSelector",
                ] {
                    assert_eq!(first[same], second[same], "{case}: {same}");
                }
                let kept = first["matchConditions"].as_array().unwrap();
                let conditions = second["matchConditions"].as_array().unwrap();
                assert_eq!(&conditions[..kept.len()], kept, "{case}");
                assert_eq!(
                    conditions.len() - kept.len(),
                    usize::from(step == "mutate"),
                    "{case}"
                );
            }
        }
    }
}

#[test]
fn in_step_see_nothing_is_mutated_or_rejected() {
    for (case, settings) in user_settings() {
        let mut values = values("see", &settings);
        values["backstop"] = json!({ "enabled": true, "tokenRequests": { "enabled": true } });
        let objects = rendered(&values);
        for captured in all_captured() {
            for policy in of_kind(&objects, "ClusterAdmissionPolicy") {
                if !admission::asks(policy, &captured.request).unwrap() {
                    continue;
                }
                let answer = ask(&captured.request, &policy["spec"]["settings"]);
                let case = format!("{case} {} {}", name(policy), captured.file);
                assert_eq!(answer["accepted"], true, "{case}: {}", answer["message"]);
                assert_eq!(answer["mutated_object"], Value::Null, "{case}");
            }
            let object = admission::mutate(&objects, &captured.request).unwrap();
            assert_eq!(
                object, captured.request["object"],
                "{case} {}",
                captured.file
            );
            for (name, actions) in admission::failed(&objects, &captured.request).unwrap() {
                assert_eq!(
                    actions,
                    ["Warn", "Audit"],
                    "{case} {name} {}",
                    captured.file
                );
            }
        }
    }
}

#[test]
fn the_validating_policy_never_refuses_what_the_mutating_one_admitted() {
    let mut admitted = 0;
    for (case, settings) in user_settings() {
        let objects = rendered(&values("enforce", &settings));
        for mut captured in all_captured() {
            let first = policy(&objects, "");
            let second = policy(&objects, "-final");
            if !admission::asks(second, &captured.request).unwrap() {
                continue;
            }
            let answer = ask(&captured.request, &first["spec"]["settings"]);
            if answer["accepted"] != true {
                continue;
            }
            if !answer["mutated_object"].is_null() {
                captured.request["object"] = answer["mutated_object"].clone();
            }
            let answer = ask(&captured.request, &second["spec"]["settings"]);
            assert_eq!(
                answer["accepted"], true,
                "{case} {}: {}",
                captured.file, answer["message"]
            );
            admitted += 1;
        }
    }
    assert!(admitted >= 250, "{admitted} Pods");
}

#[test]
fn in_step_mutate_the_validating_policy_is_asked_in_these_namespaces_only() {
    let objects = rendered(&values("mutate", &json!({})));
    let mut request = chart_tests::requests::special("pod-create-plain");
    for (namespace, first, second) in [
        ("team-a-web", true, true),
        ("team-b", true, false),
        ("xteam-a-web", true, false),
        ("kube-system", false, false),
        (NAMESPACE, false, false),
    ] {
        request["namespace"] = json!(namespace);
        let asks = |suffix| admission::asks(policy(&objects, suffix), &request).unwrap();
        assert_eq!((asks(""), asks("-final")), (first, second), "{namespace}");
    }
}

#[test]
fn a_policy_has_one_name_one_mutating_and_one_mode() {
    let all = STEPS.map(|step| rendered(&values(step, &json!({}))));
    for policy in all
        .iter()
        .flat_map(|objects| of_kind(objects, "ClusterAdmissionPolicy"))
    {
        let spec = &policy["spec"];
        let is_first = TWINS
            .iter()
            .any(|(first, _)| name(policy) == format!("{RELEASE}{first}"));
        assert_eq!(spec["mode"], "protect", "{}", name(policy));
        assert_eq!(spec["mutating"], is_first, "{}", name(policy));
        assert_eq!(spec["policyServer"], RELEASE, "{}", name(policy));
        assert_eq!(spec["timeoutSeconds"], 5, "{}", name(policy));
    }
}

// ---------------------------------------------------------------------------------------------
// Order

fn position(objects: &[Value], suffix: &str) -> usize {
    let expected = format!("{RELEASE}{suffix}");
    let is_it =
        |object: &Value| object["kind"] == "ClusterAdmissionPolicy" && name(object) == expected;
    objects
        .iter()
        .position(is_it)
        .unwrap_or_else(|| panic!("{suffix}"))
}

/// What a hook deletes before an event, if there is one.
fn deleted_before(objects: &[Value], event: &str) -> Vec<String> {
    let jobs = of_kind(objects, "Job");
    let job = jobs.iter().find(|job| {
        job["metadata"]["annotations"]["helm.sh/hook"]
            .as_str()
            .unwrap()
            .split(',')
            .any(|it| it == event)
    });
    let Some(job) = job else { return Vec::new() };
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    let arguments: Vec<_> = container["args"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it.as_str().unwrap())
        .collect();
    assert_eq!(
        arguments[..2],
        ["delete", "clusteradmissionpolicies.policies.kubewarden.io"]
    );
    assert!(arguments.contains(&"--wait") && arguments.contains(&"--ignore-not-found"));
    arguments[2..]
        .iter()
        .filter(|it| !it.starts_with("--"))
        .map(|&it| it.to_owned())
        .collect()
}

#[test]
fn a_validating_policy_is_made_after_the_mutating_one_and_deleted_before_it() {
    let all = TWINS.map(|(_, second)| format!("{RELEASE}{second}"));
    let some = json!({ "step": "mutate", "namespaces": ["team-a"] });
    for values in [
        json!({}),
        some,
        values("see", &json!({})),
        values("mutate", &json!({})),
        values("enforce", &json!({})),
    ] {
        let objects = rendered(&values);
        let rendered: Vec<_> = all
            .iter()
            .filter(|twin| {
                objects
                    .iter()
                    .any(|it| it["kind"] == "ClusterAdmissionPolicy" && name(it) == **twin)
            })
            .cloned()
            .collect();
        for (first, second) in TWINS {
            if find(&objects, "ClusterAdmissionPolicy", second).is_some() {
                assert!(
                    position(&objects, first) < position(&objects, second),
                    "{values} {second}"
                );
            }
        }
        assert_eq!(deleted_before(&objects, "pre-delete"), all, "{values}");
        let gone: Vec<_> = all
            .iter()
            .filter(|twin| !rendered.contains(twin))
            .cloned()
            .collect();
        for event in ["pre-upgrade", "pre-rollback"] {
            assert_eq!(deleted_before(&objects, event), gone, "{values} {event}");
        }
    }
}

#[test]
fn hooks_leave_nothing_behind_and_may_delete_nothing_else() {
    let objects = rendered(&json!({}));
    let hooks: Vec<_> = objects
        .iter()
        .filter(|object| !object["metadata"]["annotations"]["helm.sh/hook"].is_null())
        .collect();
    assert_eq!(hooks.len(), 5);
    for hook in &hooks {
        let policy = &hook["metadata"]["annotations"]["helm.sh/hook-delete-policy"];
        assert_eq!(
            policy,
            "before-hook-creation,hook-succeeded",
            "{}",
            name(hook)
        );
    }
    let role = hooks
        .iter()
        .find(|hook| hook["kind"] == "ClusterRole")
        .unwrap();
    for rule in role["rules"].as_array().unwrap() {
        let deletes = rule["verbs"].as_array().unwrap().contains(&json!("delete"));
        let twins = TWINS.map(|(_, second)| json!(format!("{RELEASE}{second}")));
        assert!(!deletes || rule["resourceNames"] == json!(twins), "{rule}");
    }
    let without = rendered(&json!({ "hooks": { "enabled": false } }));
    assert!(of_kind(&without, "Job").is_empty());
}

// ---------------------------------------------------------------------------------------------
// What Helm and the project say of themselves

#[test]
fn helm_lint_finds_nothing() {
    let lint = |arguments: &[&str]| {
        let output = std::process::Command::new("helm")
            .args(["lint", "--strict", "chart"])
            .args(arguments)
            .current_dir(root())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stdout)
        );
    };
    lint(&[]);
    for file in std::fs::read_dir(root().join("chart/ci")).unwrap() {
        let file = file.unwrap().path();
        lint(&["--values", file.to_str().unwrap()]);
    }
}

#[test]
fn the_chart_has_the_version_of_the_module() {
    let chart = std::fs::read_to_string(root().join("chart/Chart.yaml")).unwrap();
    let chart: Value = yaml_serde::from_str(&chart).unwrap();
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    let objects = helm::rendered(&json!({}));
    let module = "registry://ghcr.io/example-org/policies/bound-service-account-tokens";
    assert_eq!(
        policy(&objects, "")["spec"]["module"],
        format!("{module}:v{}", env!("CARGO_PKG_VERSION"))
    );
    let digest = format!("sha256:{}", "0".repeat(64));
    let objects = helm::rendered(&json!({ "module": { "tag": "v9", "digest": digest } }));
    assert_eq!(
        policy(&objects, "")["spec"]["module"],
        format!("{module}@{digest}")
    );
    let objects = helm::rendered(&json!({ "module": { "tag": "v9" } }));
    assert_eq!(
        policy(&objects, "")["spec"]["module"],
        format!("{module}:v9")
    );
}
