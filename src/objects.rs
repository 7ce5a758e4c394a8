//! Views of Kubernetes' objects: the fields that rules read, and no others.
//!
//! The names are those of the Kubernetes API; a test compares them with k8s-openapi's types. Where
//! types share fields, one view serves them all.

use crate::decode::{Object, OrDefault, Text};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, value::RawValue};

/// The type of a Secret that holds a service-account token.
pub const TOKEN_SECRET: &str = "kubernetes.io/service-account-token";

/// The annotation of such a Secret that names the service account.
pub const SERVICE_ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";

/// The mode of a volume's files when nothing is said (`pkg/apis/core/v1/defaults.go`).
pub const DEFAULT_MODE: i32 = 0o644;

pub type List<T> = OrDefault<Vec<Object<T>>>;
pub type Nested<T> = OrDefault<Object<T>>;
/// On the heap, so that the views with such a field stay small.
pub type Boxed<T> = Option<Box<Object<T>>>;

/// An object, or a template of one: the fields of all kinds that rules are about. Their names don't
/// clash, so that one view is enough; the request's kind says which of them count.
#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct KubernetesObject<'a> {
    pub metadata: Nested<ObjectMeta<'a>>,
    pub spec: Boxed<Spec<'a>>,
    /// Of a PodTemplate.
    pub template: Boxed<KubernetesObject<'a>>,
    /// Of a Secret. Its data is never looked at.
    #[serde(rename = "type")]
    pub secret_type: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct ObjectMeta<'a> {
    pub name: Text<'a>,
    /// Known for objects that exist: the API server sets it after mutating admission.
    pub uid: Text<'a>,
    /// Decoded when one is asked for.
    pub annotations: Option<&'a RawValue>,
}

impl KubernetesObject<'_> {
    /// The value of an annotation; `None` also for one that isn't text.
    pub fn annotation(&self, key: &str) -> Option<String> {
        let annotations = self.metadata.annotations?;
        let annotations: Value = serde_json::from_str(annotations.get()).ok()?;
        annotations.get(key)?.as_str().map(str::to_owned)
    }
}

/// The spec of a Pod; and of workloads, TokenRequests and CSIDrivers.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct Spec<'a> {
    pub volumes: List<Volume<'a>>,
    pub containers: List<Container<'a>>,
    pub init_containers: List<Container<'a>>,
    pub ephemeral_containers: List<Container<'a>>,
    pub security_context: Nested<SecurityContext<'a>>,
    pub os: Nested<Reference<'a>>,
    pub node_selector: Nested<NodeSelector<'a>>,
    pub termination_grace_period_seconds: Option<i64>,
    pub automount_service_account_token: Option<bool>,
    pub service_account_name: Text<'a>,
    pub service_account: Text<'a>,
    /// Of a Deployment and its like.
    pub template: Boxed<KubernetesObject<'a>>,
    /// Of a CronJob.
    pub job_template: Boxed<KubernetesObject<'a>>,
    /// Of a StatefulSet: its Pods get a volume for each.
    pub volume_claim_templates: List<KubernetesObject<'a>>,
    /// This and the next two are of a TokenRequest.
    pub audiences: OrDefault<Vec<Text<'a>>>,
    pub expiration_seconds: Option<i64>,
    pub bound_object_ref: Nested<Reference<'a>>,
    /// Of a CSIDriver.
    pub token_requests: List<ServiceAccountToken<'a>>,
}

impl<'a> Spec<'a> {
    pub fn container_lists(&self) -> [(&'static str, &List<Container<'a>>); 3] {
        [
            ("containers", &self.containers),
            ("initContainers", &self.init_containers),
            ("ephemeralContainers", &self.ephemeral_containers),
        ]
    }

    pub fn all_containers(&self) -> impl Iterator<Item = &Container<'a>> {
        self.container_lists().into_iter().flat_map(|(_, list)| list.iter()).map(|it| &it.0)
    }
}

/// `GroupVersionKind`, `BoundObjectReference`, `PodOS`, `SecretKeySelector` and `SecretEnvSource`
#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Reference<'a> {
    pub group: Text<'a>,
    pub kind: Text<'a>,
    pub name: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct NodeSelector<'a> {
    #[serde(rename = "kubernetes.io/os")]
    pub os: Text<'a>,
    #[serde(rename = "beta.kubernetes.io/os")]
    pub beta_os: Text<'a>,
}

/// `PodSecurityContext` and `SecurityContext`
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct SecurityContext<'a> {
    pub fs_group: Option<i64>,
    pub fs_group_change_policy: Text<'a>,
    pub run_as_group: Option<i64>,
    pub run_as_user: Option<i64>,
    pub run_as_non_root: Option<bool>,
    pub privileged: Option<bool>,
    pub capabilities: Nested<Capabilities<'a>>,
    pub windows_options: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Capabilities<'a> {
    pub add: OrDefault<Vec<Text<'a>>>,
    pub drop: OrDefault<Vec<Text<'a>>>,
}

/// `Container` and `EphemeralContainer`
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct Container<'a> {
    pub name: Text<'a>,
    pub env: List<EnvSource<'a>>,
    pub env_from: List<EnvSource<'a>>,
    pub volume_mounts: List<VolumeMount<'a>>,
    pub security_context: Nested<SecurityContext<'a>>,
}

/// `EnvVar`, `EnvVarSource` and `EnvFromSource`
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct EnvSource<'a> {
    pub value_from: Boxed<EnvSource<'a>>,
    pub secret_key_ref: Boxed<Reference<'a>>,
    pub secret_ref: Boxed<Reference<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct VolumeMount<'a> {
    pub name: Text<'a>,
    pub mount_path: Text<'a>,
    pub sub_path: Text<'a>,
    pub sub_path_expr: Text<'a>,
}

/// `Volume`; and `VolumeProjection`, which is a source of a projected one
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct Volume<'a> {
    pub name: Text<'a>,
    pub projected: Nested<Files<'a>>,
    pub secret: Boxed<Files<'a>>,
    pub config_map: Boxed<Files<'a>>,
    #[serde(rename = "downwardAPI")]
    pub downward_api: Boxed<Files<'a>>,
    pub service_account_token: Boxed<ServiceAccountToken<'a>>,
    pub pod_certificate: Option<IgnoredAny>,
    pub cluster_trust_bundle: Option<IgnoredAny>,
    /// The source whose files outlive a container, whichever it is. The kubelet would change their
    /// group and mode for an fsGroup (`pkg/volume/volume_linux.go`, `ChangePermissions`). nfs,
    /// hostPath, emptyDir and image aren't among these.
    #[serde(rename = "persistentVolumeClaim")]
    #[serde(alias = "awsElasticBlockStore", alias = "azureDisk", alias = "azureFile")]
    #[serde(alias = "cephfs", alias = "cinder", alias = "csi", alias = "ephemeral", alias = "fc")]
    #[serde(alias = "flexVolume", alias = "flocker", alias = "gcePersistentDisk")]
    #[serde(alias = "glusterfs", alias = "iscsi", alias = "photonPersistentDisk")]
    #[serde(alias = "portworxVolume", alias = "quobyte", alias = "rbd", alias = "scaleIO")]
    #[serde(alias = "storageos", alias = "vsphereVolume")]
    pub persistent: Boxed<Files<'a>>,
}

/// What becomes files: `SecretVolumeSource`, `ConfigMapVolumeSource`, `DownwardAPIVolumeSource`,
/// `ProjectedVolumeSource` and their projections
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct Files<'a> {
    /// Of a Secret volume.
    pub secret_name: Text<'a>,
    /// Of a projected Secret.
    pub name: Text<'a>,
    pub items: List<KeyToPath<'a>>,
    /// Of a projected volume.
    pub sources: List<Volume<'a>>,
    pub default_mode: Option<i32>,
    /// Of a source whose files outlive a container.
    pub read_only: Option<bool>,
}

/// `KeyToPath`; and `DownwardAPIVolumeFile`, which has no key
#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct KeyToPath<'a> {
    pub key: Text<'a>,
    pub path: Text<'a>,
    pub mode: Option<i32>,
}

/// `ServiceAccountTokenProjection`; and `TokenRequest` of a CSIDriver, which has no path
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct ServiceAccountToken<'a> {
    pub audience: Text<'a>,
    /// Seconds; 3600 when absent.
    pub expiration_seconds: Option<i64>,
    pub path: Text<'a>,
}
