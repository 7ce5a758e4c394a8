//! Which groups exist in a Pod's user namespace.

use crate::objects::PodSpec;

/// The last user and group id in a Pod's user namespace, unless the kubelet's `idsPerPod` maps more
/// (`pkg/kubelet/userns/userns_manager.go`, `userNsUnitLength`).
pub const LAST_MAPPED_ID: i64 = 65535;

/// True for a group that the runtime can give to the Pod's processes. With `hostUsers: false` a
/// group that isn't mapped keeps every container from starting, and the API server doesn't check
/// it.
pub fn has_group(spec: &PodSpec, group: i64) -> bool {
    spec.host_users != Some(false) || group <= LAST_MAPPED_ID
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_a_user_namespace() {
        for (host_users, group, expected) in [
            (None, 1_000_000_000, true),
            (Some(true), 1_000_000_000, true),
            (Some(false), 65534, true),
            (Some(false), 65535, true),
            (Some(false), 65536, false),
        ] {
            let spec = PodSpec {
                host_users,
                ..PodSpec::default()
            };
            assert_eq!(has_group(&spec, group), expected, "{host_users:?} {group}");
        }
    }
}
