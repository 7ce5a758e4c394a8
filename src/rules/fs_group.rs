//! The token files of a Pod are readable by one group, and that group is allowed.
//!
//! The kubelet writes a token 0644, for every process in the Pod, unless the Pod sets
//! `fsGroup` (`pkg/volume/projected/projected.go`, `collectData`): then 0640, for that group.

use super::{Finding, Remedy};
use crate::fix::{self, Edit, Member};
use crate::json::{Path, Quoted};
use crate::pod_spec::{PodSpec, Volume};
use crate::settings::{GroupRule, PersistentVolumes, Settings};

const RULE: &str = "fs-group";

/// Reports a missing or forbidden `fsGroup` of a Pod that has a token volume.
pub fn check<'a>(
    spec: &PodSpec<'a>,
    settings: &Settings,
    at: &Path,
    findings: &mut Vec<Finding<'a>>,
) {
    // The API server refuses fsGroup on Windows Pods.
    if settings.fs_group.rule == GroupRule::RunAsAny || spec.is_windows() {
        return;
    }
    let mut volumes = spec.volumes.elements().map(|(_, volume)| volume);
    let Some(holder) = volumes.find(|volume| volume.tokens().next().is_some()) else { return };
    let asked = spec.security_context.get().map(|context| context.fs_group).unwrap_or_default();
    let (message, remedy) = match asked.get() {
        Some(group) if settings.fs_group.allows(group) => return,
        Some(group) => (forbidden(group, settings), Remedy::Reject),
        // One that is there but can't be read is reported as unreadable.
        None if !asked.is_absent() || settings.fs_group.rule == GroupRule::MayRunAs => return,
        None => missing(spec, holder, settings),
    };
    let path = at.member("securityContext").member("fsGroup").to_string();
    findings.push(Finding { path, rule: RULE, message, remedy });
}

fn forbidden(group: i64, settings: &Settings) -> String {
    let ranges: Vec<_> = settings.fs_group.ranges.iter().map(ToString::to_string).collect();
    format!("{group} is not an allowed group; choose one of {}", ranges.join(", "))
}

fn missing<'a>(
    spec: &PodSpec<'a>,
    holder: &Volume<'a>,
    settings: &Settings,
) -> (String, Remedy<'a>) {
    let group = shared_group(spec)
        .filter(|group| settings.fs_group.allows(*group))
        .unwrap_or_else(|| settings.fs_group.group_to_set());
    let message = format!(
        "is not set, so the token files of volume {} are not limited to one group; set it to a \
         group of the processes that read them, such as {group}",
        Quoted(holder.name.or_empty()),
    );
    let mut volumes = spec.volumes.elements().map(|(_, volume)| volume);
    let remedy = match volumes.find_map(|volume| Some((volume, volume.persistent?))) {
        None => Remedy::Edit(set(spec, group, false)),
        Some((volume, source)) => match settings.fs_group.persistent_volumes {
            PersistentVolumes::Set => Remedy::Edit(set(spec, group, true)),
            PersistentVolumes::Reject => Remedy::Reject,
            PersistentVolumes::Leave => Remedy::Leave(format!(
                "not set by the policy, as it changes group and mode of every file on volume {} \
                 ({source}), which can outlive the Pod",
                Quoted(volume.name.or_empty()),
            )),
        },
    };
    (message, remedy)
}

/// The one `runAsGroup` that every container of the Pod has.
fn shared_group(spec: &PodSpec) -> Option<i64> {
    let pod = spec.security_context.get().and_then(|context| context.run_as_group.get());
    let mut groups = spec.all_containers().map(|container| {
        let own = container.security_context.get().map(|context| context.run_as_group);
        own.and_then(|group| group.get()).or(pod)
    });
    let first = groups.next()??;
    groups.all(|group| group == Some(first)).then_some(first)
}

fn set<'a>(spec: &PodSpec<'a>, group: i64, on_root_mismatch: bool) -> Vec<Edit<'a>> {
    let context = spec.security_context.get();
    let now = context.and_then(|context| context.fs_group.text());
    let mut members = vec![Member { key: "fsGroup", now, value: group.to_string() }];
    let policy = context.map(|context| &context.fs_group_change_policy);
    if on_root_mismatch && policy.is_none_or(|policy| policy.is_absent()) {
        members.push(Member {
            key: "fsGroupChangePolicy",
            now: policy.and_then(|policy| policy.text),
            value: r#""OnRootMismatch""#.to_owned(),
        });
    }
    match spec.security_context.text {
        Some(object) => fix::set(object, &members),
        None => vec![Edit::AddToSpec { key: "securityContext", members }],
    }
}
