//! The payload of a request: the AdmissionRequest and the policy's settings, borrowed from the
//! payload's text.

use crate::decode::{DecodeError, Object, Text};
use crate::objects::{GroupKind, KubernetesObject, SERVICE_ACCOUNT_NAME, elements, text};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The payload of the waPC call `validate`.
#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Payload<'a> {
    pub request: Object<AdmissionRequest<'a>>,
    /// Not decoded yet.
    pub settings: Option<&'a RawValue>,
}

impl<'a> Payload<'a> {
    /// Decodes a payload.
    ///
    /// # Errors
    /// The first field that can't be decoded; in the object its path begins there.
    pub fn decode(json: &'a str) -> Result<Self, DecodeError> {
        let payload: Result<Object<Self>, _> = serde_json::from_str(json);
        payload.map(|Object(payload)| payload).map_err(|e| {
            let DecodeError { path, message } = DecodeError::new(json, &e);
            let path = path.unwrap_or_else(|| "request".to_owned());
            let path = match path.strip_prefix("request.object") {
                Some(path) => path.strip_prefix('.').unwrap_or("object"),
                None => &path,
            };
            DecodeError { path: Some(path.to_owned()), message }
        })
    }
}

/// `admission.k8s.io/v1 AdmissionRequest`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct AdmissionRequest<'a> {
    /// The request's own id; that of the object when Kubewarden's audit scanner asks.
    pub uid: Option<Text<'a>>,
    pub kind: Option<Object<GroupKind<'a>>>,
    pub operation: Option<Text<'a>>,
    /// As in `pods/ephemeralcontainers`.
    pub sub_resource: Option<Text<'a>>,
    /// The namespace of the request. The one in the object is what the client wrote.
    pub namespace: Option<Text<'a>>,
    /// Absent when the API server is to make it up.
    pub name: Option<Text<'a>>,
    pub user_info: Option<Object<UserInfo<'a>>>,
    /// Absent in a DELETE.
    pub object: Option<Object<KubernetesObject<'a>>>,
    /// Not decoded: few requests need it.
    pub old_object: Option<&'a RawValue>,
}

/// `UserInfo`
#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct UserInfo<'a> {
    pub username: Option<Text<'a>>,
    pub groups: Option<Vec<Text<'a>>>,
}

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A Pod that is about to be created.
    Pod,
    /// Containers that are about to be added to a Pod.
    EphemeralContainers,
    /// What the Pods of a workload will be like. It is never mutated: a GitOps controller would
    /// undo that, and its Pods are mutated when they are created.
    Template,
    /// A token that is about to be issued.
    TokenRequest,
    /// A Secret that is about to be created.
    Secret,
    /// The tokens that a CSI driver wants of each Pod; kept in Git like a template.
    CsiDriver,
}

impl<'a> AdmissionRequest<'a> {
    /// A field without which no one can tell what the request is about.
    pub fn missing_field(&self) -> Option<&'static str> {
        match (self.group_kind(), &self.operation) {
            ((_, ""), _) => Some("kind"),
            (_, None) => Some("operation"),
            _ => None,
        }
    }

    /// Decides by kind, subresource and operation; `None` when no rule is about the request.
    pub fn subject(&self) -> Option<Subject> {
        let (group, kind) = self.group_kind();
        let sub_resource = text(self.sub_resource.as_ref());
        match (group, kind, sub_resource, text(self.operation.as_ref())) {
            // A Pod's volumes and security context can't change when it is updated, and a
            // rejection would keep its finalizers, and so the Pod.
            ("", "Pod", "", "CREATE") => Some(Subject::Pod),
            ("", "Pod", "ephemeralcontainers", "UPDATE") => Some(Subject::EphemeralContainers),
            (_, _, "", "CREATE" | "UPDATE") if !self.pod_path().is_empty() => {
                Some(Subject::Template)
            }
            ("authentication.k8s.io", "TokenRequest", "token", "CREATE") => {
                Some(Subject::TokenRequest)
            }
            // A Secret's type can't change.
            ("", "Secret", "", "CREATE") => Some(Subject::Secret),
            ("storage.k8s.io", "CSIDriver", "", "CREATE" | "UPDATE") => Some(Subject::CsiDriver),
            _ => None,
        }
    }

    /// The fields that lead to the Pod template in an object of this kind.
    pub fn pod_path(&self) -> &'static [&'static str] {
        match self.group_kind() {
            ("apps", "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet")
            | ("", "ReplicationController")
            | ("batch", "Job") => &["spec", "template"],
            ("batch", "CronJob") => &["spec", "jobTemplate", "spec", "template"],
            ("", "PodTemplate") => &["template"],
            _ => &[],
        }
    }

    fn group_kind(&self) -> (&str, &str) {
        self.kind.as_ref().map_or(("", ""), |it| (text(it.group.as_ref()), text(it.kind.as_ref())))
    }

    fn username(&self) -> &str {
        text(self.user_info.as_ref().and_then(|user| user.username.as_ref()))
    }

    /// True when a node's kubelet asks (`pkg/auth/nodeidentifier`).
    pub fn is_from_node(&self) -> bool {
        self.username().starts_with("system:node:")
    }

    /// The Pod, or the Pod template.
    pub fn pod(&self) -> Option<&KubernetesObject<'a>> {
        let object = self.object.as_deref()?;
        match self.pod_path() {
            [] => Some(object),
            ["template"] => object.template.as_deref().map(|it| &it.0),
            ["spec", "template"] => object.spec.as_ref()?.template(),
            _ => object.spec.as_ref()?.job_template.as_ref()?.spec.as_ref()?.template(),
        }
    }

    /// The service account that the request is about.
    pub fn service_account(&self, subject: Subject) -> Option<Cow<'_, str>> {
        match subject {
            Subject::TokenRequest => self.name.as_deref().map(Cow::Borrowed),
            Subject::Secret => {
                self.object.as_ref()?.annotation(SERVICE_ACCOUNT_NAME).map(Cow::Owned)
            }
            Subject::CsiDriver => None,
            _ => Some(Cow::Borrowed(self.pod()?.spec.as_ref()?.service_account())),
        }
    }

    /// True when Kubewarden's audit scanner asks about an object that exists
    /// (`internal/audit-scanner/scanner` in kubewarden/kubewarden-controller): as a CREATE with the
    /// object's own uid as the request's, and without a user. A client always is a user, and can't
    /// know the uid that the API server will give to its request.
    pub fn is_audit(&self) -> bool {
        let groups = self.user_info.as_ref().and_then(|user| user.groups.as_ref());
        let metadata = self.object.as_ref().and_then(|object| object.metadata.as_ref());
        let uid = metadata.and_then(|metadata| metadata.uid.as_ref());
        text(self.operation.as_ref()) == "CREATE"
            && (self.username().is_empty() && elements(groups).is_empty())
            && uid.is_some_and(|uid| !uid.is_empty() && Some(uid) == self.uid.as_ref())
    }
}
