//! What rules know beside what they see, found once for a request.

use crate::cluster::Secrets;
use crate::conversion::{self, JudgedReference};
use crate::kubelet::operating_system::is_windows;
use crate::legacy_tokens;
use crate::missing_fs_group::{self, MissingFsGroup};
use crate::review::{Review, TokenSource};
use crate::settings::Settings;

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

impl<'c> Context<'c> {
    pub fn new(review: &'c Review<'c>, settings: &'c Settings, secrets: &Secrets) -> Self {
        let findings = legacy_tokens::find(review, settings, secrets);
        let mut legacy_tokens = conversion::judge(findings, review, settings);
        let mut missing_fs_group = None;
        let mut token_in_file = None;
        let pod = review.pod.as_ref();
        if let Some(pod) = pod.filter(|pod| !is_windows(pod.spec)) {
            let volumes = missing_fs_group::token_volumes(pod, &legacy_tokens);
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
            conversion::judge_losses(&mut legacy_tokens, pod, fs_group, choice);
        }
        Self {
            settings,
            legacy_tokens,
            token_in_file,
            missing_fs_group,
        }
    }
}
