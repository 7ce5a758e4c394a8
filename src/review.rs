//! What a rule sees: the tokens that are asked for, the Secrets that are referred to, volumes and
//! their mounts, each with its path; the same for a Pod, a template, a TokenRequest, a CSIDriver.

use crate::decode::Object;
use crate::field_path::FieldPath;
use crate::mount::TOKEN_FOLDER;
use crate::objects::{Container, Files, KubernetesObject, ServiceAccountToken, Spec};
use crate::objects::{Volume, VolumeMount};
use crate::request::{AdmissionRequest, Subject};
use std::collections::{BTreeMap, BTreeSet};

/// The one lifetime, in seconds, that the API server extends: what its own token volume asks for
/// (`pkg/serviceaccount/claims.go`, `WarnOnlyBoundTokenExpirationPeriod`).
pub const EXTENDED_LIFETIME: i64 = 3607;

/// What the name of that volume begins with.
const INJECTED_VOLUME: &str = "kube-api-access-";

pub struct Review<'r> {
    pub subject: Subject,
    /// The service account that the request is about; empty for none.
    pub service_account: &'r str,
    pub secret_type: &'r str,
    /// The Pod, or the template; `None` when only some containers of a Pod count.
    pub pod: Option<PodReview<'r>>,
    pub tokens: Vec<RequestedToken<'r>>,
    pub secrets: Vec<SecretRef<'r>>,
}

pub struct PodReview<'r> {
    pub spec: &'r Spec<'r>,
    pub path: FieldPath,
    /// The mounts of containers of all kinds, by the name of their volume.
    pub mounts: BTreeMap<&'r str, Vec<Mount<'r>>>,
    /// The name of a claim of a StatefulSet, which adds a volume to each of its Pods.
    pub claim: Option<&'r str>,
    /// True for a template whose Pods get a token injected, unless the account says otherwise.
    pub injects_token: bool,
}

pub struct Mount<'r> {
    pub path: FieldPath,
    pub as_written: &'r VolumeMount<'r>,
    pub container: &'r Container<'r>,
}

#[derive(Default)]
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
    /// An author's or a client's, not the API server's or a kubelet's (`pkg/auth/nodeidentifier`).
    pub is_authored: bool,
    /// The volume in which it is a file; none in a template: the API server will inject the token.
    pub volume: Option<&'r str>,
}

pub struct SecretRef<'r> {
    pub path: FieldPath,
    pub name: &'r str,
    /// The volume in which its keys are files, and which of them; `None` for the environment.
    pub files: Option<(&'r Volume<'r>, &'r Files<'r>)>,
}

impl<'r> Review<'r> {
    /// Lists what there is to see; or the path of a field without which there is nothing.
    pub fn new(
        subject: Subject,
        request: &'r AdmissionRequest<'r>,
        old_pod: Option<&KubernetesObject>,
        service_account: &'r str,
    ) -> Result<Self, String> {
        let object = request.object.as_ref().ok_or("object")?;
        let secret_type = &*object.secret_type;
        let (pod, tokens, secrets) = (None, Vec::new(), Vec::new());
        let mut review = Self { subject, service_account, secret_type, pod, tokens, secrets };
        let path = FieldPath::new(request.pod_path());
        let spec_path = path.child("spec");
        match subject {
            Subject::Secret => {}
            Subject::CsiDriver => {
                let tokens = object.spec.iter().flat_map(|spec| spec.token_requests.iter());
                for (i, token) in tokens.enumerate() {
                    let path = spec_path.element("tokenRequests", i);
                    review.tokens.push(projected_token(token, path, None));
                }
            }
            Subject::TokenRequest => {
                let spec = object.spec.as_ref().ok_or_else(|| spec_path.to_string())?;
                review.tokens.push(RequestedToken {
                    path: spec_path,
                    audiences: spec.audiences.iter().map(|audience| &**audience).collect(),
                    expiration_seconds: spec.expiration_seconds,
                    is_bound_to_pod: &*spec.bound_object_ref.kind == "Pod",
                    is_authored: !request.user_info.username.starts_with("system:node:"),
                    ..RequestedToken::default()
                });
            }
            Subject::Pod | Subject::Template | Subject::EphemeralContainers => {
                let pod = request.pod().ok_or_else(|| path.to_string())?;
                let spec = pod.spec.as_ref().ok_or_else(|| spec_path.to_string())?;
                if subject == Subject::EphemeralContainers {
                    let old = old_pod.and_then(|pod| Some(&pod.spec.as_ref()?.0));
                    review.add_new_containers(spec, &spec_path, old);
                } else {
                    review.add_pod(spec, spec_path, object);
                }
            }
        }
        Ok(review)
    }

    fn add_pod(&mut self, spec: &'r Spec<'r>, path: FieldPath, object: &'r KubernetesObject<'r>) {
        for (i, volume) in spec.volumes.iter().enumerate() {
            self.add_volume(volume, &path.element("volumes", i));
        }
        let mut mounts: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (list, containers) in spec.container_lists() {
            for (i, container) in containers.iter().enumerate() {
                let path = path.element(list, i);
                self.add_environment(container, &path);
                for (j, as_written) in container.volume_mounts.iter().enumerate() {
                    let path = path.element("volumeMounts", j);
                    let mounts = mounts.entry(&*as_written.name).or_default();
                    mounts.push(Mount { path, as_written, container });
                }
            }
        }
        // The API server mounts its token where no volume is mounted yet
        // (`plugin/pkg/admission/serviceaccount`, `mountServiceAccountToken`), and takes a volume
        // with such a name for its own.
        let is_token = |mount: &Object<VolumeMount>| &*mount.mount_path == TOKEN_FOLDER;
        let mut containers = spec.containers.iter().chain(&*spec.init_containers);
        let injects_token = self.subject == Subject::Template
            && spec.automount_service_account_token != Some(false)
            && containers.any(|it| !it.volume_mounts.iter().any(is_token));
        if injects_token && !spec.volumes.iter().any(|it| it.name.starts_with(INJECTED_VOLUME)) {
            self.tokens.push(RequestedToken {
                path: path.child("automountServiceAccountToken"),
                expiration_seconds: Some(EXTENDED_LIFETIME),
                is_bound_to_pod: true,
                ..RequestedToken::default()
            });
        }
        let claims = object.spec.iter().flat_map(|spec| &*spec.volume_claim_templates);
        let claim = claims.map(|claim| &*claim.metadata.name).next();
        self.pod = Some(PodReview { spec, path, mounts, claim, injects_token });
    }

    fn add_volume(&mut self, volume: &'r Volume<'r>, path: &FieldPath) {
        if let Some(files) = &volume.secret {
            let (path, name) = (path.child("secret").child("secretName"), &*files.secret_name);
            self.secrets.push(SecretRef { path, name, files: Some((volume, files)) });
        }
        for (i, source) in volume.projected.sources.iter().enumerate() {
            let path = || path.child("projected").element("sources", i);
            if let Some(token) = &source.service_account_token {
                let path = path().child("serviceAccountToken");
                self.tokens.push(projected_token(token, path, Some(&volume.name)));
            }
            if let Some(files) = &source.secret {
                let (path, name) = (path().child("secret").child("name"), &*files.name);
                self.secrets.push(SecretRef { path, name, files: Some((volume, files)) });
            }
        }
    }

    fn add_environment(&mut self, container: &'r Container<'r>, path: &FieldPath) {
        for (i, variable) in container.env.iter().enumerate() {
            let Some(from) = &variable.value_from else { continue };
            let Some(secret) = &from.secret_key_ref else { continue };
            let path = path.element("env", i).child("valueFrom").child("secretKeyRef");
            let (path, name) = (path.child("name"), &*secret.name);
            self.secrets.push(SecretRef { path, name, files: None });
        }
        for (i, source) in container.env_from.iter().enumerate() {
            let Some(secret) = &source.secret_ref else { continue };
            let path = path.element("envFrom", i).child("secretRef").child("name");
            self.secrets.push(SecretRef { path, name: &secret.name, files: None });
        }
    }

    /// Only containers that the Pod doesn't have yet count: the others can't change any more.
    fn add_new_containers(&mut self, spec: &'r Spec<'r>, path: &FieldPath, old: Option<&Spec>) {
        let old = old.into_iter().flat_map(|spec| spec.ephemeral_containers.iter());
        let mut old_names = BTreeSet::new();
        old_names.extend(old.map(|container| &*container.name));
        for (i, container) in spec.ephemeral_containers.iter().enumerate() {
            if !old_names.contains(&*container.name) {
                self.add_environment(container, &path.element("ephemeralContainers", i));
            }
        }
    }
}

impl<'r> PodReview<'r> {
    pub fn mounts_of(&self, volume: &str) -> &[Mount<'r>] {
        self.mounts.get(volume).map_or(&[], Vec::as_slice)
    }
}

/// A token in a volume; or one for a CSI driver, for which the kubelet asks in the same way
/// (`pkg/volume/csi/csi_plugin.go`, `podServiceAccountTokenAttrs`).
fn projected_token<'r>(
    token: &'r ServiceAccountToken<'r>,
    path: FieldPath,
    volume: Option<&'r str>,
) -> RequestedToken<'r> {
    let is_injected = volume.is_some_and(|name| name.starts_with(INJECTED_VOLUME))
        && token.expiration_seconds == Some(EXTENDED_LIFETIME)
        && token.audience.is_empty();
    RequestedToken {
        path,
        audiences: [&*token.audience].into_iter().filter(|it| !it.is_empty()).collect(),
        expiration_seconds: token.expiration_seconds,
        is_bound_to_pod: true,
        is_authored: !is_injected,
        volume,
    }
}
