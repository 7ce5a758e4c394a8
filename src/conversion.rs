//! Which volumes with a legacy token become projected volumes with the same files; and why others
//! can't.

use crate::cluster::LookUpError;
use crate::kubelet::containers::ContainerFacts;
use crate::kubelet::mounts::clean_path;
use crate::kubelet::token_file::{WrittenFile, projected_token_file, secret_file};
use crate::legacy_tokens::{Finding, LegacyToken};
use crate::lifetime;
use crate::message::quote_in_warning;
use crate::objects::{DEFAULT_MODE, SecretVolumeSource, Volume};
use crate::review::{PodReview, Review, SecretReference, SecretUse};
use crate::settings::{Mode, Obstacle, Settings};
use k8s_openapi::api::core::v1::{
    ConfigMapProjection, DownwardAPIProjection, DownwardAPIVolumeFile, KeyToPath,
    ObjectFieldSelector, ProjectedVolumeSource, ServiceAccountTokenProjection, VolumeProjection,
};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// A reference to a Secret with a legacy token, or one of which nobody can tell.
pub struct JudgedReference<'r> {
    pub reference: &'r SecretReference<'r>,
    pub judgement: Judgement<'r>,
}

pub enum Judgement<'r> {
    Unknown(LookUpError),
    /// It stays; why, if the owner's volume could have been replaced.
    Kept {
        owner: Cow<'r, str>,
        why: Option<String>,
    },
    /// A mutation replaces the volume. Some containers may lose the token by it.
    Converted {
        owner: Cow<'r, str>,
        conversion: Conversion<'r>,
        losing: Option<String>,
    },
}

/// Judges what was found about each reference. Of the conversions [`judge_losses`] has the last word.
pub fn judge<'r>(
    findings: Vec<Finding<'r>>,
    review: &Review<'r>,
    settings: &Settings,
) -> Vec<JudgedReference<'r>> {
    let findings = findings.into_iter();
    let mut judged: Vec<_> = findings
        .map(|finding| JudgedReference::new(finding, review, settings))
        .collect();
    limit_conversions(&mut judged);
    judged
}

/// The tokens that come in place of legacy ones, each with its volume, when the request is admitted:
/// other modes than `mutate` convert nothing.
pub fn new_tokens<'r>(
    legacy_tokens: &[JudgedReference<'r>],
    settings: &Settings,
) -> impl Iterator<Item = (NewToken, &'r str)> {
    let mutates = settings.mode == Mode::Mutate;
    let judged = legacy_tokens.iter().filter(move |_| mutates);
    let conversions = judged.filter_map(JudgedReference::conversion);
    conversions.filter_map(|conversion| Some((conversion.token?, &*conversion.volume.name)))
}

impl<'r> JudgedReference<'r> {
    fn new(finding: Finding<'r>, review: &Review<'r>, settings: &Settings) -> Self {
        match finding {
            Finding::Unknown(reference, error) => Self {
                reference,
                judgement: Judgement::Unknown(error),
            },
            Finding::LegacyToken(token) => {
                let conversion = Conversion::new(&token, review, settings);
                let LegacyToken {
                    reference, owner, ..
                } = token;
                let judgement = match conversion {
                    Ok(conversion) => Judgement::Converted {
                        owner,
                        conversion,
                        losing: None,
                    },
                    Err(why) => Judgement::Kept { owner, why },
                };
                Self {
                    reference,
                    judgement,
                }
            }
        }
    }

    /// The conversion, if there is one.
    pub fn conversion(&self) -> Option<&Conversion<'r>> {
        match &self.judgement {
            Judgement::Converted { conversion, .. } => Some(conversion),
            _ => None,
        }
    }
}

/// The most volumes that are converted in one Pod: an account has one token Secret, or two.
const MOST_CONVERSIONS: usize = 20;

/// Refuses to convert more volumes than anybody has.
fn limit_conversions(legacy_tokens: &mut [JudgedReference]) {
    let mut conversions = 0;
    for judged in legacy_tokens {
        let Judgement::Converted { owner, .. } = &mut judged.judgement else {
            continue;
        };
        conversions += 1;
        if conversions > MOST_CONVERSIONS {
            let owner = std::mem::take(owner);
            let why = format!("at most {MOST_CONVERSIONS} volumes of a Pod are");
            judged.judgement = Judgement::Kept {
                owner,
                why: Some(why),
            };
        }
    }
}

/// A conversion may take the token from a process that could read the Secret. What the operator says
/// of an added fsGroup decides whether it is done all the same.
pub fn judge_losses(
    legacy_tokens: &mut [JudgedReference],
    pod: &PodReview,
    fs_group: Option<i64>,
    choice: Obstacle,
) {
    if !legacy_tokens
        .iter()
        .any(|judged| judged.conversion().is_some())
    {
        return;
    }
    let losing_by_volume = find_losing_containers(pod);
    for judged in legacy_tokens {
        let Judgement::Converted {
            owner,
            conversion,
            losing,
        } = &mut judged.judgement
        else {
            continue;
        };
        let token = conversion.token;
        if !token.is_some_and(|token| token.narrows_access(pod, fs_group)) {
            continue;
        }
        let Some(facts) = losing_by_volume.get(&*conversion.volume.name) else {
            continue;
        };
        let name = quote_in_warning(&facts.container.name);
        if choice == Obstacle::Set {
            *losing = Some(name);
        } else {
            let why = format!(
                "a process in container {name} that starts as root and becomes another user could \
                 not read the token any more: set runAsNonRoot, or the runAsUser that it becomes"
            );
            let owner = std::mem::take(owner);
            judged.judgement = Judgement::Kept {
                owner,
                why: Some(why),
            };
        }
    }
}

/// Containers that may lose a token which every process could read: by each volume, the first one
/// that mounts it and may change its groups.
fn find_losing_containers<'p, 'r>(
    pod: &'p PodReview<'r>,
) -> BTreeMap<&'r str, &'p ContainerFacts<'r>> {
    let mut by_volume = BTreeMap::new();
    for facts in pod
        .containers
        .iter()
        .filter(|facts| facts.may_change_groups)
    {
        for mount in facts.container.volume_mounts.iter() {
            by_volume.entry(&*mount.name).or_insert(facts);
        }
    }
    by_volume
}

/// What comes in place of a volume with a legacy token.
pub struct Conversion<'r> {
    pub volume: &'r Volume<'r>,
    pub source: ProjectedVolumeSource,
    /// Its token; `None` where the items show other keys only.
    pub token: Option<NewToken>,
}

/// A token in place of a legacy one.
#[derive(Clone, Copy)]
pub struct NewToken {
    /// In seconds.
    pub lifetime: i64,
    /// The legacy token's file, for a process in any container.
    pub file_before: WrittenFile,
    /// The mode of the projected volume.
    default_mode: i32,
}

/// A file that the Secret volume shows.
struct ShownFile<'v> {
    key: &'v str,
    path: &'v str,
    mode: i32,
}

impl<'r> Conversion<'r> {
    /// The projected volume, with the same files and modes, that comes in place of a volume with the
    /// token of the Pod's own account; or why not, and what would help.
    fn new(
        token: &LegacyToken<'r>,
        review: &Review<'r>,
        settings: &Settings,
    ) -> Result<Self, Option<String>> {
        // Another kind of reference, or another account's token, has no way out but the message's.
        let SecretUse::Volume(volume, source) = token.reference.used else {
            return Err(None);
        };
        if !token.owner.is_empty() && token.owner != review.service_account {
            return Err(None);
        }
        let files = shown_files(source);
        let checks = check_proof(token, review, source).and_then(|()| check_files(&files));
        checks.map_err(|reason| Some(reason.to_owned()))?;
        Ok(Self::with_files(volume, source, &files, review, settings))
    }

    fn with_files(
        volume: &'r Volume<'r>,
        source: &SecretVolumeSource,
        files: &[ShownFile],
        review: &Review,
        settings: &Settings,
    ) -> Self {
        let old_mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        let token_mode = files
            .iter()
            .find(|file| file.key == "token")
            .map(|token| token.mode);
        // A projected token has no mode of its own.
        let default_mode = token_mode.unwrap_or(old_mode);
        let lifetime = lifetime::of_new_token(settings);
        let pod = review.pod.as_ref();
        let fs_group = pod.and_then(|pod| pod.spec.security_context.fs_group);
        let sources = files
            .iter()
            .filter_map(|file| project(file, default_mode, lifetime));
        let is_mode_kept = default_mode == old_mode;
        Self {
            volume,
            source: ProjectedVolumeSource {
                default_mode: if is_mode_kept {
                    source.default_mode
                } else {
                    Some(default_mode)
                },
                sources: Some(sources.collect()),
            },
            token: token_mode.map(|mode| NewToken {
                lifetime,
                file_before: secret_file(fs_group, mode),
                default_mode,
            }),
        }
    }
}

impl NewToken {
    /// True where a process that starts as root and becomes another user could read the token before
    /// and can't afterwards. `fs_group` is the group that the Pod will have.
    fn narrows_access(&self, pod: &PodReview, fs_group: Option<i64>) -> bool {
        let after = projected_token_file(fs_group, pod.common_user, self.default_mode);
        self.file_before.is_readable_by_all() && !after.is_readable_by_all()
    }
}

/// Whether there is no doubt that the volume holds the token of the Pod's own account.
fn check_proof(
    token: &LegacyToken,
    review: &Review,
    source: &SecretVolumeSource,
) -> Result<(), &'static str> {
    if review.ephemeral.is_some() {
        return Err("a volume of a Pod that exists can't change");
    }
    if token.owner.is_empty() {
        return Err(
            "a container mounts it where clients look for the cluster's token, and nothing says whose \
             it is: mount it elsewhere if it holds another program's",
        );
    }
    if !token.is_certain {
        return Err(
            "a name alone doesn't prove that it holds the cluster's token, and no container mounts it \
             where clients look for that; use legacyTokens.detect: Lookup, or write the projected \
             volume yourself",
        );
    }
    if source.optional == Some(true) {
        return Err("it is optional, which a token can't be: make it a projected volume");
    }
    if token.reference.is_never_updated {
        return Err(
            "a container mounts the token with subPath and would never see a renewed one: mount the \
             whole volume",
        );
    }
    Ok(())
}

fn shown_files<'v>(source: &'v SecretVolumeSource) -> Vec<ShownFile<'v>> {
    // OpenShift's Secrets have the fourth.
    const KEYS: [&str; 4] = ["token", "ca.crt", "namespace", "service-ca.crt"];
    let default_mode = source.default_mode.unwrap_or(DEFAULT_MODE);
    if source.items.is_empty() {
        let files = KEYS.map(|key| ShownFile {
            key,
            path: key,
            mode: default_mode,
        });
        return files.into();
    }
    let items = source.items.iter().map(|item| ShownFile {
        key: &item.key,
        path: &item.path,
        mode: item.mode.unwrap_or(default_mode),
    });
    items.collect()
}

/// Whether a projected volume can show these files.
fn check_files(files: &[ShownFile]) -> Result<(), &'static str> {
    let mut paths = BTreeSet::new();
    let mut token_mode = None;
    for file in files {
        match file.key {
            // A projected token has no mode of its own: it gets the volume's.
            "token" if *token_mode.get_or_insert(file.mode) != file.mode => {
                return Err(
                    "the token is shown with two modes, and a projected volume has one for it",
                );
            }
            "token" | "ca.crt" | "namespace" | "service-ca.crt" => {}
            _ => {
                return Err(
                    "one of its keys is in no projected volume: take it from a Secret of \
                            its own",
                );
            }
        }
        if file.path.is_empty() {
            return Err("one of its items has no path");
        }
        if !paths.insert(clean_path(file.path)) {
            return Err("two of its items have one path, which a projected volume can't have");
        }
    }
    Ok(())
}

/// What shows a file of a token Secret, as the API server's own volume does
/// (`plugin/pkg/admission/serviceaccount`, `TokenVolumeSource`).
fn project(file: &ShownFile, default_mode: i32, lifetime: i64) -> Option<VolumeProjection> {
    let path = file.path.to_owned();
    let mode = (file.mode != default_mode).then_some(file.mode);
    let projection = match file.key {
        "token" => VolumeProjection {
            service_account_token: Some(ServiceAccountTokenProjection {
                audience: None,
                expiration_seconds: Some(lifetime),
                path,
            }),
            ..VolumeProjection::default()
        },
        "namespace" => VolumeProjection {
            downward_api: Some(project_namespace(path, mode)),
            ..VolumeProjection::default()
        },
        "ca.crt" => VolumeProjection {
            config_map: Some(project_key("kube-root-ca.crt", file.key, path, mode, None)),
            ..VolumeProjection::default()
        },
        // The ConfigMap exists on OpenShift only.
        "service-ca.crt" => {
            let name = "openshift-service-ca.crt";
            VolumeProjection {
                config_map: Some(project_key(name, file.key, path, mode, Some(true))),
                ..VolumeProjection::default()
            }
        }
        _ => return None,
    };
    Some(projection)
}

fn project_namespace(path: String, mode: Option<i32>) -> DownwardAPIProjection {
    let namespace = ObjectFieldSelector {
        api_version: Some("v1".to_owned()),
        field_path: "metadata.namespace".to_owned(),
    };
    DownwardAPIProjection {
        items: Some(vec![DownwardAPIVolumeFile {
            field_ref: Some(namespace),
            mode,
            path,
            resource_field_ref: None,
        }]),
    }
}

fn project_key(
    config_map: &str,
    key: &str,
    path: String,
    mode: Option<i32>,
    optional: Option<bool>,
) -> ConfigMapProjection {
    ConfigMapProjection {
        name: config_map.to_owned(),
        items: Some(vec![KeyToPath {
            key: key.to_owned(),
            mode,
            path,
        }]),
        optional,
    }
}
