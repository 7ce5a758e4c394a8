//! The payload of a request: the AdmissionRequest and the policy's settings, borrowed from the
//! payload's text.

use crate::decode::{Object, OrDefault, Text, locate};
use crate::objects::{Boxed, KubernetesObject, Nested, Reference, SERVICE_ACCOUNT_NAME};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Payload<'a> {
    pub request: Object<AdmissionRequest<'a>>,
    pub settings: Option<&'a RawValue>,
}

impl<'a> Payload<'a> {
    /// Decodes a payload; or says which field can't be, with its path in the object if it is there.
    pub fn decode(json: &'a str) -> Result<Self, String> {
        serde_json::from_str(json).map(|Object(payload)| payload).map_err(|e| {
            let (path, message) = locate(json, &e);
            let path = match path.strip_prefix("request.object") {
                Some("") => "object",
                None if path.is_empty() => "request",
                in_object => in_object.unwrap_or(&path).trim_start_matches('.'),
            };
            format!("{path}: Invalid value: {message}")
        })
    }
}

/// `admission.k8s.io/v1 AdmissionRequest`
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct AdmissionRequest<'a> {
    /// The request's own id; that of the object when Kubewarden's audit scanner asks.
    pub uid: Text<'a>,
    pub kind: Nested<Reference<'a>>,
    pub operation: Text<'a>,
    pub sub_resource: Text<'a>,
    /// The namespace of the request. The one in the object is what the client wrote.
    pub namespace: Text<'a>,
    pub name: Text<'a>,
    pub user_info: Nested<UserInfo<'a>>,
    pub object: Boxed<KubernetesObject<'a>>,
    /// Not decoded: few requests need it.
    pub old_object: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct UserInfo<'a> {
    pub username: Text<'a>,
    pub groups: OrDefault<Vec<Text<'a>>>,
}

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    Pod,
    EphemeralContainers,
    /// What the Pods of a workload will be like. It is never mutated: a GitOps controller would
    /// undo that, and its Pods are mutated when they are created.
    Template,
    TokenRequest,
    Secret,
    /// The tokens that a CSI driver wants of each Pod; kept in Git like a template.
    CsiDriver,
}

impl<'a> AdmissionRequest<'a> {
    /// Decides by kind, subresource and operation; `None` when no rule is about the request. Or the
    /// field without which no one can tell.
    pub fn subject(&self) -> Result<Option<Subject>, &'static str> {
        let (group, kind) = (&*self.kind.group, &*self.kind.kind);
        Ok(Some(match (group, kind, &*self.sub_resource, &*self.operation) {
            (_, "", _, _) => return Err("request.kind"),
            (_, _, _, "") => return Err("request.operation"),
            // A Pod's volumes and security context can't change when it is updated, and a
            // rejection would keep its finalizers, and so the Pod.
            ("", "Pod", "", "CREATE") => Subject::Pod,
            ("", "Pod", "ephemeralcontainers", "UPDATE") => Subject::EphemeralContainers,
            (_, _, "", "CREATE" | "UPDATE") if !self.pod_path().is_empty() => Subject::Template,
            ("authentication.k8s.io", "TokenRequest", "token", "CREATE") => Subject::TokenRequest,
            // A Secret's type can't change.
            ("", "Secret", "", "CREATE") => Subject::Secret,
            ("storage.k8s.io", "CSIDriver", "", "CREATE" | "UPDATE") => Subject::CsiDriver,
            _ => return Ok(None),
        }))
    }

    /// The fields that lead to the Pod template in an object of this kind.
    pub fn pod_path(&self) -> &'static [&'static str] {
        match (&*self.kind.group, &*self.kind.kind) {
            ("apps", "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet")
            | ("", "ReplicationController")
            | ("batch", "Job") => &["spec", "template"],
            ("batch", "CronJob") => &["spec", "jobTemplate", "spec", "template"],
            ("", "PodTemplate") => &["template"],
            _ => &[],
        }
    }

    /// The Pod, or the Pod template; `None` for an object of another kind.
    pub fn pod(&self) -> Option<&KubernetesObject<'a>> {
        let object = self.object.as_deref()?;
        let pod = match self.pod_path() {
            [] => (&*self.kind.kind == "Pod").then_some(object),
            ["template"] => object.template.as_deref(),
            ["spec", "template"] => object.spec.as_ref()?.template.as_deref(),
            _ => object.spec.as_ref()?.job_template.as_ref()?.spec.as_ref()?.template.as_deref(),
        };
        pod.map(|pod| &pod.0)
    }

    /// The Pod to which containers are added. What else a client writes of it is dropped only after
    /// mutating admission (`pkg/registry/core/pod/strategy.go`, `dropNonEphemeralContainerUpdates`).
    pub fn old_pod(&self) -> serde_json::Result<Option<Object<KubernetesObject<'a>>>> {
        let old = self.old_object.filter(|_| &*self.sub_resource == "ephemeralcontainers");
        old.map(|old| serde_json::from_str(old.get())).transpose()
    }

    /// The service account that the request, with this Pod, is about
    /// (`plugin/pkg/admission/serviceaccount`, `DefaultServiceAccountName`).
    pub fn account(&self, subject: Subject, pod: Option<&KubernetesObject>) -> Option<String> {
        match subject {
            Subject::TokenRequest => Some(self.name.to_string()),
            Subject::Secret => self.object.as_ref()?.annotation(SERVICE_ACCOUNT_NAME),
            _ => {
                let spec = pod?.spec.as_ref()?;
                let names = [&*spec.service_account_name, &*spec.service_account, "default"];
                names.into_iter().find(|name| !name.is_empty()).map(str::to_owned)
            }
        }
    }

    /// True when Kubewarden's audit scanner asks about an object that exists
    /// (`internal/audit-scanner/scanner` in kubewarden/kubewarden-controller): as a CREATE with the
    /// object's own uid as the request's, and without a user. A client always is a user, and can't
    /// know the uid that the API server will give to its request.
    pub fn is_audit(&self) -> bool {
        let has_user = !self.user_info.username.is_empty() || !self.user_info.groups.is_empty();
        let uid = self.object.as_ref().map(|object| &object.metadata.uid);
        &*self.operation == "CREATE" && !has_user && !self.uid.is_empty() && uid == Some(&self.uid)
    }
}
