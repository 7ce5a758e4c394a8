//! `admission.k8s.io/v1` as kwctl and policy-server read and write it
//! (`crates/policy-evaluator/src/admission_{request,response}.rs` in
//! kubewarden/kubewarden-controller).

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// What the policy is asked about.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdmissionRequest {
    pub uid: String,
    kind: GroupVersionKind,
    resource: GroupVersionResource,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_resource: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_kind: Option<GroupVersionKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_resource: Option<GroupVersionResource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_sub_resource: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    operation: String,
    user_info: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    old_object: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dry_run: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    options: Option<Value>,
}

#[derive(Clone, Serialize, Deserialize)]
struct GroupVersionKind {
    group: String,
    version: String,
    kind: String,
}

#[derive(Clone, Serialize, Deserialize)]
struct GroupVersionResource {
    group: String,
    version: String,
    resource: String,
}

impl AdmissionRequest {
    /// Reads an AdmissionReview or a bare request.
    pub fn parse(json: &str) -> Result<Self> {
        let mut review: Value = serde_json::from_str(json).context("the request is not JSON")?;
        if review["kind"] == "AdmissionReview" {
            review = review["request"].take();
        }
        serde_json::from_value(review)
            .context("cannot build AdmissionRequest object from given input")
    }

    /// The object's kind.
    pub fn kind(&self) -> &str {
        &self.kind.kind
    }

    /// What is being done to which object.
    pub fn title(&self) -> String {
        let parts = [self.namespace.as_deref(), self.name.as_deref()]
            .into_iter()
            .flatten();
        let name = parts
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("/");
        format!("{} {} {name}", self.operation, self.kind.kind)
    }

    /// The payload of the waPC call `validate`.
    pub fn payload(&self, settings: &Value) -> String {
        serde_json::json!({ "request": self, "settings": settings }).to_string()
    }
}

/// What a policy answers.
#[derive(Deserialize)]
pub struct Answer {
    accepted: bool,
    message: Option<String>,
    code: Option<u16>,
    mutated_object: Option<Value>,
    audit_annotations: Option<BTreeMap<String, String>>,
    warnings: Option<Vec<String>>,
}

/// What a policy answers about its settings.
#[derive(Deserialize)]
pub struct SettingsAnswer {
    pub valid: bool,
    pub message: Option<String>,
}

/// What the API server is told.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AdmissionResponse {
    uid: String,
    pub allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    audit_annotations: Option<BTreeMap<String, String>>,
    pub warnings: Option<Vec<String>>,
}

/// Why a request is rejected.
#[derive(Serialize)]
pub struct Status {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
}

impl AdmissionResponse {
    /// Makes of the policy's answer what policy-server makes of it.
    pub fn new(request: &AdmissionRequest, answer: Answer) -> Result<Self> {
        let Answer {
            accepted,
            message,
            code,
            mutated_object,
            audit_annotations,
            warnings,
        } = answer;
        let patch = match (&request.object, mutated_object) {
            (_, None) => None,
            (Some(object), Some(mutated)) => {
                let patch = json_patch::diff(object, &mutated);
                (!patch.is_empty())
                    .then(|| serde_json::to_string(&patch))
                    .transpose()?
            }
            (None, Some(_)) => anyhow::bail!("the policy mutates an object that isn't there"),
        };
        let status = (message.is_some() || code.is_some()).then_some(Status { message, code });
        Ok(Self {
            uid: request.uid.clone(),
            allowed: accepted,
            patch_type: patch.as_ref().map(|_| "JSONPatch"),
            patch: patch.map(|patch| STANDARD.encode(patch)),
            status,
            audit_annotations,
            warnings,
        })
    }

    /// An audit annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.audit_annotations
            .as_ref()?
            .get(key)
            .map(String::as_str)
    }

    /// The JSON patch, decoded.
    pub fn patch(&self) -> Result<json_patch::Patch> {
        match &self.patch {
            Some(patch) => Ok(serde_json::from_slice(&STANDARD.decode(patch)?)?),
            None => Ok(json_patch::Patch::default()),
        }
    }
}
