//! The chart as `helm` renders it.

use crate::root;
use serde_json::Value;
use std::process::{Command, Output, Stdio};
use std::{io::Write, path::Path, process::Child};

/// The release that the tests render, and its namespace.
pub const RELEASE: &str = "bound-service-account-tokens";
/// Where Kubewarden runs, and so must the release.
pub const NAMESPACE: &str = "kubewarden";

/// The rendered objects, in the order in which Helm installs them.
///
/// # Errors
/// What helm says when the values are refused.
pub fn render(values: &Value) -> Result<Vec<Value>, String> {
    template(values, &[]).map(|text| parse(&text))
}

/// The same, for values that are valid.
///
/// # Panics
/// When they aren't.
pub fn rendered(values: &Value) -> Vec<Value> {
    render(values).unwrap_or_else(|message| panic!("{values}: {message}"))
}

/// NOTES.txt, as `helm install` prints it.
///
/// # Panics
/// When the values are refused.
pub fn notes(values: &Value) -> String {
    let arguments = [
        "install",
        RELEASE,
        "chart",
        "--dry-run=client",
        "--values",
        "-",
    ];
    let text = run(&arguments, values).unwrap_or_else(|message| panic!("{values}: {message}"));
    let (_, notes) = text.split_once("\nNOTES:\n").expect("notes");
    notes.to_owned()
}

/// What `helm template` prints.
///
/// # Errors
/// What helm says when the values are refused.
pub fn template(values: &Value, more: &[&str]) -> Result<String, String> {
    let arguments = ["template", RELEASE, "chart", "--values", "-"];
    run(&[&arguments[..], more].concat(), values)
}

/// The same with a cluster in which the templates look up objects.
///
/// # Errors
/// What helm says when the values are refused.
///
/// # Panics
/// When the path isn't UTF-8.
pub fn template_in(kubeconfig: &Path, values: &Value) -> Result<String, String> {
    let kubeconfig = kubeconfig.to_str().expect("UTF-8");
    let cluster = [
        "--dry-run=server",
        "--disable-openapi-validation",
        "--kubeconfig",
        kubeconfig,
    ];
    template(values, &cluster)
}

/// Runs helm in the project's folder, with the values at its standard input.
fn run(arguments: &[&str], values: &Value) -> Result<String, String> {
    let mut helm: Child = Command::new("helm")
        .args(arguments)
        .args(["--namespace", NAMESPACE])
        .current_dir(root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("helm on PATH: run `make test-chart`");
    let mut stdin = helm.stdin.take().expect("a pipe");
    stdin
        .write_all(values.to_string().as_bytes())
        .expect("helm reads the values");
    drop(stdin);
    let Output {
        status,
        stdout,
        stderr,
    } = helm.wait_with_output().expect("helm ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    if status.success() {
        Ok(text(stdout))
    } else {
        Err(text(stderr))
    }
}

/// The documents of a YAML text.
///
/// # Panics
/// When it is no YAML.
pub fn parse(text: &str) -> Vec<Value> {
    text.split("\n---\n")
        .map(|document| yaml_serde::from_str(document.trim_start_matches("---\n")))
        .map(|document| document.unwrap_or_else(|error| panic!("{error}: {text}")))
        .filter(|document: &Value| !document.is_null())
        .collect()
}

/// Those of a kind.
pub fn of_kind<'o>(objects: &'o [Value], kind: &str) -> Vec<&'o Value> {
    objects
        .iter()
        .filter(|object| object["kind"] == kind)
        .collect()
}

/// The name of an object.
///
/// # Panics
/// When it has none.
pub fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().expect("a name")
}

/// An object by its kind and what follows the release's name in its own.
pub fn find<'o>(objects: &'o [Value], kind: &str, suffix: &str) -> Option<&'o Value> {
    let expected = format!("{RELEASE}{suffix}");
    objects
        .iter()
        .find(|object| object["kind"] == kind && name(object) == expected)
}

/// A ClusterAdmissionPolicy by what follows the release's name in its own.
///
/// # Panics
/// When there is none.
pub fn policy<'o>(objects: &'o [Value], suffix: &str) -> &'o Value {
    find(objects, "ClusterAdmissionPolicy", suffix).unwrap_or_else(|| panic!("policy {suffix}"))
}
