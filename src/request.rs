//! The payload of a request: the AdmissionRequest and the policy's settings, borrowed from the
//! payload's text. Its header says what the request is about; only then is the object decoded.

use crate::decode::{Object, OrDefault, Text, decode_object, find_value};
use crate::objects::{
    CSIDriver, CronJob, Deployment, List, Nested, ObjectMeta, PersistentVolumeClaim, Pod, PodSpec,
    PodTemplate, PodTemplateSpec, Secret, StatefulSet, TokenRequest,
};
use serde::Deserialize;
use serde_json::from_str;
use serde_json::value::RawValue;
use std::collections::BTreeSet;

#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Payload<'a> {
    pub request: Object<AdmissionRequest<'a>>,
    pub settings: Option<&'a RawValue>,
}

impl<'a> Payload<'a> {
    /// Decodes a payload; or says which field of the request's header can't be.
    pub fn decode(json: &'a str) -> Result<Self, String> {
        decode_object(json).map_err(|e| {
            let path = if e.path.is_empty() {
                "request"
            } else {
                &e.path
            };
            format!("{path}: Invalid value: {}", e.message)
        })
    }
}

/// `admission.k8s.io/v1 AdmissionRequest`
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct AdmissionRequest<'a> {
    /// The request's own id; that of the object when Kubewarden's audit scanner asks.
    pub uid: Text<'a>,
    pub kind: Nested<GroupVersionKind<'a>>,
    pub operation: Text<'a>,
    pub sub_resource: Text<'a>,
    /// The namespace of the request. The one in the object is what the client wrote.
    pub namespace: Text<'a>,
    pub name: Text<'a>,
    pub user_info: Nested<UserInfo<'a>>,
    /// Not decoded before the kind is known.
    pub object: Option<&'a RawValue>,
    /// The same.
    pub old_object: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct GroupVersionKind<'a> {
    pub group: Text<'a>,
    pub kind: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct UserInfo<'a> {
    pub username: Text<'a>,
    pub groups: OrDefault<Vec<Text<'a>>>,
}

impl UserInfo<'_> {
    /// True for a kubelet (`pkg/auth/nodeidentifier`, `NodeIdentity`).
    pub fn is_node(&self) -> bool {
        self.username.starts_with("system:node:")
            && self.groups.iter().any(|group| &**group == "system:nodes")
    }
}

/// What a request is about, as its header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubjectKind {
    Pod,
    EphemeralContainers,
    Template(Workload),
    TokenRequest,
    Secret,
    CSIDriver,
}

/// A kind whose objects hold a Pod template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    CronJob,
    DaemonSet,
    Deployment,
    Job,
    PodTemplate,
    ReplicaSet,
    ReplicationController,
    StatefulSet,
}

impl Workload {
    fn from_group_and_kind(group: &str, kind: &str) -> Option<Self> {
        Some(match (group, kind) {
            ("batch", "CronJob") => Self::CronJob,
            ("apps", "DaemonSet") => Self::DaemonSet,
            ("apps", "Deployment") => Self::Deployment,
            ("batch", "Job") => Self::Job,
            ("", "PodTemplate") => Self::PodTemplate,
            ("apps", "ReplicaSet") => Self::ReplicaSet,
            ("", "ReplicationController") => Self::ReplicationController,
            ("apps", "StatefulSet") => Self::StatefulSet,
            _ => return None,
        })
    }

    /// The fields that lead to the Pod template.
    fn template_path(self) -> &'static [&'static str] {
        match self {
            Self::CronJob => &["spec", "jobTemplate", "spec", "template"],
            Self::PodTemplate => &["template"],
            _ => &["spec", "template"],
        }
    }
}

/// A decoded object: what there is to judge, and what it was where that matters.
#[derive(Debug)]
pub enum Subject<'a> {
    Pod(Pod<'a>),
    EphemeralContainers {
        new: Pod<'a>,
        /// The Pod to which containers are added. What else a client writes of it is dropped only
        /// after mutating admission (`pkg/registry/core/pod/strategy.go`,
        /// `dropNonEphemeralContainerUpdates`).
        old: Option<Pod<'a>>,
    },
    /// What the Pods of a workload will be like. It is never mutated: a GitOps controller would
    /// undo that, and its Pods are mutated when they are created.
    Template {
        workload: Workload,
        metadata: ObjectMeta<'a>,
        template: PodTemplateSpec<'a>,
        /// Of a StatefulSet.
        claims: List<PersistentVolumeClaim<'a>>,
    },
    TokenRequest(TokenRequest<'a>),
    Secret {
        new: Secret<'a>,
        old: Option<Secret<'a>>,
    },
    /// The tokens that a CSI driver wants of each Pod; kept in Git like a template.
    CSIDriver(CSIDriver<'a>),
}

impl<'a> AdmissionRequest<'a> {
    /// Decides by kind, subresource and operation; `None` when no rule is about the request. Or the
    /// field without which no one can tell.
    pub fn subject_kind(&self) -> Result<Option<SubjectKind>, &'static str> {
        if self.kind.kind.is_empty() {
            return Err("request.kind");
        }
        if self.operation.is_empty() {
            return Err("request.operation");
        }
        let operation = &*self.operation;
        let kind = match (&*self.kind.group, &*self.kind.kind, &*self.sub_resource) {
            // A Pod's volumes and security context can't change when it is updated, and a
            // rejection would keep its finalizers, and so the Pod.
            ("", "Pod", "") if operation == "CREATE" => SubjectKind::Pod,
            ("", "Pod", "ephemeralcontainers") if operation == "UPDATE" => {
                SubjectKind::EphemeralContainers
            }
            // A Job's template can't change in a way that matters
            // (`pkg/apis/batch/validation/validation.go`, `validatePodTemplateUpdate`), and those
            // who queue Jobs must be able to take back what they wrote.
            ("batch", "Job", "") if operation == "UPDATE" => return Ok(None),
            ("authentication.k8s.io", "TokenRequest", "token") if operation == "CREATE" => {
                SubjectKind::TokenRequest
            }
            ("", "Secret", "") if ["CREATE", "UPDATE"].contains(&operation) => SubjectKind::Secret,
            ("storage.k8s.io", "CSIDriver", "") if ["CREATE", "UPDATE"].contains(&operation) => {
                SubjectKind::CSIDriver
            }
            (group, kind, "") if ["CREATE", "UPDATE"].contains(&operation) => {
                return Ok(Workload::from_group_and_kind(group, kind).map(SubjectKind::Template));
            }
            _ => return Ok(None),
        };
        Ok(Some(kind))
    }

    /// Decodes the object; or says which field of it can't be, or is missing.
    pub fn decode_subject(&self, kind: SubjectKind) -> Result<Subject<'a>, String> {
        let object = self.object.ok_or_else(|| required("object"))?.get();
        Ok(match kind {
            SubjectKind::Pod => Subject::Pod(decode_new(object)?),
            SubjectKind::EphemeralContainers => Subject::EphemeralContainers {
                new: decode_new(object)?,
                old: self.decode_old()?,
            },
            SubjectKind::Template(workload) => decode_template(object, workload)?,
            SubjectKind::TokenRequest => Subject::TokenRequest(decode_new(object)?),
            SubjectKind::Secret => Subject::Secret {
                new: decode_new(object)?,
                old: self.decode_old()?,
            },
            SubjectKind::CSIDriver => Subject::CSIDriver(decode_new(object)?),
        })
    }

    /// The object as it was before an update, if the request shows it.
    fn decode_old<T: Deserialize<'a>>(&self) -> Result<Option<T>, String> {
        let Some(old) = self.old_object else {
            return Ok(None);
        };
        if &*self.operation != "UPDATE" {
            return Ok(None);
        }
        let decoded = decode_object(old.get()).map_err(|e| {
            let separator = if e.path.is_empty() { "" } else { "." };
            format!(
                "oldObject{separator}{}: Invalid value: {}",
                e.path, e.message
            )
        });
        decoded.map(Some)
    }

    /// True for an update that changes nothing that rules are about: a rejection would keep old
    /// objects from being scaled, labelled and deleted. The API server writes both objects in the
    /// same way, so that templates are equal when their texts are.
    pub fn changes_nothing_judged(&self, subject: &Subject) -> bool {
        let (Some(new), Some(old)) = (self.object, self.old_object) else {
            return false;
        };
        if &*self.operation != "UPDATE" {
            return false;
        }
        match subject {
            Subject::Template { workload, .. } => {
                let before = template_of(old, *workload);
                before.is_some() && before == template_of(new, *workload)
            }
            Subject::CSIDriver(driver) => {
                let old: Result<CSIDriver, _> = decode_object(old.get());
                old.is_ok_and(|old| requested_tokens(&old) == requested_tokens(driver))
            }
            _ => false,
        }
    }

    /// True when Kubewarden's audit scanner asks about an object that exists
    /// (`internal/audit-scanner/scanner` in kubewarden/kubewarden-controller): as a CREATE with the
    /// object's own uid as the request's, and without a user. A client always is a user, and can't
    /// know the uid that the API server will give to its request.
    pub fn is_audit(&self, object_uid: &str) -> bool {
        let has_user = !self.user_info.username.is_empty() || !self.user_info.groups.is_empty();
        &*self.operation == "CREATE"
            && !has_user
            && !self.uid.is_empty()
            && object_uid == &*self.uid
    }

    /// The same, of an object that can't be decoded as one of its kind.
    pub fn is_audit_of_undecodable(&self) -> bool {
        let uid = self
            .object
            .and_then(|object| find_value(object.get(), &["metadata", "uid"]));
        let uid: Option<String> = uid.and_then(|uid| from_str(uid.get()).ok());
        uid.is_some_and(|uid| self.is_audit(&uid))
    }
}

/// The message for a field without which nothing can be judged.
pub fn required(path: &str) -> String {
    format!("{path}: Required value: there is nothing to look at without it")
}

fn decode_new<'a, T: Deserialize<'a>>(object: &'a str) -> Result<T, String> {
    decode_object(object).map_err(|e| {
        let path = if e.path.is_empty() { "object" } else { &e.path };
        format!("{path}: Invalid value: {}", e.message)
    })
}

/// The text of a workload's Pod template.
fn template_of(object: &RawValue, workload: Workload) -> Option<&str> {
    find_value(object.get(), workload.template_path()).map(RawValue::get)
}

/// The tokens that a driver wants, whatever their order.
fn requested_tokens<'d>(driver: &'d CSIDriver) -> BTreeSet<(&'d str, Option<i64>)> {
    let requests = driver.spec.token_requests.iter();
    let mut tokens = BTreeSet::new();
    tokens.extend(requests.map(|request| (&*request.audience, request.expiration_seconds)));
    tokens
}

fn decode_template(json: &str, workload: Workload) -> Result<Subject<'_>, String> {
    let mut claims = List::default();
    let (metadata, template) = match workload {
        Workload::CronJob => {
            let object: CronJob = decode_new(json)?;
            let job_template = object.spec.into_object().job_template.into_object();
            (object.metadata, job_template.spec.into_object().template)
        }
        Workload::PodTemplate => {
            let object: PodTemplate = decode_new(json)?;
            (object.metadata, object.template)
        }
        Workload::StatefulSet => {
            let object: StatefulSet = decode_new(json)?;
            let spec = object.spec.into_object();
            claims = spec.volume_claim_templates;
            (object.metadata, spec.template)
        }
        Workload::DaemonSet
        | Workload::Deployment
        | Workload::Job
        | Workload::ReplicaSet
        | Workload::ReplicationController => {
            let object: Deployment = decode_new(json)?;
            (object.metadata, object.spec.into_object().template)
        }
    };
    let Object(template) =
        *template.ok_or_else(|| required(&workload.template_path().join(".")))?;
    let metadata = metadata.into_object();
    Ok(Subject::Template {
        workload,
        metadata,
        template,
        claims,
    })
}

impl<'a> Subject<'a> {
    /// The metadata of the object.
    pub fn metadata(&self) -> &ObjectMeta<'a> {
        match self {
            Self::Pod(pod) | Self::EphemeralContainers { new: pod, .. } => &pod.metadata,
            Self::Template { metadata, .. } => metadata,
            Self::TokenRequest(token_request) => &token_request.metadata,
            Self::Secret { new, .. } => &new.metadata,
            Self::CSIDriver(driver) => &driver.metadata,
        }
    }

    /// The Pod that the request is about. Of ephemeral containers it is the existing one: the
    /// client's may say anything.
    fn pod(&self) -> Option<&Pod<'a>> {
        match self {
            Self::Pod(pod) => Some(pod),
            Self::EphemeralContainers { new, old } => Some(old.as_ref().unwrap_or(new)),
            _ => None,
        }
    }

    /// The metadata of the Pod, or of the Pods to be, with whose annotations they take themselves
    /// out.
    pub fn pod_metadata(&self) -> Option<&ObjectMeta<'a>> {
        match self {
            Self::Template { template, .. } => Some(&template.metadata),
            _ => self.pod().map(|pod| &*pod.metadata as &ObjectMeta),
        }
    }

    /// The spec of the Pod, or of the Pods to be.
    pub fn pod_spec(&self) -> Option<&PodSpec<'a>> {
        let spec = match self {
            Self::Template { template, .. } => template.spec.as_ref(),
            _ => self.pod()?.spec.as_ref(),
        };
        spec.map(|spec| &spec.0)
    }

    /// The fields that lead to the Pod or the Pod template.
    pub fn pod_path(&self) -> &'static [&'static str] {
        match self {
            Self::Template { workload, .. } => workload.template_path(),
            _ => &[],
        }
    }

    /// The service accounts that the request is about. An exemption has to hold for each of them: a
    /// Secret can be turned from one account to another.
    pub fn service_accounts(&self, request: &AdmissionRequest) -> Vec<String> {
        match self {
            Self::TokenRequest(_) => vec![request.name.to_string()],
            Self::Secret { new, old } => {
                let secrets = std::iter::once(new).chain(old);
                secrets.map(Secret::service_account).collect()
            }
            _ => {
                let spec = self.pod_spec().into_iter();
                spec.map(|spec| spec.service_account_or_default().to_owned())
                    .collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn each_subject_is_told_from_the_others() {
        let template = |workload| Some(SubjectKind::Template(workload));
        for (group, kind, sub_resource, operation, expected) in [
            ("", "Pod", "", "CREATE", Some(SubjectKind::Pod)),
            ("", "Pod", "", "UPDATE", None),
            ("", "Pod", "", "DELETE", None),
            (
                "",
                "Pod",
                "ephemeralcontainers",
                "UPDATE",
                Some(SubjectKind::EphemeralContainers),
            ),
            ("", "Pod", "ephemeralcontainers", "CREATE", None),
            ("", "Pod", "status", "UPDATE", None),
            ("", "Pod", "exec", "CONNECT", None),
            ("example.com", "Pod", "", "CREATE", None),
            ("", "pod", "", "CREATE", None),
            (
                "apps",
                "Deployment",
                "",
                "UPDATE",
                template(Workload::Deployment),
            ),
            (
                "apps",
                "ReplicaSet",
                "",
                "CREATE",
                template(Workload::ReplicaSet),
            ),
            (
                "apps",
                "StatefulSet",
                "",
                "CREATE",
                template(Workload::StatefulSet),
            ),
            (
                "apps",
                "DaemonSet",
                "",
                "CREATE",
                template(Workload::DaemonSet),
            ),
            (
                "",
                "ReplicationController",
                "",
                "CREATE",
                template(Workload::ReplicationController),
            ),
            ("batch", "Job", "", "CREATE", template(Workload::Job)),
            ("batch", "Job", "", "UPDATE", None),
            (
                "batch",
                "CronJob",
                "",
                "CREATE",
                template(Workload::CronJob),
            ),
            (
                "batch",
                "CronJob",
                "",
                "UPDATE",
                template(Workload::CronJob),
            ),
            (
                "",
                "PodTemplate",
                "",
                "CREATE",
                template(Workload::PodTemplate),
            ),
            ("apps", "Deployment", "status", "UPDATE", None),
            ("apps", "Deployment", "", "DELETE", None),
            ("autoscaling", "Scale", "scale", "UPDATE", None),
            (
                "authentication.k8s.io",
                "TokenRequest",
                "token",
                "CREATE",
                Some(SubjectKind::TokenRequest),
            ),
            (
                "authentication.k8s.io",
                "TokenRequest",
                "token",
                "UPDATE",
                None,
            ),
            ("", "Secret", "", "CREATE", Some(SubjectKind::Secret)),
            ("", "Secret", "", "UPDATE", Some(SubjectKind::Secret)),
            ("", "Secret", "", "DELETE", None),
            (
                "storage.k8s.io",
                "CSIDriver",
                "",
                "UPDATE",
                Some(SubjectKind::CSIDriver),
            ),
            ("storage.k8s.io", "CSIDriver", "", "DELETE", None),
            ("", "ConfigMap", "", "CREATE", None),
        ] {
            let payload = json!({ "request": {
                "kind": { "group": group, "version": "v1", "kind": kind },
                "subResource": sub_resource, "operation": operation,
            } });
            let payload = payload.to_string();
            let found = Payload::decode(&payload).unwrap().request.subject_kind();
            assert_eq!(
                found,
                Ok(expected),
                "{operation} {group} {kind} {sub_resource}"
            );
        }
    }

    /// Whether an update changes nothing that rules are about.
    fn changes_nothing(operation: &str, kind: (&str, &str), old: &Value, new: &Value) -> bool {
        let payload = json!({ "request": {
            "kind": { "group": kind.0, "version": "v1", "kind": kind.1 },
            "operation": operation, "object": new, "oldObject": old,
        } });
        let payload = payload.to_string();
        let request = Payload::decode(&payload).unwrap().request;
        let kind = request.subject_kind().unwrap().unwrap();
        let subject = request.decode_subject(kind).unwrap();
        request.changes_nothing_judged(&subject)
    }

    #[test]
    fn updates_of_templates_that_change_nothing() {
        let in_spec = |template: &Value| json!({ "template": template });
        let cron_job = |template: &Value| json!({ "jobTemplate": { "spec": in_spec(template) } });
        for (group, kind, pointer) in [
            ("apps", "Deployment", "/spec/template"),
            ("apps", "StatefulSet", "/spec/template"),
            ("batch", "CronJob", "/spec/jobTemplate/spec/template"),
            ("", "PodTemplate", "/template"),
        ] {
            let object = |replicas: i32, account: &str| {
                let template = json!({ "spec": { "serviceAccountName": account } });
                let mut object = match kind {
                    "CronJob" => json!({ "spec": cron_job(&template) }),
                    "PodTemplate" => in_spec(&template),
                    _ => json!({ "spec": in_spec(&template) }),
                };
                assert!(object.pointer(pointer).is_some(), "{kind}");
                object["metadata"] = json!({ "labels": { "replicas": replicas.to_string() } });
                object
            };
            let old = object(1, "app");
            for (name, operation, new, expected) in [
                ("a label", "UPDATE", object(2, "app"), true),
                ("the template", "UPDATE", object(1, "other"), false),
                ("no update", "CREATE", old.clone(), false),
            ] {
                let found = changes_nothing(operation, (group, kind), &old, &new);
                assert_eq!(found, expected, "{kind}: {name}");
            }
            let is_new = changes_nothing("UPDATE", (group, kind), &json!({}), &old);
            assert!(!is_new, "{kind}: a template where there was none");
        }
    }

    #[test]
    fn updates_of_drivers_that_change_nothing() {
        let driver = |tokens: Value| json!({ "spec": { "tokenRequests": tokens } });
        let token = |audience: &str, seconds: i64| json!({ "audience": audience, "expirationSeconds": seconds });
        let (a, b) = (token("a", 600), token("b", 600));
        let old = driver(json!([a, b]));
        let kind = ("storage.k8s.io", "CSIDriver");
        for (name, new, expected) in [
            ("nothing", json!([a, b]), true),
            ("the order", json!([b, a]), true),
            ("an audience", json!([a, token("c", 600)]), false),
            ("a lifetime", json!([a, token("b", 601)]), false),
            ("one more", json!([a, b, token("c", 600)]), false),
            ("one less", json!([a]), false),
        ] {
            let found = changes_nothing("UPDATE", kind, &old, &driver(new));
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn requests_of_the_audit_scanner() {
        let nobody = json!({});
        let alex = json!({ "username": "alex" });
        let group = json!({ "groups": ["dev"] });
        for (name, operation, uid, object_uid, user, expected) in [
            ("an audit", "CREATE", "1f", json!("1f"), &nobody, true),
            ("another uid", "CREATE", "1f", json!("2a"), &nobody, false),
            ("no uid", "CREATE", "", json!(""), &nobody, false),
            ("a new object", "CREATE", "1f", json!(null), &nobody, false),
            ("an update", "UPDATE", "1f", json!("1f"), &nobody, false),
            ("a user", "CREATE", "1f", json!("1f"), &alex, false),
            ("a group", "CREATE", "1f", json!("1f"), &group, false),
        ] {
            let payload = json!({ "request": {
                "uid": uid, "operation": operation, "userInfo": user,
                "object": { "metadata": { "uid": object_uid }, "spec": "undecodable" },
            } });
            let payload = payload.to_string();
            let request = Payload::decode(&payload).unwrap().request;
            let object_uid = object_uid.as_str().unwrap_or_default();
            assert_eq!(request.is_audit(object_uid), expected, "{name}");
            let of_undecodable = request.is_audit_of_undecodable();
            assert_eq!(of_undecodable, expected, "{name}, undecodable");
        }
    }
}
