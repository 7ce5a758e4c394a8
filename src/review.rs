//! What a rule sees: the tokens that are asked for, the Secrets that are referred to, volumes and
//! their mounts, each with its path; the same for a Pod, a template, a TokenRequest, a CSIDriver.

use crate::decode::{Object, Text};
use crate::field_path::FieldPath;
use crate::mount::TOKEN_FOLDER;
use crate::objects::{
    Container, Files, KubernetesObject, ServiceAccountToken, Spec, Volume, VolumeMount, elements,
    text,
};
use crate::request::{AdmissionRequest, Subject};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// The one lifetime, in seconds, that the API server doesn't take at its word
/// (`pkg/serviceaccount/claims.go`, `WarnOnlyBoundTokenExpirationPeriod`). It is what its own
/// token volume asks for.
pub const EXTENDED_LIFETIME: i64 = 3607;

/// All there is to see.
#[derive(Debug)]
pub struct Review<'r> {
    pub subject: Subject,
    /// The service account that the request is about.
    pub service_account: Option<Cow<'r, str>>,
    /// The Pod, or the template; `None` when only some containers of a Pod count.
    pub pod: Option<PodReview<'r>>,
    pub tokens: Vec<RequestedToken<'r>>,
    pub secrets: Vec<SecretReference<'r>>,
    /// The type of the Secret that is about to be created.
    pub secret_type: Option<&'r str>,
}

/// A Pod, or a template.
#[derive(Debug)]
pub struct PodReview<'r> {
    pub spec: &'r Spec<'r>,
    /// The spec's path.
    pub path: FieldPath,
    /// The mounts of containers of all kinds, by the name of their volume.
    pub mounts: BTreeMap<&'r str, Vec<Mount<'r>>>,
    /// The claims of a StatefulSet.
    pub claims: &'r [Object<KubernetesObject<'r>>],
    /// True for a template into whose Pods the API server will inject a token volume, unless the
    /// service account says otherwise.
    pub injects_token: bool,
}

/// Where a container sees a volume.
#[derive(Debug)]
pub struct Mount<'r> {
    /// The name of the list of containers.
    list: &'static str,
    /// The container's index in it, and the mount's in the container.
    indices: (usize, usize),
    pub as_written: &'r VolumeMount<'r>,
    pub container: &'r Container<'r>,
}

/// A token that is asked for.
#[derive(Debug)]
pub struct RequestedToken<'r> {
    /// Where it is asked for: the object with `expirationSeconds`.
    pub path: FieldPath,
    /// Whom the token is for; the API server when there is none.
    pub audiences: Vec<&'r str>,
    /// Seconds; `None` for the API server's default of 3600.
    pub expiration_seconds: Option<i64>,
    /// True for a token that ends with a Pod. Only such a token is extended
    /// (`pkg/registry/core/serviceaccount/storage/token.go`, `Create`).
    pub is_bound_to_pod: bool,
    /// True when an author, or a client, asks for it; false for the API server and for kubelets.
    pub is_authored: bool,
    /// True for the token that the API server will inject into the Pods of a template.
    pub is_presumed: bool,
    /// The name of the volume in which it is a file.
    pub volume: Option<&'r str>,
}

/// A Secret that a Pod refers to.
#[derive(Debug)]
pub struct SecretReference<'r> {
    /// The path of the Secret's name.
    pub path: FieldPath,
    pub name: &'r str,
    /// The volume in which its keys are files, and which of them; `None` for the environment.
    pub files: Option<(&'r Volume<'r>, &'r Files<'r>)>,
}

impl<'r> Review<'r> {
    /// Lists what there is to see.
    ///
    /// # Errors
    /// The path of a field without which there is nothing to look at.
    pub fn new(subject: Subject, request: &'r AdmissionRequest<'r>) -> Result<Self, FieldPath> {
        let service_account = request.service_account(subject);
        let (pod, tokens, secrets) = (None, Vec::new(), Vec::new());
        let mut review = Self { subject, service_account, pod, tokens, secrets, secret_type: None };
        let object = request.object.as_ref().ok_or_else(FieldPath::default)?;
        let spec = object.spec.as_deref();
        match subject {
            Subject::Secret => review.secret_type = object.secret_type.as_deref(),
            Subject::CsiDriver => review.add_csi_driver(spec),
            Subject::TokenRequest => {
                let path = FieldPath::new(&["spec"]);
                review.add_token_request(spec.ok_or_else(|| path.clone())?, path, request);
            }
            Subject::Pod | Subject::Template | Subject::EphemeralContainers => {
                let path = FieldPath::new(request.pod_path());
                let pod = request.pod().ok_or_else(|| path.clone())?;
                let path = path.child("spec");
                let pod_spec = pod.spec.as_deref().ok_or_else(|| path.clone())?;
                if subject == Subject::EphemeralContainers {
                    review.add_new_ephemeral_containers(pod_spec, &path, request);
                } else {
                    let claims = spec.and_then(|spec| spec.volume_claim_templates.as_ref());
                    review.add_pod(pod_spec, path, elements(claims));
                }
            }
        }
        Ok(review)
    }

    fn add_token_request(
        &mut self,
        spec: &'r Spec<'r>,
        path: FieldPath,
        request: &AdmissionRequest,
    ) {
        let bound_to = spec.bound_object_ref.as_ref().and_then(|object| object.kind.as_deref());
        self.tokens.push(RequestedToken {
            audiences: elements(spec.audiences.as_ref()).iter().map(|it| &**it).collect(),
            expiration_seconds: spec.expiration_seconds,
            is_bound_to_pod: bound_to == Some("Pod"),
            is_authored: !request.is_from_node(),
            ..projected_token(path)
        });
    }

    /// The kubelet asks for a driver's tokens as for a projected one, bound to the Pod
    /// (`pkg/volume/csi/csi_plugin.go`, `podServiceAccountTokenAttrs`).
    fn add_csi_driver(&mut self, spec: Option<&'r Spec<'r>>) {
        let tokens = elements(spec.and_then(|spec| spec.token_requests.as_ref()));
        let path = FieldPath::new(&["spec", "tokenRequests"]);
        for (i, token) in tokens.iter().enumerate() {
            self.add_token(token, path.index(i), None);
        }
    }

    fn add_token(
        &mut self,
        token: &'r ServiceAccountToken<'r>,
        path: FieldPath,
        volume: Option<&'r str>,
    ) {
        let audience = token.audience.as_deref().filter(|audience| !audience.is_empty());
        let is_injected = volume.is_some_and(|name| name.starts_with("kube-api-access-"))
            && token.expiration_seconds == Some(EXTENDED_LIFETIME)
            && audience.is_none();
        self.tokens.push(RequestedToken {
            audiences: audience.into_iter().collect(),
            expiration_seconds: token.expiration_seconds,
            is_authored: !is_injected,
            volume,
            ..projected_token(path)
        });
    }

    fn add_pod(
        &mut self,
        spec: &'r Spec<'r>,
        path: FieldPath,
        claims: &'r [Object<KubernetesObject<'r>>],
    ) {
        for (i, volume) in spec.volumes().iter().enumerate() {
            self.add_volume(volume, &|| path.child("volumes").index(i));
        }
        let mut mounts: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (list, containers) in spec.container_lists() {
            for (i, container) in containers.iter().enumerate() {
                let path = || path.child(list).index(i);
                self.add_environment(container, &path);
                for (j, mount) in container.mounts().iter().enumerate() {
                    let mounts = mounts.entry(text(mount.name.as_ref())).or_default();
                    let indices = (i, j);
                    mounts.push(Mount { list, indices, as_written: mount, container });
                }
            }
        }
        let injects_token = self.subject == Subject::Template && will_inject_token(spec);
        if injects_token {
            self.tokens.push(RequestedToken {
                expiration_seconds: Some(EXTENDED_LIFETIME),
                is_authored: false,
                is_presumed: true,
                ..projected_token(path.child("automountServiceAccountToken"))
            });
        }
        self.pod = Some(PodReview { spec, path, mounts, claims, injects_token });
    }

    fn add_volume(&mut self, volume: &'r Volume<'r>, path: &dyn Fn() -> FieldPath) {
        if let Some(files) = &volume.secret {
            let path = || path().child("secret").child("secretName");
            self.add_secret(files.secret_name.as_ref(), &path, Some((volume, files)));
        }
        for (i, source) in volume.sources().iter().enumerate() {
            let path = || path().child("projected").child("sources").index(i);
            if let Some(token) = &source.service_account_token {
                self.add_token(token, path().child("serviceAccountToken"), Some(volume.name()));
            }
            if let Some(files) = &source.secret {
                let path = || path().child("secret").child("name");
                self.add_secret(files.name.as_ref(), &path, Some((volume, files)));
            }
        }
    }

    fn add_environment(&mut self, container: &'r Container<'r>, path: &dyn Fn() -> FieldPath) {
        for (i, variable) in elements(container.env.as_ref()).iter().enumerate() {
            let from = variable.value_from.as_ref();
            if let Some(secret) = from.and_then(|from| from.secret_key_ref.as_ref()) {
                let path = || path().child("env").index(i).child("valueFrom").child("secretKeyRef");
                self.add_secret(secret.name.as_ref(), &|| path().child("name"), None);
            }
        }
        for (i, source) in elements(container.env_from.as_ref()).iter().enumerate() {
            if let Some(secret) = &source.secret_ref {
                let path = || path().child("envFrom").index(i).child("secretRef").child("name");
                self.add_secret(secret.name.as_ref(), &path, None);
            }
        }
    }

    fn add_secret(
        &mut self,
        name: Option<&'r Text<'r>>,
        path: &dyn Fn() -> FieldPath,
        files: Option<(&'r Volume<'r>, &'r Files<'r>)>,
    ) {
        if let Some(name) = name {
            self.secrets.push(SecretReference { path: path(), name, files });
        }
    }

    /// Only containers that the Pod doesn't have yet count: the others can't change any more.
    fn add_new_ephemeral_containers(
        &mut self,
        spec: &'r Spec<'r>,
        path: &FieldPath,
        request: &AdmissionRequest,
    ) {
        let old = request.old_object.and_then(|old| serde_json::from_str(old.get()).ok());
        let old: Option<Object<KubernetesObject>> = old;
        let old = old.as_ref().and_then(|pod| pod.spec.as_ref()?.ephemeral_containers.as_ref());
        let mut old_names = BTreeSet::new();
        old_names.extend(elements(old).iter().map(|container| container.name()));
        for (i, container) in elements(spec.ephemeral_containers.as_ref()).iter().enumerate() {
            if !old_names.contains(container.name()) {
                self.add_environment(container, &|| path.child("ephemeralContainers").index(i));
            }
        }
    }
}

impl<'r> SecretReference<'r> {
    /// The volume that consists of the Secret alone.
    pub fn volume(&self) -> Option<(&'r Volume<'r>, &'r Files<'r>)> {
        self.files.filter(|(_, files)| files.secret_name.is_some())
    }
}

impl<'r> PodReview<'r> {
    /// The path of a mount.
    pub fn path_of(&self, mount: &Mount) -> FieldPath {
        let container = self.path.child(mount.list).index(mount.indices.0);
        container.child("volumeMounts").index(mount.indices.1)
    }

    /// The mounts of a volume.
    pub fn mounts_of(&self, volume: &str) -> &[Mount<'r>] {
        self.mounts.get(volume).map_or(&[], Vec::as_slice)
    }
}

/// A token bound to a Pod, as a start.
fn projected_token<'r>(path: FieldPath) -> RequestedToken<'r> {
    RequestedToken {
        path,
        audiences: Vec::new(),
        expiration_seconds: None,
        is_bound_to_pod: true,
        is_authored: true,
        is_presumed: false,
        volume: None,
    }
}

/// True when the API server will inject its token volume, unless the service account switches
/// that off: some container has no mount where the token goes
/// (`plugin/pkg/admission/serviceaccount`, `mountServiceAccountToken`).
fn will_inject_token(spec: &Spec) -> bool {
    let [containers, init_containers, _] = spec.container_lists();
    let mut containers = containers.1.iter().chain(init_containers.1);
    let has_mount = |container: &Object<Container>| {
        let mut mounts = container.mounts().iter();
        mounts.any(|mount| text(mount.mount_path.as_ref()) == TOKEN_FOLDER)
    };
    spec.automount_service_account_token != Some(false) && containers.any(|it| !has_mount(it))
}
