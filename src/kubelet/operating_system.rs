//! Which operating system a Pod runs on, as far as its spec tells.

use crate::objects::{NodeSelectorTerm, PodSpec};

const WINDOWS: &str = "windows";
const OS_LABELS: [&str; 2] = ["kubernetes.io/os", "beta.kubernetes.io/os"];

/// Only nodes with Windows have it
/// (`staging/src/k8s.io/api/core/v1/well_known_labels.go`, `LabelWindowsBuild`).
const WINDOWS_BUILD: &str = "node.kubernetes.io/windows-build";

/// True for a Pod that runs on Windows, where there is no fsGroup
/// (`pkg/volume/volume_unsupported.go`). `spec.os` decides, else the nodes that the Pod can run on,
/// else that Windows' own options are set.
pub fn is_windows(spec: &PodSpec) -> bool {
    if !spec.os.name.is_empty() {
        return &*spec.os.name == WINDOWS;
    }
    if let Some(os) = selected_os(spec) {
        return os == WINDOWS;
    }
    if needs_windows_node(spec) {
        return true;
    }
    let mut containers = spec.all_containers();
    spec.security_context.windows_options.is_some()
        || containers.any(|container| container.security_context.windows_options.is_some())
}

/// The operating system that the node selector names.
fn selected_os<'s>(spec: &'s PodSpec) -> Option<&'s str> {
    let labels = &spec.node_selector;
    if labels.windows_build.is_some() {
        return Some(WINDOWS);
    }
    let named = [&*labels.os, &*labels.beta_os];
    named.into_iter().find(|os| !os.is_empty())
}

/// True when the required node affinity, of which any one term is enough, asks for Windows in each
/// term.
fn needs_windows_node(spec: &PodSpec) -> bool {
    let Some(affinity) = &spec.affinity else {
        return false;
    };
    let required = &affinity
        .node_affinity
        .required_during_scheduling_ignored_during_execution;
    let terms = &required.node_selector_terms;
    !terms.is_empty() && terms.iter().all(|term| needs_windows(term))
}

/// All expressions of a term have to be met, so that one which only Windows meets is enough.
fn needs_windows(term: &NodeSelectorTerm) -> bool {
    term.match_expressions.iter().any(|expression| {
        let key = &*expression.key;
        match &*expression.operator {
            "In" if OS_LABELS.contains(&key) => {
                let values = &expression.values;
                !values.is_empty() && values.iter().all(|value| &**value == WINDOWS)
            }
            "In" | "Exists" | "Gt" | "Lt" => key == WINDOWS_BUILD,
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Object;
    use serde_json::{Value, json};

    fn is_windows_spec(spec: &Value) -> bool {
        let spec = spec.to_string();
        let spec: Object<PodSpec> = serde_json::from_str(&spec).unwrap();
        is_windows(&spec)
    }

    #[test]
    fn pods_that_run_on_windows() {
        let windows = json!({ "windowsOptions": {} });
        let linux = json!({ "kubernetes.io/os": "linux" });
        for (name, spec, expected) in [
            ("nothing is said", json!({}), false),
            ("spec.os", json!({ "os": { "name": "windows" } }), true),
            (
                "another spec.os",
                json!({ "os": { "name": "linux" } }),
                false,
            ),
            (
                "the node selector",
                json!({ "nodeSelector": { "kubernetes.io/os": "windows" } }),
                true,
            ),
            (
                "its old label",
                json!({ "nodeSelector": { "beta.kubernetes.io/os": "windows" } }),
                true,
            ),
            (
                "the build of Windows",
                json!({ "nodeSelector": { "node.kubernetes.io/windows-build": "10.0.20348" } }),
                true,
            ),
            (
                "another node selector",
                json!({ "nodeSelector": linux }),
                false,
            ),
            (
                "another label",
                json!({ "nodeSelector": { "os": "windows" } }),
                false,
            ),
            (
                "the Pod's windowsOptions",
                json!({ "securityContext": windows }),
                true,
            ),
            (
                "a container's windowsOptions",
                json!({ "initContainers": [{ "securityContext": windows }] }),
                true,
            ),
            (
                "windowsOptions of null",
                json!({ "securityContext": { "windowsOptions": null } }),
                false,
            ),
            (
                "windowsOptions in a Pod for Linux",
                json!({ "os": { "name": "linux" }, "securityContext": windows }),
                false,
            ),
            (
                "windowsOptions on Linux nodes",
                json!({ "nodeSelector": linux, "securityContext": windows }),
                false,
            ),
        ] {
            assert_eq!(is_windows_spec(&spec), expected, "{name}");
        }
    }

    #[test]
    fn pods_that_run_on_windows_by_their_affinity() {
        let is = |key: &str, operator: &str, values: Value| json!({ "matchExpressions": [{ "key": key, "operator": operator, "values": values }] });
        let os = |values: Value| is("kubernetes.io/os", "In", values);
        let build = "node.kubernetes.io/windows-build";
        for (name, terms, expected) in [
            ("no term", json!([]), false),
            ("Windows", json!([os(json!(["windows"]))]), true),
            (
                "Windows, by the old label",
                json!([is("beta.kubernetes.io/os", "In", json!(["windows"]))]),
                true,
            ),
            ("Linux", json!([os(json!(["linux"]))]), false),
            (
                "one of the two",
                json!([os(json!(["linux", "windows"]))]),
                false,
            ),
            ("no system", json!([os(json!([]))]), false),
            (
                "each term",
                json!([os(json!(["windows"])), is(build, "Exists", json!(null))]),
                true,
            ),
            (
                "one of two terms",
                json!([os(json!(["windows"])), is("zone", "In", json!(["a"]))]),
                false,
            ),
            (
                "not Linux, which is not known to be Windows",
                json!([is("kubernetes.io/os", "NotIn", json!(["linux"]))]),
                false,
            ),
            (
                "a build",
                json!([is(build, "In", json!(["10.0.20348"]))]),
                true,
            ),
            (
                "no build",
                json!([is(build, "DoesNotExist", json!(null))]),
                false,
            ),
            (
                "beside another expression",
                json!([{ "matchExpressions": [
                    { "key": "zone", "operator": "Exists" },
                    { "key": "kubernetes.io/os", "operator": "In", "values": ["windows"] },
                ] }]),
                true,
            ),
        ] {
            let affinity = |when: &str| {
                let selector = json!({ "nodeSelectorTerms": terms });
                json!({ "affinity": { "nodeAffinity": { when: selector } } })
            };
            let required = affinity("requiredDuringSchedulingIgnoredDuringExecution");
            assert_eq!(is_windows_spec(&required), expected, "{name}");
            let preferred = affinity("preferred");
            assert!(!is_windows_spec(&preferred), "{name}: only preferred");
        }
    }
}
