//! Views of Kubernetes' objects, one for each type that rules read, under the type's own name and
//! with the fields that rules read. A test compares the names with k8s-openapi's types.

use crate::decode::{Borrowed, Object, OrDefault, Text, find_value};
use derive_more::Deref;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The type of a Secret that holds a service-account token.
pub const TOKEN_SECRET: &str = "kubernetes.io/service-account-token";

/// The annotations of such a Secret that name the service account.
pub const SERVICE_ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
pub const SERVICE_ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";

/// The label with which Kubernetes ends a token that nobody used for a year
/// (`pkg/controller/serviceaccount/legacy_serviceaccount_token_cleaner.go`).
pub const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";

/// The annotation of the object that stands for a static Pod.
pub const MIRROR_POD: &str = "kubernetes.io/config.mirror";

/// The mode of a volume's files when nothing is said (`pkg/apis/core/v1/defaults.go`).
pub const DEFAULT_MODE: i32 = 0o644;

pub type List<T> = OrDefault<Vec<Object<T>>>;
pub type Nested<T> = OrDefault<Object<T>>;

/// On the heap, so that the views with such a field stay small.
pub type Boxed<T> = Option<Box<Object<T>>>;

/// How many characters a name of Kubernetes has at most
/// (`staging/src/k8s.io/apimachinery/pkg/util/validation`, `IsDNS1123Subdomain`).
pub const LONGEST_NAME: usize = 253;

/// A name that is compared with others; one that is longer than Kubernetes lets it be is cut.
#[derive(Debug, Default, Deserialize, Deref)]
#[deref(forward)]
#[serde(from = "Text<'a>", bound(deserialize = "'de: 'a"))]
pub struct Name<'a>(Cow<'a, str>);

impl<'a> From<Text<'a>> for Name<'a> {
    fn from(text: Text<'a>) -> Self {
        let name = match text.into_inner().0 {
            Cow::Borrowed(name) => name[..name.floor_char_boundary(LONGEST_NAME)].into(),
            Cow::Owned(mut name) => {
                name.truncate(name.floor_char_boundary(LONGEST_NAME));
                name.into()
            }
        };
        Self(name)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct ObjectMeta<'a> {
    pub name: Name<'a>,
    /// Known for objects that exist: the API server sets it after mutating admission.
    pub uid: Text<'a>,
    /// Decoded when one is asked for.
    pub annotations: Option<&'a RawValue>,
    /// The same.
    pub labels: Option<&'a RawValue>,
}

impl ObjectMeta<'_> {
    /// The value of an annotation; `None` also for one that isn't text.
    pub fn annotation(&self, key: &str) -> Option<String> {
        value_of(self.annotations, key)
    }

    /// The value of a label; `None` also for one that isn't text.
    pub fn label(&self, key: &str) -> Option<String> {
        value_of(self.labels, key)
    }
}

fn value_of(map: Option<&RawValue>, key: &str) -> Option<String> {
    let value = find_value(map?.get(), &[key])?;
    serde_json::from_str(value.get()).ok()
}

#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Pod<'a> {
    pub metadata: Nested<ObjectMeta<'a>>,
    pub spec: Boxed<PodSpec<'a>>,
}

/// The fields that are read of it are those of a Pod.
pub type PodTemplateSpec<'a> = Pod<'a>;

#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct PodTemplate<'a> {
    pub metadata: Nested<ObjectMeta<'a>>,
    pub template: Boxed<PodTemplateSpec<'a>>,
}

/// Also `DaemonSet`, `Job`, `ReplicaSet` and `ReplicationController`: of none of them more is read.
#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Deployment<'a> {
    pub metadata: Nested<ObjectMeta<'a>>,
    pub spec: Nested<DeploymentSpec<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct DeploymentSpec<'a> {
    pub template: Boxed<PodTemplateSpec<'a>>,
}

/// The same field is read of it.
pub type JobSpec<'a> = DeploymentSpec<'a>;

#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct StatefulSet<'a> {
    pub metadata: Nested<ObjectMeta<'a>>,
    pub spec: Nested<StatefulSetSpec<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct StatefulSetSpec<'a> {
    pub template: Boxed<PodTemplateSpec<'a>>,
    /// Each of its Pods gets a volume for each of these.
    pub volume_claim_templates: List<PersistentVolumeClaim<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct PersistentVolumeClaim<'a> {
    pub metadata: Nested<ObjectMeta<'a>>,
    pub spec: Nested<PersistentVolumeClaimSpec<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct PersistentVolumeClaimSpec<'a> {
    pub volume_mode: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct CronJob<'a> {
    pub metadata: Nested<ObjectMeta<'a>>,
    pub spec: Nested<CronJobSpec<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct CronJobSpec<'a> {
    pub job_template: Nested<JobTemplateSpec<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct JobTemplateSpec<'a> {
    pub spec: Nested<JobSpec<'a>>,
}

/// `authentication.k8s.io/v1 TokenRequest`
#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct TokenRequest<'a> {
    pub metadata: Nested<ObjectMeta<'a>>,
    pub spec: Boxed<TokenRequestSpec<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct TokenRequestSpec<'a> {
    pub audiences: OrDefault<Vec<Text<'a>>>,
    /// Seconds; 3600 when absent.
    pub expiration_seconds: Option<i64>,
    pub bound_object_ref: Nested<BoundObjectReference<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct BoundObjectReference<'a> {
    pub kind: Text<'a>,
    pub name: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct Secret<'a> {
    pub metadata: Nested<ObjectMeta<'a>>,
    pub r#type: Text<'a>,
    pub data: Nested<SecretData<'a>>,
    pub string_data: Nested<SecretData<'a>>,
}

impl Secret<'_> {
    pub fn has_token_type(&self) -> bool {
        &*self.r#type == TOKEN_SECRET
    }

    /// The value of the key `token` as it was written, in either field; what is empty is absent.
    pub fn written_token(&self) -> (&str, &str) {
        (&self.data.token, &self.string_data.token)
    }

    pub fn has_token(&self) -> bool {
        self.written_token() != ("", "")
    }
}

/// The one key of a Secret that is looked at. What it holds goes nowhere.
#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct SecretData<'a> {
    pub token: Text<'a>,
}

/// `storage.k8s.io/v1 CSIDriver`
#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct CSIDriver<'a> {
    pub metadata: Nested<ObjectMeta<'a>>,
    pub spec: Nested<CSIDriverSpec<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct CSIDriverSpec<'a> {
    pub token_requests: List<CSIDriverTokenRequest<'a>>,
}

/// `storage.k8s.io/v1 TokenRequest`
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct CSIDriverTokenRequest<'a> {
    pub audience: Text<'a>,
    /// Seconds; 3600 when absent.
    pub expiration_seconds: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct PodSpec<'a> {
    pub volumes: List<Volume<'a>>,
    pub containers: List<Container<'a>>,
    pub init_containers: List<Container<'a>>,
    pub ephemeral_containers: List<EphemeralContainer<'a>>,
    pub security_context: Nested<PodSecurityContext<'a>>,
    pub os: Nested<PodOS<'a>>,
    pub node_selector: Nested<NodeSelectorLabels<'a>>,
    pub affinity: Boxed<Affinity<'a>>,
    pub host_users: Option<bool>,
    pub termination_grace_period_seconds: Option<i64>,
    pub automount_service_account_token: Option<bool>,
    pub service_account_name: Name<'a>,
    /// The old name of the field above.
    pub service_account: Name<'a>,
}

impl<'a> PodSpec<'a> {
    /// The lists of containers, each with its field's name.
    pub fn container_lists(&self) -> [(&'static str, &List<Container<'a>>); 3] {
        [
            ("containers", &self.containers),
            ("ephemeralContainers", &self.ephemeral_containers),
            ("initContainers", &self.init_containers),
        ]
    }

    /// Containers of all three lists.
    pub fn all_containers(&self) -> impl Iterator<Item = &Container<'a>> {
        let lists = self.container_lists().into_iter();
        lists
            .flat_map(|(_, list)| list.iter())
            .map(|container| &container.0)
    }

    /// The account that the Pod runs as
    /// (`plugin/pkg/admission/serviceaccount`, `DefaultServiceAccountName`).
    pub fn service_account_or_default(&self) -> &str {
        let names = [&*self.service_account_name, &*self.service_account];
        let named = names.into_iter().find(|name| !name.is_empty());
        named.unwrap_or("default")
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct PodOS<'a> {
    pub name: Text<'a>,
}

/// The labels in a Pod's `nodeSelector` that say which operating system its node has.
#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct NodeSelectorLabels<'a> {
    #[serde(rename = "kubernetes.io/os")]
    pub os: Text<'a>,
    #[serde(rename = "beta.kubernetes.io/os")]
    pub beta_os: Text<'a>,
    /// Only nodes with Windows have it.
    #[serde(rename = "node.kubernetes.io/windows-build")]
    pub windows_build: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct Affinity<'a> {
    pub node_affinity: Nested<NodeAffinity<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct NodeAffinity<'a> {
    pub required_during_scheduling_ignored_during_execution: Nested<NodeSelector<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct NodeSelector<'a> {
    pub node_selector_terms: List<NodeSelectorTerm<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct NodeSelectorTerm<'a> {
    pub match_expressions: List<NodeSelectorRequirement<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct NodeSelectorRequirement<'a> {
    pub key: Text<'a>,
    pub operator: Text<'a>,
    pub values: OrDefault<Vec<Text<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct PodSecurityContext<'a> {
    pub fs_group: Option<i64>,
    pub fs_group_change_policy: Text<'a>,
    pub run_as_group: Option<i64>,
    pub run_as_user: Option<i64>,
    pub run_as_non_root: Option<bool>,
    pub windows_options: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct SecurityContext<'a> {
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

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct Container<'a> {
    pub name: Name<'a>,
    pub env: List<EnvVar<'a>>,
    pub env_from: List<EnvFromSource<'a>>,
    pub volume_mounts: List<VolumeMount<'a>>,
    pub security_context: Nested<SecurityContext<'a>>,
}

/// It has all of these fields as well.
pub type EphemeralContainer<'a> = Container<'a>;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct EnvVar<'a> {
    pub value_from: Boxed<EnvVarSource<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct EnvVarSource<'a> {
    pub secret_key_ref: Option<Object<SecretKeySelector<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct SecretKeySelector<'a> {
    pub name: Text<'a>,
    pub key: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct EnvFromSource<'a> {
    pub secret_ref: Option<Object<SecretEnvSource<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct SecretEnvSource<'a> {
    pub name: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct VolumeMount<'a> {
    pub name: Name<'a>,
    pub mount_path: Text<'a>,
    pub sub_path: Text<'a>,
    pub sub_path_expr: Text<'a>,
    pub read_only: Option<bool>,
}

/// A volume and its source.
#[derive(Debug, Default)]
pub struct Volume<'a> {
    pub name: Name<'a>,
    pub projected: Boxed<ProjectedVolumeSource<'a>>,
    pub secret: Boxed<SecretVolumeSource<'a>>,
    pub config_map: Boxed<ConfigMapVolumeSource<'a>>,
    pub downward_api: Boxed<DownwardAPIVolumeSource>,
    /// Any source that isn't one of these or one that no fsGroup reaches, with its name: one of those
    /// that are known today, or one of tomorrow.
    pub other_source: Option<(Borrowed<'a>, OtherVolumeSource)>,
}

impl<'a> Volume<'a> {
    /// What a projected volume brings together; nothing for another volume.
    pub fn projections(&self) -> impl Iterator<Item = &VolumeProjection<'a>> {
        let projected = self.projected.iter();
        projected
            .flat_map(|projected| projected.sources.iter())
            .map(|source| &source.0)
    }

    /// The tokens of a projected volume.
    pub fn tokens(&self) -> impl Iterator<Item = &ServiceAccountTokenProjection<'a>> {
        let tokens = self
            .projections()
            .filter_map(|source| source.service_account_token.as_ref());
        tokens.map(|token| &token.0)
    }

    /// The mode of a projected volume's files that have none of their own, as tokens never have.
    pub fn projected_mode(&self) -> i32 {
        let projected = self.projected.as_ref();
        let mode = projected.and_then(|projected| projected.default_mode);
        mode.unwrap_or(DEFAULT_MODE)
    }
}

/// Decodes a volume: serde's derive has no field for what has any name.
struct VolumeVisitor;

impl<'de> Visitor<'de> for VolumeVisitor {
    type Value = Volume<'de>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a volume")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Volume<'de>, A::Error> {
        let mut volume = Volume::default();
        while let Some(name) = map.next_key::<Borrowed>()? {
            match &*name {
                "name" => volume.name = map.next_value()?,
                "projected" => volume.projected = map.next_value()?,
                "secret" => volume.secret = map.next_value()?,
                "configMap" => volume.config_map = map.next_value()?,
                "downwardAPI" => volume.downward_api = map.next_value()?,
                "emptyDir" | "gitRepo" | "hostPath" | "image" | "nfs" => {
                    map.next_value::<IgnoredAny>()?;
                }
                _ => {
                    let source: Option<Object<OtherVolumeSource>> = map.next_value()?;
                    let other_source = source.map(|Object(source)| (name, source));
                    volume.other_source = other_source.or(volume.other_source);
                }
            }
        }
        Ok(volume)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Volume<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(VolumeVisitor)
    }
}

/// The source of a volume whose files outlive a container: a claim, a CSI volume, a disk, or what a
/// later Kubernetes has.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OtherVolumeSource {
    pub read_only: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct SecretVolumeSource<'a> {
    pub secret_name: Text<'a>,
    pub items: List<KeyToPath<'a>>,
    pub default_mode: Option<i32>,
    pub optional: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct ConfigMapVolumeSource<'a> {
    pub items: List<KeyToPath<'a>>,
    pub default_mode: Option<i32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DownwardAPIVolumeSource {
    pub items: List<DownwardAPIVolumeFile>,
    pub default_mode: Option<i32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct ProjectedVolumeSource<'a> {
    pub sources: List<VolumeProjection<'a>>,
    pub default_mode: Option<i32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct VolumeProjection<'a> {
    pub service_account_token: Option<Object<ServiceAccountTokenProjection<'a>>>,
    pub secret: Option<Object<SecretProjection<'a>>>,
    pub config_map: Option<Object<ConfigMapProjection<'a>>>,
    #[serde(rename = "downwardAPI")]
    pub downward_api: Option<Object<DownwardAPIProjection>>,
    pub pod_certificate: Option<IgnoredAny>,
    pub cluster_trust_bundle: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct ServiceAccountTokenProjection<'a> {
    pub audience: Text<'a>,
    /// Seconds; 3600 when absent.
    pub expiration_seconds: Option<i64>,
    pub path: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct SecretProjection<'a> {
    pub name: Text<'a>,
    pub items: List<KeyToPath<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct ConfigMapProjection<'a> {
    pub items: List<KeyToPath<'a>>,
}

#[derive(Debug, Default, Deserialize)]
pub struct DownwardAPIProjection {
    pub items: List<DownwardAPIVolumeFile>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct KeyToPath<'a> {
    pub key: Text<'a>,
    pub path: Text<'a>,
    pub mode: Option<i32>,
}

#[derive(Debug, Default, Deserialize)]
pub struct DownwardAPIVolumeFile {
    pub mode: Option<i32>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::{apps, authentication, batch, core, storage};
    use serde_aux::prelude::serde_introspect;
    use std::collections::BTreeSet;

    /// The fields of a view that the type of Kubernetes hasn't.
    fn unknown<'de, View: Deserialize<'de>, Type: Deserialize<'de>>() -> Vec<&'static str> {
        let known = serde_introspect::<Type>();
        let fields = serde_introspect::<View>().iter();
        assert!(
            !serde_introspect::<View>().is_empty(),
            "a view without fields"
        );
        fields
            .filter(|field| !known.contains(field))
            .copied()
            .collect()
    }

    #[test]
    fn names_are_cut() {
        for (written, read) in [("n", 1), (&"n".repeat(253), 253), (&"n".repeat(254), 253)] {
            let json = serde_json::to_string(written).unwrap();
            let name: Name = serde_json::from_str(&json).unwrap();
            assert_eq!(name.len(), read, "{}", written.len());
        }
        let json = format!("\"{}é\"", "n".repeat(252));
        let name: Name = serde_json::from_str(&json).unwrap();
        assert_eq!(name.len(), 252, "no half of a character");
        let json = format!("\"\\u006e{}\"", "n".repeat(300));
        let name: Name = serde_json::from_str(&json).unwrap();
        assert_eq!(name.len(), 253, "with an escape");
    }

    #[test]
    fn fields_have_kubernetes_names() {
        use k8s_openapi::apimachinery::pkg::apis::meta;
        for (name, unknown) in [
            ("ObjectMeta", unknown::<ObjectMeta, meta::v1::ObjectMeta>()),
            ("Pod", unknown::<Pod, core::v1::Pod>()),
            ("PodSpec", unknown::<PodSpec, core::v1::PodSpec>()),
            (
                "PodTemplate",
                unknown::<PodTemplate, core::v1::PodTemplate>(),
            ),
            (
                "PodTemplateSpec",
                unknown::<PodTemplateSpec, core::v1::PodTemplateSpec>(),
            ),
            ("Deployment", unknown::<Deployment, apps::v1::Deployment>()),
            (
                "DeploymentSpec",
                unknown::<DeploymentSpec, apps::v1::DeploymentSpec>(),
            ),
            ("DaemonSet", unknown::<Deployment, apps::v1::DaemonSet>()),
            (
                "DaemonSetSpec",
                unknown::<DeploymentSpec, apps::v1::DaemonSetSpec>(),
            ),
            ("ReplicaSet", unknown::<Deployment, apps::v1::ReplicaSet>()),
            (
                "ReplicaSetSpec",
                unknown::<DeploymentSpec, apps::v1::ReplicaSetSpec>(),
            ),
            (
                "ReplicationController",
                unknown::<Deployment, core::v1::ReplicationController>(),
            ),
            (
                "ReplicationControllerSpec",
                unknown::<DeploymentSpec, core::v1::ReplicationControllerSpec>(),
            ),
            ("Job", unknown::<Deployment, batch::v1::Job>()),
            (
                "StatefulSet",
                unknown::<StatefulSet, apps::v1::StatefulSet>(),
            ),
            (
                "StatefulSetSpec",
                unknown::<StatefulSetSpec, apps::v1::StatefulSetSpec>(),
            ),
            ("JobSpec", unknown::<JobSpec, batch::v1::JobSpec>()),
            ("CronJob", unknown::<CronJob, batch::v1::CronJob>()),
            (
                "CronJobSpec",
                unknown::<CronJobSpec, batch::v1::CronJobSpec>(),
            ),
            (
                "JobTemplateSpec",
                unknown::<JobTemplateSpec, batch::v1::JobTemplateSpec>(),
            ),
            (
                "TokenRequest",
                unknown::<TokenRequest, authentication::v1::TokenRequest>(),
            ),
            (
                "TokenRequestSpec",
                unknown::<TokenRequestSpec, authentication::v1::TokenRequestSpec>(),
            ),
            (
                "BoundObjectReference",
                unknown::<BoundObjectReference, authentication::v1::BoundObjectReference>(),
            ),
            ("Secret", unknown::<Secret, core::v1::Secret>()),
            ("CSIDriver", unknown::<CSIDriver, storage::v1::CSIDriver>()),
            (
                "CSIDriverSpec",
                unknown::<CSIDriverSpec, storage::v1::CSIDriverSpec>(),
            ),
            (
                "CSIDriverTokenRequest",
                unknown::<CSIDriverTokenRequest, storage::v1::TokenRequest>(),
            ),
        ] {
            assert!(unknown.is_empty(), "{name}: {unknown:?}");
        }
    }

    #[test]
    fn fields_of_pods_have_kubernetes_names() {
        use core::v1 as api;
        for (name, unknown) in [
            (
                "PersistentVolumeClaim",
                unknown::<PersistentVolumeClaim, api::PersistentVolumeClaim>(),
            ),
            (
                "PersistentVolumeClaimSpec",
                unknown::<PersistentVolumeClaimSpec, api::PersistentVolumeClaimSpec>(),
            ),
            ("PodOS", unknown::<PodOS, api::PodOS>()),
            ("Affinity", unknown::<Affinity, api::Affinity>()),
            ("NodeAffinity", unknown::<NodeAffinity, api::NodeAffinity>()),
            ("NodeSelector", unknown::<NodeSelector, api::NodeSelector>()),
            (
                "NodeSelectorTerm",
                unknown::<NodeSelectorTerm, api::NodeSelectorTerm>(),
            ),
            (
                "NodeSelectorRequirement",
                unknown::<NodeSelectorRequirement, api::NodeSelectorRequirement>(),
            ),
            (
                "PodSecurityContext",
                unknown::<PodSecurityContext, api::PodSecurityContext>(),
            ),
            (
                "SecurityContext",
                unknown::<SecurityContext, api::SecurityContext>(),
            ),
            ("Capabilities", unknown::<Capabilities, api::Capabilities>()),
            ("Container", unknown::<Container, api::Container>()),
            (
                "EphemeralContainer",
                unknown::<EphemeralContainer, api::EphemeralContainer>(),
            ),
            ("EnvVar", unknown::<EnvVar, api::EnvVar>()),
            ("EnvVarSource", unknown::<EnvVarSource, api::EnvVarSource>()),
            (
                "SecretKeySelector",
                unknown::<SecretKeySelector, api::SecretKeySelector>(),
            ),
            (
                "EnvFromSource",
                unknown::<EnvFromSource, api::EnvFromSource>(),
            ),
            (
                "SecretEnvSource",
                unknown::<SecretEnvSource, api::SecretEnvSource>(),
            ),
            ("VolumeMount", unknown::<VolumeMount, api::VolumeMount>()),
            (
                "OtherVolumeSource",
                unknown::<OtherVolumeSource, api::CSIVolumeSource>(),
            ),
            (
                "SecretVolumeSource",
                unknown::<SecretVolumeSource, api::SecretVolumeSource>(),
            ),
            (
                "ConfigMapVolumeSource",
                unknown::<ConfigMapVolumeSource, api::ConfigMapVolumeSource>(),
            ),
            (
                "DownwardAPIVolumeSource",
                unknown::<DownwardAPIVolumeSource, api::DownwardAPIVolumeSource>(),
            ),
            (
                "ProjectedVolumeSource",
                unknown::<ProjectedVolumeSource, api::ProjectedVolumeSource>(),
            ),
            (
                "VolumeProjection",
                unknown::<VolumeProjection, api::VolumeProjection>(),
            ),
            (
                "ServiceAccountTokenProjection",
                unknown::<ServiceAccountTokenProjection, api::ServiceAccountTokenProjection>(),
            ),
            (
                "SecretProjection",
                unknown::<SecretProjection, api::SecretProjection>(),
            ),
            (
                "ConfigMapProjection",
                unknown::<ConfigMapProjection, api::ConfigMapProjection>(),
            ),
            (
                "DownwardAPIProjection",
                unknown::<DownwardAPIProjection, api::DownwardAPIProjection>(),
            ),
            ("KeyToPath", unknown::<KeyToPath, api::KeyToPath>()),
            (
                "DownwardAPIVolumeFile",
                unknown::<DownwardAPIVolumeFile, api::DownwardAPIVolumeFile>(),
            ),
        ] {
            assert!(unknown.is_empty(), "{name}: {unknown:?}");
        }
    }

    /// serde doesn't tell the names of a struct with other fields beside its own.
    #[test]
    fn sources_of_volumes_have_kubernetes_names() {
        let left_alone = [
            "configMap",
            "downwardAPI",
            "emptyDir",
            "gitRepo",
            "hostPath",
            "image",
            "nfs",
            "projected",
            "secret",
        ];
        let known = serde_introspect::<core::v1::Volume>().iter().copied();
        let known: BTreeSet<_> = known.filter(|name| *name != "name").collect();
        assert!(
            left_alone.iter().all(|name| known.contains(name)),
            "{known:?}"
        );
        for source in known {
            let json = format!(r#"{{"name":"v","{source}":{{}}}}"#);
            let Object(volume): Object<Volume> = serde_json::from_str(&json).unwrap();
            let is_other = volume
                .other_source
                .is_some_and(|(name, _)| *name == *source);
            assert_eq!(is_other, !left_alone.contains(&source), "{source}");
        }
    }
}
