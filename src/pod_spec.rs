//! The borrowed view of a Pod: the members that the rules read, and no others.
//!
//! The names are those of `k8s.io/api/core/v1`; a test compares them with k8s-openapi's types.

use crate::json::{Editable, Int, Lazy, List, Read, Text, view};
use crate::reader::{Error, Reader};
use std::borrow::Cow;

/// Volumes that outlive the Pod, or may: claims, CSI volumes, and the disk and network types
/// from before CSI. Setting `fsGroup` changes group and mode of every file on those that support
/// it (`pkg/volume/volume_linux.go`, `SetVolumeOwnership`).
pub(crate) const PERSISTENT: [&str; 21] = [
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "csi",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "glusterfs",
    "iscsi",
    "nfs",
    "persistentVolumeClaim",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
    "vsphereVolume",
];

view! {
    /// `v1 Pod`, and `PodTemplateSpec`, which is a Pod without a status
    Pod<'a> {
        /// The name, the annotations.
        "metadata" => metadata: Read<Metadata<'a>>,
        /// What the rules are about.
        "spec" => spec: Editable<'a, PodSpec<'a>>,
    }
}

impl Pod<'_> {
    /// The service account that it runs as; `None` when that can't be read.
    pub fn service_account(&self) -> Option<&str> {
        let spec = self.spec.get()?;
        for name in [&spec.service_account_name, &spec.service_account] {
            match name {
                Read::Is(name) if !name.is_empty() => return Some(name),
                Read::Wrong(_) => return None,
                Read::Is(_) | Read::Absent => {}
            }
        }
        Some("default")
    }

    /// The annotation under a key.
    pub fn annotation(&self, key: &str) -> Option<String> {
        self.metadata.get()?.annotation(key)
    }

    /// True for the kubelet's mirrors of its static Pods. They can hold no token: the API server
    /// refuses it (`plugin/pkg/admission/serviceaccount`, `Validate`).
    pub fn is_mirror(&self) -> bool {
        self.annotation("kubernetes.io/config.mirror").is_some()
    }
}

view! {
    /// `ObjectMeta`
    Metadata<'a> {
        /// Read only when somebody asks for one.
        "annotations" => annotations: Lazy<'a>,
    }
}

impl Metadata<'_> {
    /// The annotation under a key.
    pub fn annotation(&self, key: &str) -> Option<String> {
        self.annotations.text_at(key)
    }
}

view! {
    /// `PodSpec`
    PodSpec<'a> {
        /// The volumes of the Pod.
        "volumes" => volumes: List<Volume<'a>>,
        /// The main containers.
        "containers" => containers: List<Container<'a>>,
        /// The init containers, sidecars among them.
        "initContainers" => init_containers: List<Container<'a>>,
        /// The debug containers, which share what the Pod has.
        "ephemeralContainers" => ephemeral_containers: List<Container<'a>>,
        /// The Pod's security context.
        "securityContext" => security_context: Editable<'a, PodSecurityContext<'a>>,
        /// The operating system that the Pod is for.
        "os" => os: Read<PodOs<'a>>,
        /// The service account that the Pod runs as.
        "serviceAccountName" => service_account_name: Text<'a>,
        /// The same under its old name, which counts when the other is empty
        /// (`pkg/apis/core/v1/conversion.go`).
        "serviceAccount" => service_account: Text<'a>,
    }
}

impl<'a> PodSpec<'a> {
    /// The lists of containers with their names.
    pub fn container_lists(&self) -> [(&'static str, &List<Container<'a>>); 3] {
        [
            ("containers", &self.containers),
            ("initContainers", &self.init_containers),
            ("ephemeralContainers", &self.ephemeral_containers),
        ]
    }

    /// All containers that can reach the Pod's volumes.
    pub fn all_containers(&self) -> Vec<&Container<'a>> {
        let mut all = Vec::new();
        for (_, list) in self.container_lists() {
            for (_, container) in list.elements() {
                all.push(container);
            }
        }
        all
    }

    /// True for Pods that must not set any of Linux' security settings.
    pub fn is_windows(&self) -> bool {
        self.os.get().is_some_and(|os| os.name.or_empty() == "windows")
    }
}

view! {
    /// `PodOS`
    PodOs<'a> {
        /// `linux` or `windows`.
        "name" => name: Text<'a>,
    }
}

view! {
    /// `PodSecurityContext`
    PodSecurityContext<'a> {
        /// The group that owns the token files.
        "fsGroup" => fs_group: Int<'a>,
        /// `Always` or `OnRootMismatch`.
        "fsGroupChangePolicy" => fs_group_change_policy: Editable<'a, Cow<'a, str>>,
        /// The group that containers run as unless they say otherwise.
        "runAsGroup" => run_as_group: Int<'a>,
    }
}

view! {
    /// `Container` and `EphemeralContainer`
    Container<'a> {
        /// Its name, unique in the Pod.
        "name" => name: Text<'a>,
        /// The variables that it gets one by one.
        "env" => env: List<EnvVar<'a>>,
        /// The variables that it gets by the set.
        "envFrom" => env_from: List<EnvFromSource<'a>>,
        /// Where it sees which volume.
        "volumeMounts" => volume_mounts: List<VolumeMount<'a>>,
        /// The container's own security context.
        "securityContext" => security_context: Read<SecurityContext<'a>>,
    }
}

view! {
    /// `EnvVar`
    EnvVar<'a> {
        /// Where the value comes from.
        "valueFrom" => value_from: Read<EnvVarSource<'a>>,
    }
}

view! {
    /// `EnvVarSource`
    EnvVarSource<'a> {
        /// One key of a Secret.
        "secretKeyRef" => secret_key_ref: Read<SecretRef<'a>>,
    }
}

view! {
    /// `EnvFromSource`
    EnvFromSource<'a> {
        /// All keys of a Secret.
        "secretRef" => secret_ref: Read<SecretRef<'a>>,
    }
}

view! {
    /// `SecretKeySelector`, `SecretEnvSource` and `SecretProjection`: a Secret by its name
    SecretRef<'a> {
        /// The Secret's name.
        "name" => name: Text<'a>,
    }
}

view! {
    /// `VolumeMount`
    VolumeMount<'a> {
        /// The volume's name.
        "name" => name: Text<'a>,
        /// Where the container sees it.
        "mountPath" => mount_path: Text<'a>,
    }
}

view! {
    /// `SecurityContext`
    SecurityContext<'a> {
        /// The group that the container runs as.
        "runAsGroup" => run_as_group: Int<'a>,
    }
}

view! {
    /// `Volume`
    Volume<'a> {
        /// The volume's name.
        "name" => name: Text<'a>,
        /// Several sources in one folder, tokens among them.
        "projected" => projected: Read<ProjectedVolumeSource<'a>>,
        /// A Secret's keys as files.
        "secret" => secret: Editable<'a, SecretVolumeSource<'a>>,
        .. => read_source,
        /// The name of the source when the volume may outlive the Pod.
        persistent: Option<&'static str>,
    }
}

impl<'a> Volume<'a> {
    /// The projected tokens with the index of their source.
    pub fn tokens(&self) -> impl Iterator<Item = (usize, &TokenProjection<'a>)> {
        let sources = self.projected.get().map(|projected| projected.sources.elements());
        let tokens = sources.into_iter().flatten().map(|(i, s)| (i, &s.service_account_token));
        tokens.filter(|(_, token)| token.get().is_some())
    }

    fn read_source(&mut self, key: &str, reader: &mut Reader<'a>) -> Result<(), Error> {
        if reader.raw()? != "null"
            && let Some(source) = PERSISTENT.iter().find(|source| **source == key)
        {
            self.persistent = Some(source);
        }
        Ok(())
    }
}

view! {
    /// `SecretVolumeSource`
    SecretVolumeSource<'a> {
        /// The Secret's name.
        "secretName" => secret_name: Text<'a>,
        /// The keys that become files, when not all do.
        "items" => items: List<KeyToPath<'a>>,
        /// The mode of the files; 420, which is 0644, when absent.
        "defaultMode" => default_mode: Int<'a>,
    }
}

view! {
    /// `KeyToPath`
    KeyToPath<'a> {
        /// The key.
        "key" => key: Text<'a>,
        /// The file, from the volume's root.
        "path" => path: Text<'a>,
        /// The file's own mode.
        "mode" => mode: Int<'a>,
    }
}

view! {
    /// `ProjectedVolumeSource`
    ProjectedVolumeSource<'a> {
        /// What the folder is made of.
        "sources" => sources: List<VolumeProjection<'a>>,
    }
}

view! {
    /// `VolumeProjection`
    VolumeProjection<'a> {
        /// A token that the kubelet asks for and renews.
        "serviceAccountToken" => service_account_token: TokenProjection<'a>,
        /// A Secret's keys as files.
        "secret" => secret: Read<SecretRef<'a>>,
    }
}

/// A projected token, with its text for a fix.
pub type TokenProjection<'a> = Editable<'a, ServiceAccountTokenProjection<'a>>;

view! {
    /// `ServiceAccountTokenProjection`
    ServiceAccountTokenProjection<'a> {
        /// Whom the token is for; the API server when absent or empty.
        "audience" => audience: Text<'a>,
        /// Seconds; 3600 when absent.
        "expirationSeconds" => expiration_seconds: Int<'a>,
    }
}
