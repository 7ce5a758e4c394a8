//! What rules know beside what they see, found once for a request.

use crate::cluster::{LookUpError, Secrets};
use crate::conversion::{Conversion, NewToken, find_losing_containers};
use crate::kubelet::operating_system::is_windows;
use crate::kubelet::token_file::projected_token_file;
use crate::legacy_tokens::{self, Finding, LegacyToken};
use crate::message::quote_in_warning;
use crate::missing_fs_group::{self, MissingFsGroup, TokenVolume};
use crate::review::{PodReview, Review, SecretReference, TokenSource};
use crate::settings::{Mode, Obstacle, Settings};
use std::borrow::Cow;

/// The settings for the request's namespace, the legacy tokens, and what a mutation does about a
/// missing fsGroup.
pub struct Context<'c> {
    pub settings: &'c Settings,
    pub legacy_tokens: Vec<JudgedReference<'c>>,
    /// The first token, or legacy one that could be replaced, whose file an fsGroup limits; `None` on
    /// Windows, where there is no fsGroup.
    pub token_in_file: Option<TokenSource<'c>>,
    pub missing_fs_group: Option<MissingFsGroup>,
}

/// A reference to a Secret with a legacy token, or one of which nobody can tell.
pub struct JudgedReference<'c> {
    pub reference: &'c SecretReference<'c>,
    pub judgement: Judgement<'c>,
}

pub enum Judgement<'c> {
    Unknown(LookUpError),
    /// It stays; why, if the owner's volume could have been replaced.
    Kept {
        owner: Cow<'c, str>,
        why: Option<String>,
    },
    /// A mutation replaces the volume. Some containers may lose the token by it.
    Converted {
        owner: Cow<'c, str>,
        conversion: Conversion<'c>,
        losing: Option<String>,
    },
}

impl<'c> Context<'c> {
    pub fn new(review: &'c Review<'c>, settings: &'c Settings, secrets: &Secrets) -> Self {
        let findings = legacy_tokens::find(review, settings, secrets);
        let mut legacy_tokens: Vec<_> = findings
            .into_iter()
            .map(|finding| JudgedReference::new(finding, review, settings))
            .collect();
        limit_conversions(&mut legacy_tokens);
        let mut missing_fs_group = None;
        let mut token_in_file = None;
        let pod = review.pod.as_ref();
        if let Some(pod) = pod.filter(|pod| !is_windows(pod.spec)) {
            let volumes = token_volumes(pod, &legacy_tokens);
            let in_volume = volumes
                .first()
                .map(|volume| TokenSource::Volume(volume.name));
            token_in_file = in_volume.or(pod.injects_token.then_some(TokenSource::Injected));
            if token_in_file.is_some() {
                missing_fs_group = missing_fs_group::decide(pod, &volumes, &settings.fs_group);
            }
            let fs_group = match missing_fs_group {
                Some(MissingFsGroup::Set { group, .. }) => Some(group),
                _ => pod.spec.security_context.fs_group,
            };
            let choice = settings.fs_group.root_containers;
            judge_losses(&mut legacy_tokens, pod, fs_group, choice);
        }
        Self {
            settings,
            legacy_tokens,
            token_in_file,
            missing_fs_group,
        }
    }

    /// The tokens that come in place of legacy ones, each with its volume, when this request is
    /// admitted: other modes than `mutate` convert nothing.
    pub fn new_tokens(&self) -> impl Iterator<Item = (NewToken, &'c str)> {
        let mutates = self.settings.mode == Mode::Mutate;
        let judged = self.legacy_tokens.iter().filter(move |_| mutates);
        let conversions = judged.filter_map(JudgedReference::conversion);
        conversions.filter_map(|conversion| Some((conversion.token?, &*conversion.volume.name)))
    }
}

impl<'c> JudgedReference<'c> {
    fn new(finding: Finding<'c>, review: &Review<'c>, settings: &Settings) -> Self {
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

    fn conversion(&self) -> Option<&Conversion<'c>> {
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

/// The volumes with a token, projected ones first.
fn token_volumes<'c>(
    pod: &PodReview<'c>,
    legacy_tokens: &[JudgedReference<'c>],
) -> Vec<TokenVolume<'c>> {
    let mut volumes = Vec::new();
    for volume in pod.spec.volumes.iter() {
        if volume.tokens().next().is_some() {
            volumes.push(TokenVolume {
                name: &volume.name,
                file_before: projected_token_file(None, pod.common_user, volume.projected_mode()),
            });
        }
    }
    for conversion in legacy_tokens.iter().filter_map(JudgedReference::conversion) {
        if let Some(NewToken { file_before, .. }) = conversion.token {
            let name = &*conversion.volume.name;
            volumes.push(TokenVolume { name, file_before });
        }
    }
    volumes
}

/// A conversion may take the token from a process that could read the Secret. What the operator says
/// of an added fsGroup decides whether it is done all the same.
fn judge_losses(
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
