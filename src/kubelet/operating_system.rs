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
    selects_windows(spec)
        .or_else(|| requires_windows(spec))
        .unwrap_or_else(|| has_windows_options(spec))
}

/// Whether the node selector asks for Windows, or for another system; `None` for neither.
fn selects_windows(spec: &PodSpec) -> Option<bool> {
    let labels = &spec.node_selector;
    if labels.windows_build.is_some() {
        return Some(true);
    }
    let mut named = [&*labels.os, &*labels.beta_os].into_iter();
    named.find(|os| !os.is_empty()).map(|os| os == WINDOWS)
}

/// The same for the required node affinity: any one of its terms is enough, so that all of them have
/// to ask for it.
fn requires_windows(spec: &PodSpec) -> Option<bool> {
    let affinity = &spec.affinity.as_ref()?.node_affinity;
    let required = &affinity.required_during_scheduling_ignored_during_execution;
    let mut terms = required
        .node_selector_terms
        .iter()
        .map(|term| term_asks_for_windows(term));
    let first = terms.next()??;
    terms.all(|term| term == Some(first)).then_some(first)
}

/// The same for a term: all of its expressions have to be met, so that one of them is enough.
fn term_asks_for_windows(term: &NodeSelectorTerm) -> Option<bool> {
    term.match_expressions.iter().find_map(|expression| {
        let key = &*expression.key;
        match &*expression.operator {
            "In" if OS_LABELS.contains(&key) => {
                let mut systems = expression.values.iter().map(|value| &**value == WINDOWS);
                let first = systems.next()?;
                systems
                    .all(|is_windows| is_windows == first)
                    .then_some(first)
            }
            "In" | "Exists" | "Gt" | "Lt" if key == WINDOWS_BUILD => Some(true),
            _ => None,
        }
    })
}

fn has_windows_options(spec: &PodSpec) -> bool {
    let mut containers = spec.all_containers();
    spec.security_context.windows_options.is_some()
        || containers.any(|container| container.security_context.windows_options.is_some())
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

    /// Windows' own options say something only where the nodes don't.
    #[test]
    fn windows_options_beside_an_affinity() {
        let os = |systems: &[&str]| json!({ "matchExpressions": [{ "key": "kubernetes.io/os", "operator": "In", "values": systems }] });
        for (name, terms, expected) in [
            ("Linux", json!([os(&["linux"])]), false),
            (
                "Linux, in each term",
                json!([os(&["linux"]), os(&["linux", "freebsd"])]),
                false,
            ),
            (
                "Linux in one of two terms",
                json!([os(&["linux"]), os(&[])]),
                true,
            ),
            ("either", json!([os(&["linux", "windows"])]), true),
            (
                "either, in two terms",
                json!([os(&["linux"]), os(&["windows"])]),
                true,
            ),
            ("Windows", json!([os(&["windows"])]), true),
        ] {
            let selector = json!({ "nodeSelectorTerms": terms });
            let required = json!({ "requiredDuringSchedulingIgnoredDuringExecution": selector });
            let spec = json!({
                "affinity": { "nodeAffinity": required },
                "securityContext": { "windowsOptions": {} },
            });
            assert_eq!(is_windows_spec(&spec), expected, "{name}");
        }
    }
}
