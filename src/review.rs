//! What a rule sees: the tokens that are asked for, the Secrets that are referred to, volumes and
//! their mounts, each with its path; the same for a Pod, a template, a TokenRequest, a CSIDriver.

use crate::decode::Object;
use crate::field_path::FieldPath;
use crate::kubelet::containers::ContainerFacts;
use crate::kubelet::mounts::{Mount, Mounts, TOKEN_FOLDER, TokenPlaces, mounts_never_updated};
use crate::kubelet::users::common_user;
use crate::objects::{
    CSIDriver, KeyToPath, PersistentVolumeClaim, PodSpec, SecretProjection, SecretVolumeSource,
    ServiceAccountTokenProjection, TokenRequestSpec, Volume, VolumeMount,
};
use crate::request::{AdmissionRequest, Subject, UserInfo, required};
use crate::settings::EXTENDED_LIFETIME;
use std::collections::{BTreeMap, BTreeSet};

/// What the name of the volume begins with that the API server injects.
pub const INJECTED_VOLUME: &str = "kube-api-access-";

pub struct Review<'r> {
    pub subject: &'r Subject<'r>,
    pub request: &'r AdmissionRequest<'r>,
    /// The service account that the request is about; empty for none.
    pub service_account: &'r str,
    /// The Pod, or the template; `None` when only some containers of a Pod count.
    pub pod: Option<PodReview<'r>>,
    pub ephemeral: Option<EphemeralReview<'r>>,
    pub tokens: Vec<RequestedToken<'r>>,
    pub secrets: Vec<SecretReference<'r>>,
}

pub struct PodReview<'r> {
    pub spec: &'r PodSpec<'r>,
    pub path: FieldPath,
    pub containers: Vec<ContainerFacts<'r>>,
    pub mounts: Mounts<'r>,
    /// The user that all containers set, if they set one.
    pub common_user: Option<i64>,
    /// The claims of a StatefulSet, each of which adds a volume to each of its Pods.
    pub claims: &'r [Object<PersistentVolumeClaim<'r>>],
    /// True for a template whose Pods get a token injected, unless the account says otherwise.
    pub injects_token: bool,
}

/// New ephemeral containers in a Pod.
pub struct EphemeralReview<'r> {
    /// The Pod as it is.
    pub pod: &'r PodSpec<'r>,
    pub containers: Vec<ContainerFacts<'r>>,
}

/// Where a token is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenSource<'r> {
    /// A volume with this name.
    Volume(&'r str),
    /// The volume that the API server will inject into the Pods of a template.
    Injected,
    TokenRequest,
    CSIDriver,
}

#[derive(Debug)]
pub struct RequestedToken<'r> {
    /// The object with `expirationSeconds`.
    pub path: FieldPath,
    pub source: TokenSource<'r>,
    /// Whom the token is for; the API server when there is none.
    pub audiences: Vec<&'r str>,
    /// Seconds; `None` for the API server's default of 3600.
    pub expiration_seconds: Option<i64>,
    /// True for a token that ends with a Pod. Only such a token is extended
    /// (`pkg/registry/core/serviceaccount/storage/token.go`, `Create`).
    pub is_bound_to_pod: bool,
    /// True for what an author or a client wrote, not the API server or a kubelet.
    pub is_authored: bool,
}

impl<'r> RequestedToken<'r> {
    /// The token that a TokenRequest of this user asks for.
    pub fn of_token_request(spec: &'r TokenRequestSpec<'r>, user_info: &UserInfo) -> Self {
        let is_node = user_info.is_node();
        let mut audiences: Vec<_> = spec.audiences.iter().map(|audience| &**audience).collect();
        // A node may name one audience at most (`plugin/pkg/admission/noderestriction`): more of them
        // are the API server's own, which it wrote into an empty list
        // (`pkg/registry/core/serviceaccount/storage/token.go`, `Create`).
        if is_node && audiences.len() > 1 {
            audiences.clear();
        }
        Self {
            path: FieldPath::new(&["spec"]),
            source: TokenSource::TokenRequest,
            audiences,
            expiration_seconds: spec.expiration_seconds,
            is_bound_to_pod: &*spec.bound_object_ref.kind == "Pod",
            is_authored: !is_node,
        }
    }
}

/// What a reference does with a Secret.
#[derive(Clone, Copy)]
pub enum SecretUse<'r> {
    Volume(&'r Volume<'r>, &'r SecretVolumeSource<'r>),
    Projection(&'r SecretProjection<'r>),
    /// One key as a variable, or all of them.
    Environment {
        key: Option<&'r str>,
    },
}

impl SecretUse<'_> {
    /// True when the key with which Kubernetes keeps a token is shown.
    pub fn shows_token_key(self) -> bool {
        let items = match self {
            Self::Volume(_, source) => &source.items,
            Self::Projection(source) => &source.items,
            Self::Environment { key } => return key.is_none_or(|key| key == "token"),
        };
        items.is_empty() || items.iter().any(|item| &*item.key == "token")
    }
}

pub struct SecretReference<'r> {
    pub path: FieldPath,
    pub name: &'r str,
    pub used: SecretUse<'r>,
    /// True when a container sees a file of the Secret where clients look for a token.
    pub is_seen_as_token: bool,
    /// True when a container would never see a renewed token in its place.
    pub is_never_updated: bool,
}

/// The most tokens that a CSI driver may ask for; with more of them none is judged. Known drivers ask
/// for a few.
pub const MOST_TOKEN_REQUESTS: usize = 100;

impl<'r> Review<'r> {
    /// Lists what there is to see; or says which field is missing without which there is nothing.
    pub fn new(
        subject: &'r Subject<'r>,
        request: &'r AdmissionRequest<'r>,
        service_account: &'r str,
    ) -> Result<Self, String> {
        let mut review = Self {
            subject,
            request,
            service_account,
            pod: None,
            ephemeral: None,
            tokens: Vec::new(),
            secrets: Vec::new(),
        };
        let spec_path = FieldPath::new(subject.pod_path()).child("spec");
        let missing_spec = || required(&spec_path.to_string());
        match subject {
            Subject::Secret { .. } => {}
            Subject::CSIDriver(driver) => review.add_csi_driver(driver, &spec_path),
            Subject::TokenRequest(token_request) => {
                let spec = token_request.spec.as_ref().ok_or_else(missing_spec)?;
                let token = RequestedToken::of_token_request(spec, &request.user_info);
                review.tokens.push(token);
            }
            Subject::Pod(_) => {
                let spec = subject.pod_spec().ok_or_else(missing_spec)?;
                review.add_pod(spec, spec_path, &[]);
            }
            Subject::Template { claims, .. } => {
                let spec = subject.pod_spec().ok_or_else(missing_spec)?;
                review.add_pod(spec, spec_path, claims);
            }
            Subject::EphemeralContainers { new, old } => {
                let new = &new.spec.as_ref().ok_or_else(missing_spec)?.0;
                let old = old.as_ref().and_then(|old| old.spec.as_ref());
                review.add_ephemeral_containers(new, old.map(|old| &old.0), &spec_path);
            }
        }
        Ok(review)
    }

    /// True for what isn't a Pod yet.
    pub fn is_template(&self) -> bool {
        matches!(self.subject, Subject::Template { .. })
    }

    fn add_csi_driver(&mut self, driver: &'r CSIDriver<'r>, spec_path: &FieldPath) {
        if driver.spec.token_requests.len() > MOST_TOKEN_REQUESTS {
            return;
        }
        for (i, token) in driver.spec.token_requests.iter().enumerate() {
            self.tokens.push(RequestedToken {
                path: spec_path.element("tokenRequests", i),
                source: TokenSource::CSIDriver,
                audiences: named_audience(&token.audience),
                expiration_seconds: token.expiration_seconds,
                // The kubelet asks for it as for a token in a volume
                // (`pkg/volume/csi/csi_plugin.go`, `podServiceAccountTokenAttrs`).
                is_bound_to_pod: true,
                is_authored: true,
            });
        }
    }

    fn add_pod(
        &mut self,
        spec: &'r PodSpec<'r>,
        path: FieldPath,
        claims: &'r [Object<PersistentVolumeClaim<'r>>],
    ) {
        let containers = ContainerFacts::of_all(spec);
        let mounts = Mounts::new(&containers);
        for (i, volume) in spec.volumes.iter().enumerate() {
            self.add_tokens_of_volume(volume, &path.element("volumes", i));
        }
        let mut views = SecretViews::new(&spec.volumes);
        for (i, volume) in spec.volumes.iter().enumerate() {
            self.add_secrets_of_volume(volume, &path.element("volumes", i), &mut views, &mounts);
        }
        for container in &containers {
            self.add_environment(container, &container.path(&path));
        }
        let injects_token = self.is_template() && gets_token_injected(spec);
        if injects_token {
            self.tokens.push(RequestedToken {
                path: path.child("automountServiceAccountToken"),
                source: TokenSource::Injected,
                audiences: Vec::new(),
                expiration_seconds: Some(EXTENDED_LIFETIME),
                is_bound_to_pod: true,
                is_authored: false,
            });
        }
        self.pod = Some(PodReview {
            spec,
            path,
            containers,
            mounts,
            common_user: common_user(spec),
            claims,
            injects_token,
        });
    }

    fn add_tokens_of_volume(&mut self, volume: &'r Volume<'r>, path: &FieldPath) {
        for (i, source) in volume.projections().enumerate() {
            if let Some(token) = &source.service_account_token {
                let path = path.child("projected").element("sources", i);
                self.tokens.push(RequestedToken {
                    path: path.child("serviceAccountToken"),
                    source: TokenSource::Volume(&volume.name),
                    audiences: named_audience(&token.audience),
                    expiration_seconds: token.expiration_seconds,
                    is_bound_to_pod: true,
                    is_authored: !is_injected(volume, token),
                });
            }
        }
    }

    fn add_secrets_of_volume(
        &mut self,
        volume: &'r Volume<'r>,
        path: &FieldPath,
        views: &mut SecretViews<'r>,
        mounts: &Mounts<'r>,
    ) {
        if let Some(source) = &volume.secret {
            let path = path.child("secret").child("secretName");
            let used = SecretUse::Volume(volume, source);
            let view = views.of(volume, mounts);
            self.secrets
                .push(view.reference(path, &source.secret_name, used, &source.items));
        }
        for (i, source) in volume.projections().enumerate() {
            let Some(source) = &source.secret else {
                continue;
            };
            let path = path.child("projected").element("sources", i);
            let path = path.child("secret").child("name");
            let used = SecretUse::Projection(source);
            let view = views.of(volume, mounts);
            self.secrets
                .push(view.reference(path, &source.name, used, &source.items));
        }
    }

    fn add_environment(&mut self, container: &ContainerFacts<'r>, path: &FieldPath) {
        for (i, variable) in container.container.env.iter().enumerate() {
            let source = variable.value_from.as_ref();
            let Some(secret) = source.and_then(|source| source.secret_key_ref.as_ref()) else {
                continue;
            };
            let path = path
                .element("env", i)
                .child("valueFrom")
                .child("secretKeyRef");
            let key = Some(&*secret.key);
            self.add_environment_secret(path.child("name"), &secret.name, key);
        }
        for (i, source) in container.container.env_from.iter().enumerate() {
            if let Some(secret) = &source.secret_ref {
                let path = path.element("envFrom", i).child("secretRef");
                self.add_environment_secret(path.child("name"), &secret.name, None);
            }
        }
    }

    fn add_environment_secret(&mut self, path: FieldPath, name: &'r str, key: Option<&'r str>) {
        self.secrets.push(SecretReference {
            path,
            name,
            used: SecretUse::Environment { key },
            is_seen_as_token: false,
            is_never_updated: false,
        });
    }

    /// Only containers that the Pod doesn't have yet count: the others can't change any more. They
    /// may be the first to mount a volume of the Pod.
    fn add_ephemeral_containers(
        &mut self,
        new: &'r PodSpec<'r>,
        old: Option<&'r PodSpec<'r>>,
        path: &FieldPath,
    ) {
        let pod = old.unwrap_or(new);
        let before = old
            .into_iter()
            .flat_map(|old| old.ephemeral_containers.iter());
        let mut names_before = BTreeSet::new();
        names_before.extend(before.map(|container| &*container.name));
        let mut containers = Vec::new();
        for (i, container) in new.ephemeral_containers.iter().enumerate() {
            if !names_before.contains(&*container.name) {
                let list = "ephemeralContainers";
                containers.push(ContainerFacts::new(pod, list, i, container));
            }
        }
        for container in &containers {
            self.add_environment(container, &container.path(path));
        }
        let mounts = Mounts::new(&containers);
        let mut views = SecretViews::new(&pod.volumes);
        for volume in pod.volumes.iter() {
            let Some(mount) = mounts.of(&volume.name).first() else {
                continue;
            };
            let first = self.secrets.len();
            self.add_secrets_of_volume(volume, path, &mut views, &mounts);
            // The volume can't change; the mount is what the client wrote.
            for secret in &mut self.secrets[first..] {
                secret.path = mount.path(path);
            }
        }
        self.ephemeral = Some(EphemeralReview { pod, containers });
    }
}

impl<'r> PodReview<'r> {
    /// The mounts of a volume.
    pub fn mounts_of(&self, volume: &str) -> &[Mount<'r>] {
        self.mounts.of(volume)
    }
}

/// What containers see of the Secrets in volumes, found once for each name of a volume.
struct SecretViews<'r> {
    /// The files that hold the token, if the Secret is one of a token.
    token_files: BTreeMap<&'r str, Vec<&'r str>>,
    views: BTreeMap<&'r str, SecretView>,
}

#[derive(Default)]
struct SecretView {
    places: TokenPlaces,
    is_never_updated: bool,
}

impl<'r> SecretViews<'r> {
    fn new(volumes: &'r [Object<Volume<'r>>]) -> Self {
        let mut token_files: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for volume in volumes {
            let Some(secret) = &volume.secret else {
                continue;
            };
            let files = token_files.entry(&*volume.name).or_default();
            if secret.items.is_empty() {
                files.push("token");
            }
            let tokens = secret.items.iter().filter(|item| &*item.key == "token");
            files.extend(tokens.map(|item| &*item.path));
        }
        Self {
            token_files,
            views: BTreeMap::new(),
        }
    }

    fn of(&mut self, volume: &'r Volume<'r>, mounts: &Mounts) -> &SecretView {
        let name = &*volume.name;
        self.views.entry(name).or_insert_with(|| {
            let mounts = mounts.of(name);
            let files = self.token_files.get(name).map_or(&[][..], Vec::as_slice);
            SecretView {
                places: TokenPlaces::new(mounts),
                is_never_updated: !mounts_never_updated(mounts, files).is_empty(),
            }
        })
    }
}

impl SecretView {
    fn reference<'r>(
        &self,
        path: FieldPath,
        name: &'r str,
        used: SecretUse<'r>,
        items: &[Object<KeyToPath>],
    ) -> SecretReference<'r> {
        SecretReference {
            path,
            name,
            used,
            is_seen_as_token: self.places.show_token(items),
            is_never_updated: self.is_never_updated,
        }
    }
}

fn named_audience(audience: &str) -> Vec<&str> {
    let audience = Some(audience).filter(|audience| !audience.is_empty());
    Vec::from_iter(audience)
}

/// True for the token that the API server asks for in a Pod
/// (`plugin/pkg/admission/serviceaccount`, `TokenVolumeSource`).
fn is_injected(volume: &Volume, token: &ServiceAccountTokenProjection) -> bool {
    volume.name.starts_with(INJECTED_VOLUME)
        && token.expiration_seconds == Some(EXTENDED_LIFETIME)
        && token.audience.is_empty()
}

/// True for a template whose Pods get the API server's token, unless their account says otherwise:
/// it mounts its own volume where no volume is mounted yet, and takes one with such a name for its
/// own (`plugin/pkg/admission/serviceaccount`, `mountServiceAccountToken`).
fn gets_token_injected(spec: &PodSpec) -> bool {
    let is_at_token = |mount: &Object<VolumeMount>| &*mount.mount_path == TOKEN_FOLDER;
    let mut containers = spec.containers.iter().chain(&*spec.init_containers);
    let mut volumes = spec.volumes.iter();
    spec.automount_service_account_token != Some(false)
        && containers.any(|container| !container.volume_mounts.iter().any(is_at_token))
        && !volumes.any(|volume| volume.name.starts_with(INJECTED_VOLUME))
}
