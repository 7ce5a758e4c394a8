//! Who runs in a Pod's containers: their users and groups. A container's own value comes before the
//! Pod's (`pkg/securitycontext/util.go`, `DetermineEffectiveSecurityContext`).

use crate::decode::Text;
use crate::objects::{Capabilities, Container, PodSpec};

/// True for a container that may run as root, as far as the Pod's spec tells: the image may name a
/// user, or none.
pub fn may_be_root(spec: &PodSpec, container: &Container) -> bool {
    let own = &container.security_context;
    let pod = &spec.security_context;
    let is_non_root = own.run_as_non_root.or(pod.run_as_non_root);
    let user = user_of(spec, container);
    is_non_root != Some(true) && user.is_none_or(|user| user <= 0)
}

/// True for one that may also become another user with other groups, as `su` and `gosu` do.
pub fn may_change_groups(spec: &PodSpec, container: &Container) -> bool {
    let own = &container.security_context;
    may_be_root(spec, container)
        && (own.privileged == Some(true) || keeps_setgid(&own.capabilities))
}

/// Whether a container keeps SETGID, which a runtime gives to every container that doesn't drop it.
/// A capability that is dropped by its name is gone, even if it is added as well.
fn keeps_setgid(capabilities: &Capabilities) -> bool {
    !names(&capabilities.drop, "SETGID")
        && (!names(&capabilities.drop, "ALL")
            || names(&capabilities.add, "SETGID")
            || names(&capabilities.add, "ALL"))
}

/// Kubernetes' documents write SETGID; runtimes take CAP_SETGID and any case as well.
fn names(capabilities: &[Text], name: &str) -> bool {
    capabilities.iter().any(|capability| {
        let prefix = capability.get(..4);
        let without_prefix = match prefix {
            Some(prefix) if prefix.eq_ignore_ascii_case("CAP_") => &capability[4..],
            _ => capability,
        };
        without_prefix.eq_ignore_ascii_case(name)
    })
}

/// The user that all containers of the Pod set; what an image says doesn't count. The kubelet gives
/// tokens to that user (`pkg/volume/util/util.go`, `FsUserFrom`).
pub fn common_user(spec: &PodSpec) -> Option<i64> {
    common_value(
        spec.all_containers()
            .map(|container| user_of(spec, container)),
    )
}

/// The group that all containers of the Pod set.
pub fn common_group(spec: &PodSpec) -> Option<i64> {
    common_value(spec.all_containers().map(|container| {
        let own = container.security_context.run_as_group;
        own.or(spec.security_context.run_as_group)
    }))
}

fn common_value(mut values: impl Iterator<Item = Option<i64>>) -> Option<i64> {
    let first = values.next()??;
    values.all(|value| value == Some(first)).then_some(first)
}

/// The user that a container sets, or that the Pod sets for it.
pub fn user_of(spec: &PodSpec, container: &Container) -> Option<i64> {
    let own = container.security_context.run_as_user;
    own.or(spec.security_context.run_as_user)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Object;
    use serde_json::{Value, json};

    #[test]
    fn what_a_container_can_do_as_root() {
        // Whether it may be root, and whether it may change its groups.
        let (never, with_its_groups, with_any_groups) =
            ((false, false), (true, false), (true, true));
        let drop = |names: &[&str]| json!({ "capabilities": { "drop": names } });
        let change =
            |drop: &[&str], add: &[&str]| json!({ "capabilities": { "drop": drop, "add": add } });
        for (name, pod, container, expected) in [
            ("nothing is said", json!(null), json!(null), with_any_groups),
            (
                "runAsUser 0",
                json!({}),
                json!({ "runAsUser": 0 }),
                with_any_groups,
            ),
            (
                "another runAsUser",
                json!({}),
                json!({ "runAsUser": 1 }),
                never,
            ),
            (
                "the Pod's runAsUser",
                json!({ "runAsUser": 1 }),
                json!({}),
                never,
            ),
            (
                "root in a Pod of another user",
                json!({ "runAsUser": 1 }),
                json!({ "runAsUser": 0 }),
                with_any_groups,
            ),
            (
                "another user in a Pod of root",
                json!({ "runAsUser": 0 }),
                json!({ "runAsUser": 1 }),
                never,
            ),
            (
                "runAsNonRoot",
                json!({}),
                json!({ "runAsNonRoot": true }),
                never,
            ),
            (
                "the Pod's runAsNonRoot",
                json!({ "runAsNonRoot": true }),
                json!({}),
                never,
            ),
            (
                "runAsNonRoot switched off",
                json!({ "runAsNonRoot": true }),
                json!({ "runAsNonRoot": false }),
                with_any_groups,
            ),
            (
                "SETGID dropped",
                json!({}),
                drop(&["NET_RAW", "SETGID"]),
                with_its_groups,
            ),
            (
                "CAP_SETGID dropped",
                json!({}),
                drop(&["CAP_SETGID"]),
                with_its_groups,
            ),
            (
                "CAP_CAP_SETGID dropped",
                json!({}),
                drop(&["CAP_CAP_SETGID"]),
                with_any_groups,
            ),
            (
                "in small letters",
                json!({}),
                drop(&["cap_setgid"]),
                with_its_groups,
            ),
            ("ALL dropped", json!({}), drop(&["ALL"]), with_its_groups),
            (
                "CAP_ALL dropped",
                json!({}),
                drop(&["CAP_ALL"]),
                with_its_groups,
            ),
            ("all dropped", json!({}), drop(&["all"]), with_its_groups),
            (
                "another one dropped",
                json!({}),
                drop(&["SETUID", "SETGIDS"]),
                with_any_groups,
            ),
            (
                "ALL dropped, SETGID added",
                json!({}),
                change(&["ALL"], &["CAP_SETGID"]),
                with_any_groups,
            ),
            (
                "ALL dropped, another one added",
                json!({}),
                change(&["ALL"], &["SETUID"]),
                with_its_groups,
            ),
            (
                "ALL dropped, ALL added",
                json!({}),
                change(&["ALL"], &["ALL"]),
                with_any_groups,
            ),
            (
                "SETGID dropped and added",
                json!({}),
                change(&["SETGID"], &["SETGID"]),
                with_its_groups,
            ),
            (
                "SETGID dropped, ALL added",
                json!({}),
                change(&["SETGID"], &["ALL"]),
                with_its_groups,
            ),
            (
                "ALL dropped, as another user",
                json!({ "runAsUser": 1 }),
                change(&["ALL"], &["SETGID"]),
                never,
            ),
            (
                "privileged",
                json!({}),
                json!({ "privileged": true, "capabilities": { "drop": ["ALL"] } }),
                with_any_groups,
            ),
        ] {
            let spec =
                json!({ "securityContext": pod, "containers": [{ "securityContext": container }] });
            let spec = spec.to_string();
            let spec: Object<PodSpec> = serde_json::from_str(&spec).unwrap();
            let container = spec.all_containers().next().unwrap();
            let found = (
                may_be_root(&spec, container),
                may_change_groups(&spec, container),
            );
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn users_and_groups_that_all_containers_share() {
        let run_as = |id: i64| json!({ "securityContext": { "runAsUser": id, "runAsGroup": id } });
        let pod = |id: i64| json!({ "runAsUser": id, "runAsGroup": id });
        let cases: [(&str, Value, Value, Option<i64>); 9] = [
            ("no containers", pod(3), json!([]), None),
            (
                "each its own",
                json!(null),
                json!([run_as(3), run_as(3)]),
                Some(3),
            ),
            ("root", json!(null), json!([run_as(0)]), Some(0)),
            ("the Pod's", pod(3), json!([{}, {}]), Some(3)),
            (
                "the Pod's and the same",
                pod(3),
                json!([{}, run_as(3)]),
                Some(3),
            ),
            (
                "the Pod's and another",
                pod(3),
                json!([{}, run_as(4)]),
                None,
            ),
            (
                "all others than the Pod's",
                pod(3),
                json!([run_as(4), run_as(4)]),
                Some(4),
            ),
            ("one doesn't say", json!({}), json!([{}, run_as(3)]), None),
            (
                "the second doesn't say",
                json!({}),
                json!([run_as(3), {}]),
                None,
            ),
        ];
        for (name, security_context, containers, expected) in cases {
            for list in ["containers", "initContainers", "ephemeralContainers"] {
                let mut spec = json!({ "securityContext": security_context, list: containers });
                if list != "containers" && containers.as_array().is_some_and(|them| them.len() > 1)
                {
                    // One of them among the main containers, the others in the list.
                    let mut split = containers.as_array().unwrap().clone();
                    spec["containers"] = json!([split.remove(0)]);
                    spec[list] = json!(split);
                }
                let spec = spec.to_string();
                let spec: Object<PodSpec> = serde_json::from_str(&spec).unwrap();
                assert_eq!(common_user(&spec), expected, "{name}, {list}");
                assert_eq!(common_group(&spec), expected, "{name}, {list}");
            }
        }
    }
}
