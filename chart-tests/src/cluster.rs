//! As much of an API server as helm needs to look up objects: discovery, and the objects themselves.

use crate::helm::name;
use crate::root;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;

/// A cluster of that version with these objects, until the test's process ends.
///
/// # Panics
/// When no port is free.
pub fn start(version: &str, objects: &[Value]) -> PathBuf {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let mut answers = discovery(version);
    for object in objects {
        answers.insert(path(object), object.clone());
    }
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            answer(&stream, &answers).ok();
        }
    });
    kubeconfig(port)
}

/// Where helm finds it.
fn kubeconfig(port: u16) -> PathBuf {
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{ "name": "test", "cluster": { "server": format!("http://127.0.0.1:{port}") } }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
        "users": [{ "name": "test", "user": {} }],
    });
    let folder = root().join("target/kubeconfig");
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join(port.to_string());
    std::fs::write(&file, config.to_string()).expect("a file");
    file
}

/// The kinds that the chart renders and looks up: their group, resource and kind. All are v1.
const KINDS: [(&str, &str, &str); 15] = [
    ("", "namespaces", "Namespace"),
    ("", "serviceaccounts", "ServiceAccount"),
    (
        "admissionregistration.k8s.io",
        "mutatingadmissionpolicies",
        "MutatingAdmissionPolicy",
    ),
    (
        "admissionregistration.k8s.io",
        "mutatingadmissionpolicybindings",
        "MutatingAdmissionPolicyBinding",
    ),
    (
        "admissionregistration.k8s.io",
        "validatingadmissionpolicies",
        "ValidatingAdmissionPolicy",
    ),
    (
        "admissionregistration.k8s.io",
        "validatingadmissionpolicybindings",
        "ValidatingAdmissionPolicyBinding",
    ),
    ("batch", "jobs", "Job"),
    ("monitoring.coreos.com", "prometheusrules", "PrometheusRule"),
    ("networking.k8s.io", "networkpolicies", "NetworkPolicy"),
    (
        "policies.kubewarden.io",
        "clusteradmissionpolicies",
        "ClusterAdmissionPolicy",
    ),
    ("policies.kubewarden.io", "policyservers", "PolicyServer"),
    ("rbac.authorization.k8s.io", "clusterroles", "ClusterRole"),
    (
        "rbac.authorization.k8s.io",
        "clusterrolebindings",
        "ClusterRoleBinding",
    ),
    ("scheduling.k8s.io", "priorityclasses", "PriorityClass"),
    ("storage.k8s.io", "csidrivers", "CSIDriver"),
];

/// What `kubectl api-resources` asks for.
fn discovery(version: &str) -> Map<String, Value> {
    let mut answers = Map::new();
    let mut groups = Vec::new();
    let names: BTreeSet<_> = KINDS.iter().map(|(group, ..)| *group).collect();
    for group in names {
        let kinds = KINDS.iter().filter(|(of, ..)| *of == group);
        let resources: Vec<_> = kinds
            .map(|(_, resource, kind)| {
                let namespaced = ["Job", "NetworkPolicy", "PrometheusRule", "ServiceAccount"].contains(kind);
                json!({ "name": resource, "kind": kind, "namespaced": namespaced, "verbs": ["get"] })
            })
            .collect();
        let (path, version) = match group {
            "" => ("/api/v1".to_owned(), "v1".to_owned()),
            group => (format!("/apis/{group}/v1"), format!("{group}/v1")),
        };
        if !group.is_empty() {
            let v1 = json!({ "groupVersion": version, "version": "v1" });
            groups.push(json!({ "name": group, "versions": [v1], "preferredVersion": v1 }));
        }
        let list =
            json!({ "kind": "APIResourceList", "groupVersion": version, "resources": resources });
        answers.insert(path, list);
    }
    answers.insert("/version".to_owned(), json!({ "gitVersion": version }));
    answers.insert(
        "/api".to_owned(),
        json!({ "kind": "APIVersions", "versions": ["v1"] }),
    );
    let groups = json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups });
    answers.insert("/apis".to_owned(), groups);
    let namespace =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "kube-system" } });
    answers.insert("/api/v1/namespaces/kube-system".to_owned(), namespace);
    answers
}

fn path(object: &Value) -> String {
    let found = KINDS.iter().find(|(.., kind)| object["kind"] == *kind);
    let (group, resource, _) = found.unwrap_or_else(|| panic!("{}", object["kind"]));
    format!("/apis/{group}/v1/{resource}/{}", name(object))
}

/// One request, one connection.
fn answer(mut stream: &TcpStream, answers: &Map<String, Value>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let path = first.split(' ').nth(1).unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default();
    let missing = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404 });
    let (status, body) = match answers.get(path) {
        Some(body) => ("200 OK", body),
        None => ("404 Not Found", &missing),
    };
    let body = body.to_string();
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}
