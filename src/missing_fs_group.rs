//! What a mutation does for a Pod whose token needs an fsGroup and that has none: which group it
//! sets, and what of the Pod that may break.

use crate::conversion::{JudgedReference, NewToken};
use crate::kubelet::containers::ContainerFacts;
use crate::kubelet::mounts::Mount;
use crate::kubelet::token_file::{WrittenFile, projected_token_file};
use crate::kubelet::user_namespace::{LAST_MAPPED_ID, has_group};
use crate::kubelet::users::common_group;
use crate::kubelet::volumes::{
    has_certificate_key, has_files, has_files_like_tokens, has_private_file, outliving_source,
};
use crate::message::{list_first, quote_in_warning};
use crate::objects::{DEFAULT_MODE, Volume};
use crate::review::PodReview;
use crate::settings::{CommonUser, FsGroup, GroupRule, Obstacle};
use std::collections::BTreeSet;

/// A volume in which a token is, or will be, and how its file looks without an fsGroup.
pub struct TokenVolume<'r> {
    pub name: &'r str,
    pub file_before: WrittenFile,
}

/// What a mutation does.
#[derive(Debug, PartialEq, Eq)]
pub enum MissingFsGroup {
    Set {
        group: i64,
        /// True where the kubelet should look at the root folder of a volume only.
        on_root_mismatch: bool,
        /// What may break all the same, as the operator chose.
        warnings: Vec<Breakage>,
    },
    Leave {
        /// The group that an author may set; none where no allowed one exists.
        group: Option<i64>,
        breakages: Vec<Breakage>,
    },
    Reject {
        group: Option<i64>,
        breakage: Breakage,
    },
}

/// What an fsGroup would break, and what helps there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breakage {
    pub what: String,
    pub advice: String,
}

/// The volumes with a token, projected ones first.
pub fn token_volumes<'r>(
    pod: &PodReview<'r>,
    legacy_tokens: &[JudgedReference<'r>],
) -> Vec<TokenVolume<'r>> {
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

/// Decides what a mutation does for a Pod with a token; `None` if it needs no fsGroup or has one.
pub fn decide(
    pod: &PodReview,
    token_volumes: &[TokenVolume],
    settings: &FsGroup,
) -> Option<MissingFsGroup> {
    if !needs_group(pod, settings) {
        return None;
    }
    let group = group_to_set(pod, settings);
    let persistent = persistent_volume(pod, settings);
    let is_persistent = persistent.is_some();
    let mut rejected = Vec::new();
    let mut left = Vec::from_iter(group.is_none().then(no_group_in_user_namespace));
    let losing = losing_containers(pod, token_volumes);
    for (choice, breakage) in [
        (settings.persistent_volumes, persistent),
        (settings.private_files, private_volume(pod, settings)),
        (settings.root_containers, losing.clone()),
    ] {
        match choice {
            Obstacle::Reject => rejected.extend(breakage),
            Obstacle::Leave => left.extend(breakage),
            Obstacle::Set => {}
        }
    }
    if let Some(breakage) = rejected.into_iter().next() {
        return Some(MissingFsGroup::Reject { group, breakage });
    }
    let Some(group) = group.filter(|_| left.is_empty()) else {
        return Some(MissingFsGroup::Leave {
            group,
            breakages: left,
        });
    };
    let has_policy = !pod.spec.security_context.fs_group_change_policy.is_empty();
    Some(MissingFsGroup::Set {
        group,
        on_root_mismatch: is_persistent && !has_policy,
        warnings: Vec::from_iter(losing),
    })
}

/// True where the token's file has to be limited to a group, and isn't.
fn needs_group(pod: &PodReview, settings: &FsGroup) -> bool {
    let is_enough = settings.common_user == CommonUser::Accept && pod.common_user.is_some();
    pod.spec.security_context.fs_group.is_none()
        && settings.rule == GroupRule::MustRunAs
        && !is_enough
}

/// The group that all containers share, if it is allowed, else the default; in a user namespace one
/// that exists there.
fn group_to_set(pod: &PodReview, settings: &FsGroup) -> Option<i64> {
    let shared = common_group(pod.spec).filter(|group| settings.allows(*group));
    let preferred = [shared, Some(settings.default)];
    let nobody = Some(65534).filter(|group| settings.allows(*group));
    let highest = settings.highest_allowed(LAST_MAPPED_ID);
    let candidates = preferred.into_iter().chain([nobody, highest]).flatten();
    candidates
        .into_iter()
        .find(|group| has_group(pod.spec, *group))
}

fn no_group_in_user_namespace() -> Breakage {
    Breakage {
        what: format!(
            "with hostUsers: false a group above {LAST_MAPPED_ID} keeps every container from \
             starting, and no other is allowed"
        ),
        advice: "the operator's fsGroup.ranges decide".to_owned(),
    }
}

/// What would happen to a volume whose files outlive a container.
fn persistent_volume(pod: &PodReview, settings: &FsGroup) -> Option<Breakage> {
    let is_mounted = |name: &str| !pod.mounts_of(name).is_empty();
    let mut outliving = pod.spec.volumes.iter().filter_map(|volume| {
        let source = outliving_source(volume).filter(|_| is_mounted(&volume.name))?;
        Some((&*volume.name, source))
    });
    let claims = pod.claims.iter().filter(|claim| has_files(claim));
    let claims = claims.map(|claim| &*claim.metadata.name);
    let mut claims = claims.filter(|name| is_mounted(name));
    let (name, source) = outliving.next().or_else(|| Some((claims.next()?, "")))?;
    let has_read_only = ["persistentVolumeClaim", "csi"].contains(&source);
    let is_read = |mount: &Mount| mount.written.read_only == Some(true);
    let advice = if has_read_only && pod.mounts_of(name).iter().all(is_read) {
        "say readOnly: true in its source, as its mounts do".to_owned()
    } else {
        advise_common_user("persistentVolumes", settings)
    };
    Some(Breakage {
        what: format!(
            "it would change group and mode of the files on volume {}, which outlive a container",
            quote_in_warning(name)
        ),
        advice,
    })
}

/// What helps where an fsGroup doesn't: a common user, if the operator is content with that.
fn advise_common_user(setting: &str, settings: &FsGroup) -> String {
    if settings.common_user == CommonUser::Accept {
        return "set one runAsUser for all containers, which limits the token to that user"
            .to_owned();
    }
    format!("nothing to do: the token stays open, as the operator's fsGroup.{setting} decides")
}

/// What would happen to a file that its group mustn't read, in a volume that a container sees which
/// may be the file's owner: root, or for the key of a Pod certificate the user of all containers.
fn private_volume(pod: &PodReview, settings: &FsGroup) -> Option<Breakage> {
    let has_owner = pod.common_user.is_some();
    let of_possible_root = mounted_volumes(pod, |facts| facts.may_be_root);
    let is_key = |volume: &Volume| {
        has_owner && has_certificate_key(volume) && !pod.mounts_of(&volume.name).is_empty()
    };
    let is_of_root =
        |volume: &Volume| of_possible_root.contains(&*volume.name) && has_private_file(volume);
    let mut volumes = pod.spec.volumes.iter();
    let volume = volumes.find(|volume| is_key(volume) || is_of_root(volume))?;
    let advice = if is_key(volume) {
        advise_common_user("privateFiles", settings)
    } else {
        "set runAsNonRoot, or a runAsUser, for the containers that mount it".to_owned()
    };
    Some(Breakage {
        what: format!(
            "it would let its group read the private files of volume {}, which programs such as ssh \
             then refuse",
            quote_in_warning(&volume.name)
        ),
        advice,
    })
}

/// The volumes that some containers mount.
fn mounted_volumes<'r>(
    pod: &PodReview<'r>,
    concerns: fn(&ContainerFacts) -> bool,
) -> BTreeSet<&'r str> {
    let containers = pod.containers.iter().filter(|facts| concerns(facts));
    let mounts = containers.flat_map(|facts| facts.container.volume_mounts.iter());
    let mut names = BTreeSet::new();
    names.extend(mounts.map(|mount| &*mount.name));
    names
}

/// What would happen in containers that see a token which every process could read, may be root and
/// may change their groups: a process that becomes another user loses it.
fn losing_containers(pod: &PodReview, token_volumes: &[TokenVolume]) -> Option<Breakage> {
    let open = open_volumes(pod, token_volumes);
    let injected = projected_token_file(None, pod.common_user, DEFAULT_MODE);
    let is_injected_open = pod.injects_token && injected.is_readable_by_all();
    let sees_open = |facts: &ContainerFacts| {
        let mut mounts = facts.container.volume_mounts.iter();
        is_injected_open || mounts.any(|mount| open.contains(&*mount.name))
    };
    let changing = pod
        .containers
        .iter()
        .filter(|facts| facts.may_change_groups);
    let losing: Vec<_> = changing.filter(|facts| sees_open(facts)).collect();
    if losing.is_empty() {
        return None;
    }
    let names: Vec<_> = losing.iter().map(|facts| &*facts.container.name).collect();
    Some(Breakage {
        what: format!(
            "if a process in container {} starts as root and becomes another user, it can't read the \
             token any more",
            list_first(&names, quote_in_warning)
        ),
        advice: "set runAsNonRoot, or the runAsUser that it becomes".to_owned(),
    })
}

/// The volumes with a token, or with files that look like one, which every process can read.
fn open_volumes<'p>(pod: &'p PodReview, token_volumes: &'p [TokenVolume]) -> BTreeSet<&'p str> {
    let tokens = token_volumes
        .iter()
        .map(|volume| (volume.name, volume.file_before));
    let volumes = pod.spec.volumes.iter();
    let like_tokens = volumes.filter(|volume| has_files_like_tokens(volume));
    let like_tokens = like_tokens.map(|volume| {
        let mode = volume.projected_mode();
        let file = projected_token_file(None, pod.common_user, mode);
        (&*volume.name, file)
    });
    let open = tokens
        .chain(like_tokens)
        .filter(|(_, file)| file.is_readable_by_all());
    let mut names = BTreeSet::new();
    names.extend(open.map(|(name, _)| name));
    names
}
