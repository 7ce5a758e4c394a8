//! The token files of a Pod are readable by one group, and that group is allowed.
//!
//! Fields: `securityContext.fsGroup` of Pods and templates with a token.
//!
//! Allowed: a group in `fsGroup.ranges`; none with `rule: MayRunAs`, on Windows, and with
//! `commonUser: Accept` where all containers set the same user. Without it the kubelet writes a
//! token with the volume's mode, 0644, for every process in the Pod; with it 0640, for that group
//! (`pkg/volume/projected/projected.go`, `collectData`, and `pkg/volume/util/util.go`).
//!
//! Mutation: the group that all containers share, if it is allowed, else `fsGroup.default`; only
//! where nothing is seen that it may break, or the settings say so. A group that is set is never
//! replaced.
//!
//! An ephemeral container may end what a common user protected: whoever adds it is warned.

use crate::field_path::FieldPath;
use crate::kubelet::containers::ContainerFacts;
use crate::kubelet::operating_system::is_windows;
use crate::kubelet::token_file::projected_token_file;
use crate::kubelet::users::{common_user, user_of};
use crate::message::{quote, quote_in_warning};
use crate::missing_fs_group::{Breakage, MissingFsGroup};
use crate::objects::PodSpec;
use crate::patch::new_value;
use crate::review::{EphemeralReview, Review, TokenSource};
use crate::rules::{Context, Remedy, Rule, Violation};
use crate::settings::{FsGroup, GroupRule};

pub const RULE: Rule = Rule {
    name: "fs-group",
    check,
};

fn check<'r>(review: &'r Review, context: &'r Context) -> Vec<Violation<'r>> {
    if let Some(ephemeral) = &review.ephemeral {
        return Vec::from_iter(check_ephemeral(ephemeral));
    }
    let (Some(pod), Some(token)) = (&review.pod, context.token_in_file) else {
        return Vec::new();
    };
    let path = pod.path.child("securityContext").child("fsGroup");
    let violation = match &context.missing_fs_group {
        Some(missing) => Some(report_missing(path, token, missing, review.is_template())),
        None => check_group(path, pod.spec, &context.settings.fs_group),
    };
    let violation = violation.map(|violation| Violation {
        is_presumed: token == TokenSource::Injected,
        ..violation
    });
    Vec::from_iter(violation)
}

/// A group that is set has to be allowed.
fn check_group(path: FieldPath, pod: &PodSpec, settings: &FsGroup) -> Option<Violation<'static>> {
    let group = pod.security_context.fs_group?;
    if settings.rule == GroupRule::RunAsAny || settings.allows(group) {
        return None;
    }
    let allowed = settings.allowed().iter().map(|range| range.0.to_string());
    let allowed = allowed.collect::<Vec<_>>().join(", ");
    let message = format!("Invalid value: {group}: must be in {allowed}");
    Some(Violation::new(path, message, Remedy::Reject))
}

fn report_missing(
    path: FieldPath,
    token: TokenSource,
    missing: &MissingFsGroup,
    is_template: bool,
) -> Violation<'static> {
    let (group, reason, remedy) = match missing {
        MissingFsGroup::Reject { group, breakage } => {
            let reason = format!("; it is not set for you, since {}", breakage.what);
            (*group, reason, Remedy::Reject)
        }
        MissingFsGroup::Leave { group, breakages } => {
            (*group, String::new(), leave(&path, breakages, is_template))
        }
        MissingFsGroup::Set {
            group,
            on_root_mismatch,
            warnings,
        } => {
            let remedy = set_group(&path, *group, *on_root_mismatch, warnings, is_template);
            (Some(*group), String::new(), remedy)
        }
    };
    let message = require_group(token, group) + &reason;
    Violation::new(path, message, remedy)
}

fn leave(path: &FieldPath, breakages: &[Breakage], is_template: bool) -> Remedy<'static> {
    let left = if is_template {
        "will be left out of its Pods"
    } else {
        "is left out"
    };
    let warn = |breakage: &Breakage| {
        format!(
            "{path}: {}: it {left}, since {}",
            breakage.advice, breakage.what
        )
    };
    Remedy::Leave {
        reasons: breakages
            .iter()
            .map(|breakage| breakage.what.clone())
            .collect(),
        warnings: breakages
            .iter()
            .map(|breakage| warn(breakage).into())
            .collect(),
    }
}

fn set_group(
    path: &FieldPath,
    group: i64,
    on_root_mismatch: bool,
    breakages: &[Breakage],
    is_template: bool,
) -> Remedy<'static> {
    let set = if is_template {
        "will be set in its Pods"
    } else {
        "is set"
    };
    let warn = |breakage: &Breakage| {
        format!(
            "{path}: {}: it {set} to {group}, but {}",
            breakage.advice, breakage.what
        )
    };
    let mut patches = vec![(path.clone(), new_value(group))];
    if on_root_mismatch {
        let policy = path.parent().child("fsGroupChangePolicy");
        patches.push((policy, new_value("OnRootMismatch")));
    }
    Remedy::Patch {
        patches,
        warnings: breakages
            .iter()
            .map(|breakage| warn(breakage).into())
            .collect(),
    }
}

fn require_group(token: TokenSource, group: Option<i64>) -> String {
    let holder = match token {
        TokenSource::Volume(name) => format!("volume {}", quote(name)),
        _ => "the volume that the API server injects".to_owned(),
    };
    let example = group
        .map(|group| format!(", such as {group}"))
        .unwrap_or_default();
    format!(
        "Required value: set it to a group of the processes that read the token{example}: without it \
         the token in {holder} is not limited to one group"
    )
}

/// The kubelet gives the token of a Pod without fsGroup to the user of all containers. A new one of
/// another user ends that at the next renewal, for the running containers as well.
fn check_ephemeral(ephemeral: &EphemeralReview) -> Option<Violation<'static>> {
    let pod = ephemeral.pod;
    let user = common_user(pod)?;
    if pod.security_context.fs_group.is_some() || is_windows(pod) {
        return None;
    }
    let is_other = |facts: &&ContainerFacts| user_of(pod, facts.container) != Some(user);
    let newcomer = ephemeral.containers.iter().find(is_other)?;
    let mode = most_private_token_mode(pod)?;
    let after = projected_token_file(None, None, mode);
    let effect = if after.is_readable_by_all() {
        "every process of the Pod can read the token"
    } else {
        "the Pod's own containers may not read their token any more"
    };
    let message = format!(
        "set runAsUser {user} in container {}: without it {effect} from its next renewal on",
        quote_in_warning(&newcomer.container.name)
    );
    Some(Violation::notice(
        newcomer.path(&FieldPath::new(&["spec"])),
        message,
    ))
}

/// The mode of the volume with a token from which most processes are kept out.
fn most_private_token_mode(pod: &PodSpec) -> Option<i32> {
    let volumes = pod.volumes.iter();
    let with_token = volumes.filter(|volume| volume.tokens().next().is_some());
    let modes = with_token.map(|volume| volume.projected_mode());
    modes.min_by_key(|mode| mode & 0o004)
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::tests::{
        Found, check, check_pod, check_request, check_template, pod, token_volume,
    };
    use serde_json::{Value, json};

    /// What is done: `-` for nothing, the group that is set, or the remedy.
    fn outcome(found: &[Found]) -> String {
        match found {
            [] => "-".to_owned(),
            [found] => {
                assert!(
                    found.path.ends_with("spec.securityContext.fsGroup"),
                    "{found:?}"
                );
                match &*found.patches {
                    [] => found.remedy.to_owned(),
                    [(_, Some(group)), policy @ ..] => {
                        let policy = if policy.is_empty() {
                            ""
                        } else {
                            " OnRootMismatch"
                        };
                        format!("{group}{policy}")
                    }
                    _ => panic!("{found:?}"),
                }
            }
            _ => panic!("{found:?}"),
        }
    }

    /// A container that never runs as root and mounts all of these volumes.
    fn container(volumes: &[&str]) -> Value {
        let mounts: Vec<_> = volumes
            .iter()
            .map(|name| json!({ "name": name, "mountPath": "/v" }))
            .collect();
        json!({ "name": "main", "volumeMounts": mounts, "securityContext": { "runAsNonRoot": true } })
    }

    /// A Pod with a token, whose container never runs as root.
    fn with_token(tweak: &Value) -> Value {
        let token = token_volume("t", &json!("v"), &json!(3600));
        let mut spec = json!({ "volumes": [token], "containers": [container(&["t"])] });
        json_patch::merge(&mut spec, tweak);
        spec
    }

    #[test]
    fn groups_that_are_set() {
        let narrow =
            json!({ "ranges": [{ "min": 1, "max": 9 }, { "min": 20, "max": 29 }], "default": 5 });
        let may = json!({ "rule": "MayRunAs", "ranges": [{ "min": 1, "max": 9 }] });
        let any = json!({ "rule": "RunAsAny" });
        for (group, settings, expected) in [
            (json!(0), json!({}), "-"),
            (json!(i32::MAX), json!({}), "-"),
            (json!(1_i64 << 31), json!({}), "reject"),
            (json!(-1), json!({}), "reject"),
            (json!(9), narrow.clone(), "-"),
            (json!(25), narrow.clone(), "-"),
            (json!(0), narrow.clone(), "reject"),
            (json!(10), narrow.clone(), "reject"),
            (json!(null), narrow, "5"),
            (json!(10), may.clone(), "reject"),
            (json!(9), may.clone(), "-"),
            (json!(null), may, "-"),
            (json!(-1), any.clone(), "-"),
            (json!(null), any, "-"),
        ] {
            let tweak = with_token(&json!({ "securityContext": { "fsGroup": group } }));
            let found = check_pod(&RULE, &tweak, &json!({ "fsGroup": settings }));
            assert_eq!(outcome(&found), expected, "{group} with {settings}");
        }
        let ranges = json!({ "fsGroup": { "ranges": [{ "min": 1, "max": 9 }], "default": 5 } });
        let found = check_pod(
            &RULE,
            &with_token(&json!({ "securityContext": { "fsGroup": 10 } })),
            &ranges,
        );
        assert_eq!(found[0].message, "Invalid value: 10: must be in 1-9");
        let found = check_pod(&RULE, &with_token(&json!({})), &json!({}));
        assert_eq!(
            found[0].message,
            "Required value: set it to a group of the processes that read the token, such as 65534: \
             without it the token in volume \"t\" is not limited to one group"
        );
    }

    #[test]
    fn pods_that_need_a_group() {
        let user = |id: i64| json!({ "securityContext": { "runAsUser": id } });
        let token = token_volume("t", &json!("v"), &json!(3600));
        let own = json!({ "name": "l", "secret": { "secretName": "app-token-x7k2p" } });
        let other = json!({ "name": "l", "secret": { "secretName": "builder-token-x7k2p" } });
        let folder = "/var/run/secrets/kubernetes.io/serviceaccount";
        let mounts = json!([{ "name": "l", "mountPath": folder }]);
        let at_token = json!({ "name": "main", "volumeMounts": mounts });
        let accept = json!({ "fsGroup": { "commonUser": "Accept" } });
        for (name, tweak, settings, expected) in [
            ("no token", json!({}), json!({}), "-"),
            ("a token", json!({}), json!({}), "65534"),
            (
                "a legacy token that becomes a projected one",
                json!({ "volumes": [own], "containers": [at_token] }),
                json!({}),
                "65534",
            ),
            (
                "a legacy token of which nobody can tell",
                json!({ "volumes": [own] }),
                json!({}),
                "-",
            ),
            (
                "a legacy token that is rejected",
                json!({ "volumes": [other] }),
                json!({}),
                "-",
            ),
            (
                "a Pod for Windows",
                json!({ "os": { "name": "windows" } }),
                json!({}),
                "-",
            ),
            (
                "a group that all containers share",
                json!({ "securityContext": { "runAsGroup": 3000 } }),
                json!({}),
                "3000",
            ),
            (
                "a shared group that isn't allowed",
                json!({ "securityContext": { "runAsGroup": 3000 } }),
                json!({ "fsGroup": { "ranges": [{ "min": 1, "max": 9 }], "default": 5 } }),
                "5",
            ),
            (
                "one user",
                json!({ "containers": [user(7), user(7)] }),
                json!({}),
                "65534",
            ),
            (
                "one user, which is enough",
                json!({ "containers": [user(7), user(7)] }),
                accept.clone(),
                "-",
            ),
            (
                "two users",
                json!({ "containers": [user(7), user(8)] }),
                accept.clone(),
                "65534",
            ),
            (
                "an init container of another user",
                json!({ "containers": [user(7)], "initContainers": [user(8)] }),
                accept.clone(),
                "65534",
            ),
            ("a user of the image", json!({}), accept, "65534"),
        ] {
            let mut spec = with_token(&tweak);
            if tweak.get("volumes").is_none() {
                spec["volumes"] = json!(if name == "no token" {
                    vec![]
                } else {
                    vec![token.clone()]
                });
            }
            assert_eq!(
                outcome(&check_pod(&RULE, &spec, &settings)),
                expected,
                "{name}"
            );
        }
    }

    /// A disk that a container mounts, beside the token, with its mounts.
    fn with_disk(source: &Value, mounts: &Value) -> Value {
        let mut volume = source.clone();
        volume["name"] = json!("data");
        let token = token_volume("t", &json!("v"), &json!(3600));
        let mut container = container(&["t"]);
        container["volumeMounts"]
            .as_array_mut()
            .unwrap()
            .extend(mounts.as_array().unwrap().clone());
        json!({ "volumes": [volume, token], "containers": [container] })
    }

    /// The tables of sources are those of `kubelet::volumes`.
    #[test]
    fn volumes_that_outlive_a_container() {
        let claim = json!({ "persistentVolumeClaim": { "claimName": "c" } });
        let read_only = json!({ "persistentVolumeClaim": { "claimName": "c", "readOnly": true } });
        let ephemeral = json!({ "ephemeral": { "volumeClaimTemplate": {} } });
        let mounted = json!([{ "name": "data", "mountPath": "/d" }]);
        let mounted_to_read = json!([{ "name": "data", "mountPath": "/d", "readOnly": true }]);
        let decides = "the operator's fsGroup.persistentVolumes decides";
        let say = "say readOnly: true in its source";
        for (name, source, mounts, expected, advice) in [
            ("a claim", &claim, &mounted, "leave", decides),
            (
                "a claim that is only read",
                &claim,
                &mounted_to_read,
                "leave",
                say,
            ),
            (
                "a source that has no readOnly",
                &ephemeral,
                &mounted_to_read,
                "leave",
                decides,
            ),
            (
                "a claim that no container mounts",
                &claim,
                &json!([]),
                "65534",
                "",
            ),
            ("a read-only claim", &read_only, &mounted, "65534", ""),
            (
                "a source of tomorrow",
                &json!({ "later": {} }),
                &mounted,
                "leave",
                decides,
            ),
            ("an emptyDir", &json!({}), &mounted, "65534", ""),
        ] {
            let tweak = with_disk(source, mounts);
            let found = check_pod(&RULE, &tweak, &json!({}));
            assert_eq!(outcome(&found), expected, "{name}");
            let told = found[0].warnings.join("; ");
            let is_told = told.contains("volume \"data\"") && told.contains(advice);
            assert_eq!(is_told, expected == "leave", "{name}: {told}");
            if expected == "leave" {
                let with = |choice| {
                    let settings = json!({ "fsGroup": { "persistentVolumes": choice } });
                    outcome(&check_pod(&RULE, &tweak, &settings))
                };
                assert_eq!(with("Set"), "65534 OnRootMismatch", "{name}");
                assert_eq!(with("Reject"), "reject", "{name}");
            }
        }
    }

    #[test]
    fn raw_block_devices() {
        let claim = json!({ "persistentVolumeClaim": { "claimName": "c" } });
        let mut tweak = with_disk(&claim, &json!([]));
        tweak["containers"][0]["volumeDevices"] =
            json!([{ "name": "data", "devicePath": "/dev/x" }]);
        for choice in ["Leave", "Reject"] {
            let settings = json!({ "fsGroup": { "persistentVolumes": choice } });
            let found = check_pod(&RULE, &tweak, &settings);
            assert_eq!(outcome(&found), "65534", "{choice}");
            assert!(found[0].warnings.is_empty(), "{choice}: {found:?}");
        }
    }

    #[test]
    fn a_change_policy_that_is_set_stays() {
        let claim = json!({ "persistentVolumeClaim": { "claimName": "c" } });
        let mut tweak = with_disk(&claim, &json!([{ "name": "data", "mountPath": "/d" }]));
        tweak["securityContext"] = json!({ "fsGroupChangePolicy": "Always" });
        let set = json!({ "fsGroup": { "persistentVolumes": "Set" } });
        assert_eq!(outcome(&check_pod(&RULE, &tweak, &set)), "65534");
    }

    #[test]
    fn the_claims_of_a_stateful_set() {
        let mounts = json!([{ "name": "data", "mountPath": "/d" }]);
        let claim = |name: &str, mode: &str| json!([{ "metadata": { "name": name }, "spec": { "volumeMode": mode } }]);
        for (name, source, claims, expected) in [
            ("a claim", json!({}), claim("data", "Filesystem"), "leave"),
            (
                "a claim that no container mounts",
                json!({}),
                claim("other", "Filesystem"),
                "65534",
            ),
            (
                "a raw block device",
                json!({}),
                claim("data", "Block"),
                "65534",
            ),
        ] {
            let template = pod(&with_disk(&source, &mounts));
            let object =
                json!({ "spec": { "template": template, "volumeClaimTemplates": claims } });
            let kind = ("apps", "StatefulSet", "");
            let found = check(&RULE, kind, &object, &json!({}));
            assert_eq!(outcome(&found), expected, "{name}");
            if expected == "leave" {
                assert!(
                    found[0].warnings[0].contains("volume \"data\""),
                    "{name}: {found:?}"
                );
                assert!(
                    found[0].warnings[0].contains("will be left out"),
                    "{name}: {found:?}"
                );
                let reject = json!({ "fsGroup": { "persistentVolumes": "Reject" } });
                assert_eq!(
                    outcome(&check(&RULE, kind, &object, &reject)),
                    "reject",
                    "{name}"
                );
            }
        }
    }

    /// A volume with files that are private for the containers that mount it, beside the token.
    #[test]
    fn private_files() {
        let secret = json!({ "name": "key", "secret": { "defaultMode": 0o400 } });
        let token_of_0400 = json!({ "name": "key", "projected": { "defaultMode": 0o400, "sources": [
            { "serviceAccountToken": { "path": "token", "expirationSeconds": 3600 } },
        ] } });
        let no_setgid = json!({ "capabilities": { "drop": ["ALL"] } });
        let other_user = json!({ "runAsUser": 1000 });
        for (name, volume, mounted, context, expected) in [
            ("a key", &secret, "key", &no_setgid, "leave"),
            ("a token", &token_of_0400, "key", &no_setgid, "leave"),
            (
                "a key that root does not see",
                &secret,
                "other",
                &no_setgid,
                "65534",
            ),
            (
                "a key of another user",
                &secret,
                "key",
                &other_user,
                "65534",
            ),
        ] {
            let token = token_volume("t", &json!("v"), &json!(3600));
            let root = json!({
                "name": "r", "securityContext": context,
                "volumeMounts": [{ "name": mounted, "mountPath": "/k" }],
            });
            for list in ["containers", "initContainers", "ephemeralContainers"] {
                let mut tweak = with_token(&json!({ "volumes": [volume, token] }));
                tweak[list] = json!([root]);
                let with = |choice: &str| {
                    check_pod(
                        &RULE,
                        &tweak,
                        &json!({ "fsGroup": { "privateFiles": choice } }),
                    )
                };
                let found = with("Leave");
                assert_eq!(outcome(&found), expected, "{name} in {list}: {found:?}");
                let is_told = found[0]
                    .warnings
                    .iter()
                    .any(|it| it.contains("volume \"key\""));
                assert_eq!(is_told, expected == "leave", "{name} in {list}: {found:?}");
                let rejected = if expected == "leave" {
                    "reject"
                } else {
                    "65534"
                };
                assert_eq!(
                    outcome(&with("Reject")),
                    rejected,
                    "{name} in {list}, Reject"
                );
                assert_eq!(outcome(&with("Set")), "65534", "{name} in {list}, Set");
            }
        }
    }

    #[test]
    fn containers_that_may_lose_the_token() {
        let root = |volume: &str, context: Value| {
            let mounts = json!([{ "name": volume, "mountPath": "/t" }]);
            json!({ "name": "r", "volumeMounts": mounts, "securityContext": context })
        };
        let kept = json!({ "capabilities": { "drop": ["ALL"] } });
        let private = json!({ "name": "p", "projected": { "defaultMode": 0o440, "sources": [
            { "serviceAccountToken": { "path": "token", "expirationSeconds": 3600 } },
        ] } });
        for (name, init_container, context, expected) in [
            ("root", root("t", json!({})), json!({}), true),
            (
                "root without the token",
                root("other", json!({})),
                json!({}),
                false,
            ),
            (
                "root that keeps its groups",
                root("t", kept),
                json!({}),
                false,
            ),
            ("another user", container(&["t"]), json!({}), false),
            (
                "root with a token that was closed before",
                root("p", json!({})),
                json!({}),
                false,
            ),
            (
                "root by the words of the whole Pod, whose token is root's alone",
                root("t", json!({ "runAsUser": 0 })),
                json!({ "runAsUser": 0 }),
                false,
            ),
        ] {
            let with = |choice: &str| {
                let token = token_volume("t", &json!("v"), &json!(3600));
                let mut tweak = with_token(&json!({ "volumes": [token, private] }));
                tweak["initContainers"] = json!([init_container]);
                tweak["securityContext"] = context.clone();
                let settings =
                    json!({ "fsGroup": { "rootContainers": choice, "privateFiles": "Set" } });
                check_pod(&RULE, &tweak, &settings)
            };
            let found = with("Set");
            let is_told = found[0]
                .warnings
                .iter()
                .any(|it| it.contains("container \"r\""));
            assert_eq!(
                (&*outcome(&found), is_told),
                ("65534", expected),
                "{name}: {found:?}"
            );
            let left = if expected { "leave" } else { "65534" };
            assert_eq!(outcome(&with("Leave")), left, "{name}, Leave");
            let rejected = if expected { "reject" } else { "65534" };
            assert_eq!(outcome(&with("Reject")), rejected, "{name}, Reject");
        }
    }

    #[test]
    fn a_container_that_may_lose_what_is_like_a_token() {
        for source in ["podCertificate", "clusterTrustBundle"] {
            let volume = json!({ "name": "cert", "projected": { "sources": [{ source: {} }] } });
            let token = token_volume("t", &json!("v"), &json!(3600));
            let mounts = json!([{ "name": "cert", "mountPath": "/c" }]);
            let root = json!({ "name": "r", "volumeMounts": mounts });
            let tweak =
                json!({ "volumes": [token, volume], "containers": [root, container(&["t"])] });
            let with = |choice| {
                check_pod(
                    &RULE,
                    &tweak,
                    &json!({ "fsGroup": { "rootContainers": choice } }),
                )
            };
            assert_eq!(outcome(&with("Set")), "65534", "{source}");
            assert_eq!(outcome(&with("Leave")), "leave", "{source}");
            assert!(
                with("Set")[0].warnings[0].contains("container \"r\""),
                "{source}"
            );
        }
    }

    #[test]
    fn the_key_of_a_certificate() {
        for (name, user, mode, volumes, expected) in [
            (
                "of the user of all containers",
                json!(999),
                0o644,
                &["t", "cert"][..],
                "leave",
            ),
            ("of root", json!(0), 0o644, &["t", "cert"], "leave"),
            (
                "of no one user",
                json!(null),
                0o644,
                &["t", "cert"],
                "65534",
            ),
            (
                "of no one user, with 0400",
                json!(null),
                0o400,
                &["t", "cert"],
                "leave",
            ),
            ("that no container sees", json!(999), 0o400, &["t"], "65534"),
        ] {
            let certificate = json!({ "name": "cert", "projected": {
                "defaultMode": mode, "sources": [{ "podCertificate": {} }],
            } });
            let token = token_volume("t", &json!("v"), &json!(3600));
            let mut container = container(volumes);
            container["securityContext"] = json!({ "runAsUser": user });
            let tweak = json!({ "volumes": [token, certificate], "containers": [container] });
            let found = check_pod(&RULE, &tweak, &json!({}));
            assert_eq!(outcome(&found), expected, "{name}: {found:?}");
        }
    }

    #[test]
    fn several_obstacles() {
        let volumes = json!([
            token_volume("t", &json!("v"), &json!(3600)),
            { "name": "data", "persistentVolumeClaim": { "claimName": "c" } },
            { "name": "key", "secret": { "defaultMode": 0o400 } },
        ]);
        let mounts = json!([{ "name": "t" }, { "name": "key" }, { "name": "data" }]);
        let main = json!({ "name": "main", "volumeMounts": mounts });
        let tweak = json!({ "volumes": volumes, "containers": [main] });
        for (persistent, private, root, expected, warnings) in [
            (
                "Leave",
                "Leave",
                "Leave",
                "leave",
                &["\"data\"", "\"key\"", "\"main\""][..],
            ),
            ("Leave", "Set", "Set", "leave", &["\"data\""]),
            ("Set", "Leave", "Set", "leave", &["\"key\""]),
            ("Set", "Set", "Set", "65534 OnRootMismatch", &["\"main\""]),
            ("Leave", "Reject", "Leave", "reject", &[]),
        ] {
            let settings = json!({ "fsGroup": {
                "persistentVolumes": persistent, "privateFiles": private, "rootContainers": root,
            } });
            let found = check_pod(&RULE, &tweak, &settings);
            assert_eq!(outcome(&found), expected, "{settings}");
            let told = &found[0].warnings;
            assert_eq!(told.len(), warnings.len(), "{settings}: {told:?}");
            let mut pairs = told.iter().zip(warnings);
            assert!(
                pairs.all(|(told, name)| told.contains(name)),
                "{settings}: {told:?}"
            );
        }
    }

    /// A group above 65535 does not exist there, and no container would start.
    #[test]
    fn pods_in_a_user_namespace() {
        let openshift = json!({ "ranges": [{ "min": 1_000_000_000, "max": 1_999_999_999 }], "default": 1_000_650_000 });
        let both = json!({ "ranges": [{ "min": 60_000, "max": 70_000 }], "default": 70_000 });
        let narrow = json!({ "ranges": [{ "min": 100, "max": 200 }, { "min": 70_000, "max": 80_000 }], "default": 70_000 });
        for (name, host_users, group, settings, expected) in [
            ("the default", json!(false), json!(null), json!({}), "65534"),
            (
                "a group of its own",
                json!(false),
                json!(3000),
                json!({}),
                "3000",
            ),
            (
                "a group too high",
                json!(false),
                json!(100_000),
                json!({}),
                "65534",
            ),
            ("nobody's", json!(false), json!(null), both.clone(), "65534"),
            ("the highest", json!(false), json!(null), narrow, "200"),
            (
                "none",
                json!(false),
                json!(null),
                openshift.clone(),
                "leave",
            ),
            (
                "the host's",
                json!(null),
                json!(null),
                openshift.clone(),
                "1000650000",
            ),
            (
                "the host's, by its own words",
                json!(true),
                json!(null),
                both,
                "70000",
            ),
        ] {
            let context = json!({ "runAsGroup": group });
            let tweak = with_token(&json!({ "hostUsers": host_users, "securityContext": context }));
            let found = check_pod(&RULE, &tweak, &json!({ "fsGroup": settings }));
            assert_eq!(outcome(&found), expected, "{name}: {found:?}");
            if expected == "leave" {
                assert!(
                    found[0].warnings[0].contains("hostUsers"),
                    "{name}: {found:?}"
                );
                assert!(!found[0].message.contains("such as"), "{name}: {found:?}");
            }
        }
    }

    #[test]
    fn the_volume_that_will_be_injected_into_a_templates_pods() {
        let automount = |more: Value| {
            let mut tweak = json!({ "automountServiceAccountToken": null });
            json_patch::merge(&mut tweak, &more);
            tweak
        };
        let leave = json!({ "fsGroup": { "rootContainers": "Leave" } });
        let reject = json!({ "fsGroup": { "rootContainers": "Reject" } });
        let warn = json!({ "mode": "warn" });
        let non_root = json!({ "securityContext": { "runAsNonRoot": true } });
        let not_allowed = json!({ "securityContext": { "fsGroup": -1 } });
        let allowed = json!({ "securityContext": { "fsGroup": 1 } });
        for (name, tweak, settings, expected) in [
            ("automount switched off", json!({}), json!({}), ""),
            (
                "root",
                automount(json!({})),
                json!({}),
                "it will be set in its Pods to 65534",
            ),
            (
                "root, in mode warn",
                automount(json!({})),
                warn.clone(),
                "it will be set in its Pods",
            ),
            ("nothing breaks", automount(non_root.clone()), json!({}), ""),
            (
                "nothing breaks, in mode warn",
                automount(non_root),
                warn,
                "",
            ),
            (
                "left alone",
                automount(json!({})),
                leave,
                "it will be left out of its Pods",
            ),
            (
                "rejected in the Pods",
                automount(json!({})),
                reject,
                "it is not set for you",
            ),
            (
                "a group that isn't allowed",
                automount(not_allowed),
                json!({}),
                "must be in",
            ),
            ("an allowed group", automount(allowed), json!({}), ""),
        ] {
            let found = check_template(&RULE, &tweak, &settings);
            let told = found
                .iter()
                .flat_map(|it| it.warnings.clone())
                .collect::<Vec<_>>()
                .join("; ");
            assert!(told.contains(expected), "{name}: {found:?}");
            assert_eq!(told.is_empty(), expected.is_empty(), "{name}: {found:?}");
            assert!(
                found.iter().all(|it| it.remedy == "notice"),
                "{name}: {found:?}"
            );
        }
        let found = check_template(&RULE, &with_token(&automount(json!({}))), &json!({}));
        assert_ne!(found[0].remedy, "notice", "a token of its own: {found:?}");
    }

    /// What an ephemeral container does to the token of the containers that run already.
    #[test]
    fn ephemeral_containers_that_end_a_common_user() {
        let pod = |context: Value, volumes: Value, ephemeral: Value| {
            json!({ "spec": {
                "securityContext": context, "volumes": volumes,
                "containers": [{ "name": "app", "securityContext": { "runAsUser": 1000 } }],
                "ephemeralContainers": ephemeral,
            } })
        };
        let token = |mode: i32| {
            let mut volume = token_volume("t", &json!(null), &json!(3600));
            volume["projected"]["defaultMode"] = json!(mode);
            json!([volume])
        };
        let as_user =
            |user: Value| json!([{ "name": "debug", "securityContext": { "runAsUser": user } }]);
        let windows = json!({ "windowsOptions": {} });
        let group = json!({ "fsGroup": 7 });
        let every = "every process of the Pod can read the token";
        let locked_out = "may not read their token any more";
        for (name, context, volumes, ephemeral, expected) in [
            (
                "no user",
                json!({}),
                token(0o644),
                as_user(json!(null)),
                every,
            ),
            (
                "another user",
                json!({}),
                token(0o644),
                as_user(json!(2000)),
                every,
            ),
            (
                "a private volume",
                json!({}),
                token(0o400),
                as_user(json!(null)),
                locked_out,
            ),
            (
                "a private volume beside an open one",
                json!({}),
                json!([token(0o444)[0], token(0o640)[0]]),
                as_user(json!(null)),
                locked_out,
            ),
            (
                "the same user",
                json!({}),
                token(0o644),
                as_user(json!(1000)),
                "",
            ),
            ("an fsGroup", group, token(0o644), as_user(json!(null)), ""),
            ("no token", json!({}), json!([]), as_user(json!(null)), ""),
            (
                "on Windows",
                windows,
                token(0o644),
                as_user(json!(null)),
                "",
            ),
        ] {
            let new = pod(context.clone(), volumes.clone(), ephemeral.clone());
            let request = json!({
                "kind": { "group": "", "kind": "Pod" }, "subResource": "ephemeralcontainers",
                "operation": "UPDATE", "object": new,
                "oldObject": pod(context, volumes, json!([])),
            });
            let found = check_request(&RULE, &request, &json!({}));
            assert_eq!(
                found.len(),
                usize::from(!expected.is_empty()),
                "{name}: {found:?}"
            );
            for it in found {
                assert_eq!(
                    (&*it.path, it.remedy),
                    ("spec.ephemeralContainers[0]", "notice"),
                    "{name}"
                );
                assert!(
                    it.warnings[0].contains("container \"debug\""),
                    "{name}: {it:?}"
                );
                assert!(it.warnings[0].contains(expected), "{name}: {it:?}");
            }
        }
    }
}
