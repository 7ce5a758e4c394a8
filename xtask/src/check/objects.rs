//! Kubernetes objects as people have them, and the resources that the policy's rules are about.

use crate::admission::ApiResource;
use serde_json::{Map, Value};
use std::fmt::{Display, Formatter, Result};

/// Where an object comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    pub file: String,
    /// From 1; a document that is empty doesn't count.
    pub document: usize,
    /// In a list: from 1.
    pub item: Option<usize>,
}

impl Display for Source {
    fn fmt(&self, f: &mut Formatter) -> Result {
        write!(f, "{}, document {}", self.file, self.document)?;
        self.item.map_or(Ok(()), |item| write!(f, ", item {item}"))
    }
}

/// An object, and where it comes from.
#[derive(Debug, Clone)]
pub struct Object {
    pub source: Source,
    pub value: Value,
}

impl Object {
    /// The text at a JSON pointer; empty where there is none.
    pub fn text(&self, pointer: &str) -> &str {
        self.value
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    pub fn api_version(&self) -> &str {
        self.text("/apiVersion")
    }

    pub fn kind(&self) -> &str {
        self.text("/kind")
    }

    pub fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// The name for people, also of an object whose name the API server makes.
    pub fn shown_name(&self) -> String {
        match (self.name(), self.text("/metadata/generateName")) {
            ("", "") => "(no name)".to_owned(),
            ("", base) => format!("{base}*"),
            (name, _) => name.to_owned(),
        }
    }

    /// The namespace in which the object is created.
    pub fn namespace<'a>(&'a self, default: &'a str) -> &'a str {
        match self.text("/metadata/namespace") {
            "" => default,
            namespace => namespace,
        }
    }

    /// What the policy's rules know of this kind.
    pub fn judged(&self) -> Option<&'static Judged> {
        JUDGED.iter().find(|judged| {
            self.kind() == judged.resource.kind
                && self.api_version() == judged.resource.api_version()
        })
    }

    /// True for an object that an API server has stored, as `kubectl get` prints it.
    pub fn is_live(&self) -> bool {
        !self.text("/metadata/uid").is_empty()
            || !self.text("/metadata/resourceVersion").is_empty()
            || self
                .value
                .get("status")
                .is_some_and(|status| !is_empty(status))
    }
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(Map::is_empty)
}

impl ApiResource {
    pub fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }
}

/// A resource that a rule of the policy is about.
#[derive(Debug, PartialEq, Eq)]
pub struct Judged {
    pub resource: ApiResource,
    pub is_namespaced: bool,
    /// The fields that lead to the template of its Pods; none in what makes no Pods.
    pub template: &'static [&'static str],
}

const fn judged(
    group: &'static str,
    kind: &'static str,
    name: &'static str,
    template: &'static [&'static str],
) -> Judged {
    let resource = ApiResource {
        group,
        version: "v1",
        kind,
        name,
        sub_resource: None,
    };
    Judged {
        resource,
        is_namespaced: true,
        template,
    }
}

const TEMPLATE: &[&str] = &["spec", "template"];
const TOKEN_REQUEST: ApiResource = ApiResource {
    group: "authentication.k8s.io",
    version: "v1",
    kind: "TokenRequest",
    name: "serviceaccounts",
    sub_resource: Some("token"),
};

/// The resources of docs/behaviour.md that a manifest can hold.
const JUDGED: [Judged; 12] = [
    POD,
    judged("apps", "Deployment", "deployments", TEMPLATE),
    judged("apps", "ReplicaSet", "replicasets", TEMPLATE),
    judged("apps", "StatefulSet", "statefulsets", TEMPLATE),
    judged("apps", "DaemonSet", "daemonsets", TEMPLATE),
    judged(
        "",
        "ReplicationController",
        "replicationcontrollers",
        TEMPLATE,
    ),
    judged("batch", "Job", "jobs", TEMPLATE),
    judged(
        "batch",
        "CronJob",
        "cronjobs",
        &["spec", "jobTemplate", "spec", "template"],
    ),
    judged("", "PodTemplate", "podtemplates", &["template"]),
    judged("", "Secret", "secrets", &[]),
    Judged {
        resource: TOKEN_REQUEST,
        is_namespaced: true,
        template: &[],
    },
    Judged {
        is_namespaced: false,
        ..judged("storage.k8s.io", "CSIDriver", "csidrivers", &[])
    },
];

/// What a workload makes.
pub const POD: Judged = judged("", "Pod", "pods", &[]);

/// The object at these fields.
pub fn descend<'a>(value: &'a Value, fields: &[&str]) -> Option<&'a Value> {
    fields
        .iter()
        .try_fold(value, |value, field| value.get(field))
}

/// The object at these fields, to be changed.
pub fn descend_mut<'a>(
    value: &'a mut Value,
    fields: &[&str],
) -> Option<&'a mut Map<String, Value>> {
    fields
        .iter()
        .try_fold(value, |value, field| value.get_mut(field))?
        .as_object_mut()
}

/// The elements of a list; none where there is no list.
pub fn elements<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value
        .get(field)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// The elements of a list, to be changed.
pub fn elements_mut<'a>(
    object: &'a mut Map<String, Value>,
    field: &str,
) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    let list = object.get_mut(field).and_then(Value::as_array_mut);
    list.into_iter().flatten().filter_map(Value::as_object_mut)
}
