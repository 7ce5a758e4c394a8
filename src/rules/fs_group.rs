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

use crate::decode::Object;
use crate::field_path::FieldPath;
use crate::message::{name, quoted};
use crate::objects::{DEFAULT_MODE, Files, Volume};
use crate::patch::new_value;
use crate::review::{Mount, PodReview, Review};
use crate::rules::legacy_token::converted;
use crate::rules::{Context, Remedy, Rule, Violation};
use crate::security_context::{common, is_windows, may_be_root, may_change_groups};
use crate::settings::{CommonUser, FsGroup, GroupRule, Mode, Obstacle};

pub const RULE: Rule = Rule { name: "fs-group", check };

fn check(review: &Review, context: &Context) -> Vec<Violation> {
    let settings = &context.settings.fs_group;
    let Some(pod) = &review.pod else { return Vec::new() };
    if settings.rule == GroupRule::RunAsAny || is_windows(pod.spec) {
        return Vec::new();
    }
    let mut token_volumes: Vec<_> = review.tokens.iter().filter_map(|token| token.volume).collect();
    token_volumes.extend(converted(review, context).into_iter().map(|(_, volume)| volume));
    token_volumes.dedup();
    if token_volumes.is_empty() && !pod.injects_token {
        return Vec::new();
    }
    let path = pod.path.child("securityContext").child("fsGroup");
    let may_be_absent = || {
        settings.rule == GroupRule::MayRunAs
            || (settings.common_user == CommonUser::Accept
                && common(pod.spec, |it| it.run_as_user).is_some())
    };
    let mut violation = match pod.spec.security_context.fs_group {
        Some(group) if !settings.allows(group) => {
            let allowed: Vec<_> = settings.allowed().iter().map(|it| it.to_string()).collect();
            let message = format!("Invalid value: {group}: must be in {}", allowed.join(", "));
            Violation::new(path, message, Remedy::Reject)
        }
        None if !may_be_absent() => missing(path, pod, &token_volumes, settings),
        _ => return Vec::new(),
    };
    // A template doesn't show the volume that the API server will inject into its Pods, and the
    // service account may switch it off: what follows from that volume alone is a notice.
    if token_volumes.is_empty() {
        let is_admitted = matches!(violation.remedy, Remedy::Patch(_) | Remedy::Warn);
        if context.settings.mode != Mode::Mutate || !is_admitted {
            violation.warnings = vec![violation.to_string()];
        }
        violation.remedy = Remedy::Notice;
    }
    vec![violation]
}

fn missing(path: FieldPath, pod: &PodReview, volumes: &[&str], settings: &FsGroup) -> Violation {
    let shared = common(pod.spec, |it| it.run_as_group).filter(|group| settings.allows(*group));
    let group = shared.unwrap_or(settings.default);
    let holder = match volumes {
        [volume, ..] => format!("volume {}", quoted(volume)),
        [] => "the volume that the API server injects".to_owned(),
    };
    let message = format!(
        "Required value: set it to a group of the processes that read the token, such as {group}: \
         without it the token in {holder} is not limited to one group"
    );
    let persistent = persistent_volume(pod);
    let root = root_container(pod, volumes);
    let obstacles = [
        (settings.persistent_volumes, &persistent),
        (settings.private_files, &private_volume(pod)),
        (settings.root_containers, &root),
    ];
    let reasons =
        |choice| obstacles.iter().filter(move |it| it.0 == choice).filter_map(|it| it.1.as_ref());
    if let Some(reason) = reasons(Obstacle::Reject).next() {
        let message = format!("{message}; it is not set for you, since {reason}");
        return Violation::new(path, message, Remedy::Reject);
    }
    let left_out = |it| format!("{path}: set it yourself; it is left out, since {it}");
    let mut warnings: Vec<_> = reasons(Obstacle::Leave).map(left_out).collect();
    if !warnings.is_empty() {
        return Violation { warnings, ..Violation::new(path, message, Remedy::Warn) };
    }
    warnings.extend(root.map(|reason| {
        format!("{path}: set runAsUser, or the right group: it is set to {group}, but {reason}")
    }));
    let mut patches = vec![(path.clone(), new_value(group))];
    if persistent.is_some() && pod.spec.security_context.fs_group_change_policy.is_empty() {
        let policy = path.parent().child("fsGroupChangePolicy");
        patches.push((policy, new_value("OnRootMismatch")));
    }
    Violation { warnings, ..Violation::new(path, message, Remedy::Patch(patches)) }
}

/// What would happen to a volume whose files outlive a container. The kubelet leaves read-only
/// sources alone.
fn persistent_volume(pod: &PodReview) -> Option<String> {
    let is_writable = |it: &Object<Files>| it.read_only != Some(true);
    let mut volumes = pod.spec.volumes.iter();
    let volume = volumes.find(|it| it.persistent.as_deref().is_some_and(is_writable));
    let volume = name(volume.map(|it| &*it.name).or(pod.claim)?);
    Some(format!(
        "it changes group and mode of the files on volume {volume}, which outlive a container"
    ))
}

/// What would happen to a file that its group mustn't read, in a volume that a container sees which
/// may be the file's owner: root, or for the key of a Pod certificate the user of all containers.
/// The kubelet adds 0440 to every file (`pkg/volume/volume_linux.go`, `changeFilePermission`).
fn private_volume(pod: &PodReview) -> Option<String> {
    let owns_keys = common(pod.spec, |it| it.run_as_user).is_some();
    let may_be_root = |mount: &Mount| may_be_root(pod.spec, mount.container);
    let volume = pod.spec.volumes.iter().find(|volume| {
        let mut mounts = pod.mounts_of(&volume.name).iter();
        let mut sources = volume.projected.sources.iter();
        (owns_keys && sources.any(|it| it.pod_certificate.is_some()) && mounts.len() > 0)
            || (has_private_file(volume, None) && mounts.any(may_be_root))
    });
    let volume = name(&volume?.name);
    Some(format!(
        "it lets its group read the private files of volume {volume}, which programs such as ssh then \
         refuse"
    ))
}

/// What would happen in a container that sees the token, may be root and may change its groups. The
/// kubelet gives Pod certificates and trust bundles the modes of tokens
/// (`pkg/volume/projected/projected.go`, `collectData`).
fn root_container(pod: &PodReview, token_volumes: &[&str]) -> Option<String> {
    let is_like_token =
        |it: &Object<Volume>| it.pod_certificate.is_some() || it.cluster_trust_bundle.is_some();
    let others = pod.spec.volumes.iter();
    let others = others.filter(|it| it.projected.sources.iter().any(is_like_token));
    let volumes = token_volumes.iter().copied().chain(others.map(|volume| &*volume.name));
    let with_token = volumes.flat_map(|volume| pod.mounts_of(volume)).map(|mount| mount.container);
    let all = pod.spec.all_containers().filter(|_| pod.injects_token);
    let container = with_token.chain(all).find(|it| may_change_groups(pod.spec, it))?;
    let container = name(&container.name);
    Some(format!(
        "if container {container} starts as root and becomes another user, that user can't read the \
         token"
    ))
}

/// True when a file of the volume, or of a source of a projected one, lacks read access for its
/// group as the kubelet would write it.
fn has_private_file(volume: &Volume, default_mode: Option<i32>) -> bool {
    let projected = &volume.projected;
    if projected.sources.iter().any(|source| has_private_file(source, projected.default_mode)) {
        return true;
    }
    // Its group may not read it.
    let is_private = |mode: Option<i32>| mode.unwrap_or(DEFAULT_MODE) & 0o040 == 0;
    let sources = [&volume.secret, &volume.config_map, &volume.downward_api];
    let Some(files) = sources.into_iter().flatten().next() else {
        // A token, a certificate, or what a later Kubernetes has.
        return is_private(default_mode);
    };
    let default_mode = files.default_mode.or(default_mode);
    // All keys become files when none is selected.
    let has_all_keys = files.items.is_empty() && volume.downward_api.is_none();
    (has_all_keys && is_private(default_mode))
        || files.items.iter().any(|item| is_private(item.mode.or(default_mode)))
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::tests::{Found, check, check_pod, check_template, pod, token_volume};
    use serde_json::{Value, json};

    /// What is done: `-` for nothing, the group that is set, or the remedy.
    fn outcome(found: &[Found]) -> String {
        match found {
            [] => "-".to_owned(),
            [found] => {
                assert!(found.path.ends_with("spec.securityContext.fsGroup"), "{found:?}");
                match &*found.patches {
                    [] => found.remedy.to_owned(),
                    [(_, Some(group)), policy @ ..] => {
                        let policy = if policy.is_empty() { "" } else { " OnRootMismatch" };
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
        let mounts: Vec<_> =
            volumes.iter().map(|name| json!({ "name": name, "mountPath": "/v" })).collect();
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
    }

    #[test]
    fn pods_that_need_a_group() {
        let user = |id: i64| json!({ "securityContext": { "runAsUser": id } });
        let token = token_volume("t", &json!("v"), &json!(3600));
        let own = json!({ "name": "l", "secret": { "secretName": "app-token-x7k2p" } });
        let other = json!({ "name": "l", "secret": { "secretName": "builder-token-x7k2p" } });
        let accept = json!({ "fsGroup": { "commonUser": "Accept" } });
        for (name, tweak, settings, expected) in [
            ("no token", json!({}), json!({}), "-"),
            ("a token", json!({}), json!({}), "65534"),
            (
                "a legacy token that becomes a projected one",
                json!({ "volumes": [own] }),
                json!({}),
                "65534",
            ),
            ("a legacy token that is rejected", json!({ "volumes": [other] }), json!({}), "-"),
            ("a Pod for Windows", json!({ "os": { "name": "windows" } }), json!({}), "-"),
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
            ("one user", json!({ "containers": [user(7), user(7)] }), json!({}), "65534"),
            (
                "one user, which is enough",
                json!({ "containers": [user(7), user(7)] }),
                accept.clone(),
                "-",
            ),
            ("two users", json!({ "containers": [user(7), user(8)] }), accept.clone(), "65534"),
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
                spec["volumes"] =
                    json!(if name == "no token" { vec![] } else { vec![token.clone()] });
            }
            assert_eq!(outcome(&check_pod(&RULE, &spec, &settings)), expected, "{name}");
        }
    }

    #[test]
    fn files_that_outlive_a_container() {
        const LEAVE: &str = "warn";
        for (source, expected) in [
            (json!({ "persistentVolumeClaim": { "claimName": "c" } }), LEAVE),
            (json!({ "persistentVolumeClaim": { "claimName": "c", "readOnly": true } }), "65534"),
            (json!({ "persistentVolumeClaim": { "claimName": "c", "readOnly": false } }), LEAVE),
            (json!({ "csi": { "driver": "d" } }), LEAVE),
            (json!({ "csi": { "driver": "d", "readOnly": true } }), "65534"),
            (json!({ "csi": null }), "65534"),
            (json!({ "ephemeral": { "volumeClaimTemplate": {} } }), LEAVE),
            (json!({ "flexVolume": {} }), LEAVE),
            (json!({ "fc": {} }), LEAVE),
            (json!({ "iscsi": {} }), LEAVE),
            (json!({ "rbd": { "readOnly": true } }), "65534"),
            (json!({ "awsElasticBlockStore": {} }), LEAVE),
            (json!({ "azureDisk": {} }), LEAVE),
            (json!({ "gcePersistentDisk": {} }), LEAVE),
            (json!({ "cinder": {} }), LEAVE),
            (json!({ "vsphereVolume": {} }), LEAVE),
            (json!({ "scaleIO": {} }), LEAVE),
            (json!({ "nfs": { "server": "s", "path": "/" } }), "65534"),
            (json!({ "hostPath": { "path": "/" } }), "65534"),
            (json!({ "emptyDir": {} }), "65534"),
            (json!({ "image": { "reference": "i" } }), "65534"),
        ] {
            let mut volume = source.clone();
            volume["name"] = json!("data");
            let token = token_volume("t", &json!("v"), &json!(3600));
            let tweak = with_token(&json!({ "volumes": [volume, token] }));
            let found = check_pod(&RULE, &tweak, &json!({}));
            assert_eq!(outcome(&found), expected, "{source}");
            let named = found[0].warnings.iter().any(|warning| warning.contains("volume \"data\""));
            assert_eq!(named, expected == LEAVE, "{source}: {found:?}");
            if expected == LEAVE {
                let with = |choice| {
                    let settings = json!({ "fsGroup": { "persistentVolumes": choice } });
                    outcome(&check_pod(&RULE, &tweak, &settings))
                };
                assert_eq!(
                    (&*with("Set"), &*with("Reject")),
                    ("65534 OnRootMismatch", "reject"),
                    "{source}"
                );
            }
        }
        let tweak = with_token(&json!({ "securityContext": { "fsGroupChangePolicy": "Always" } }));
        let mut tweak = tweak;
        tweak["volumes"].as_array_mut().unwrap().push(json!({ "name": "d", "csi": {} }));
        let set = json!({ "fsGroup": { "persistentVolumes": "Set" } });
        assert_eq!(outcome(&check_pod(&RULE, &tweak, &set)), "65534", "a policy that is set stays");
    }

    #[test]
    fn the_claims_of_a_stateful_set() {
        let template = pod(&with_token(&json!({})));
        let claims = json!([{ "metadata": { "name": "data" } }]);
        let object = json!({ "spec": { "template": template, "volumeClaimTemplates": claims } });
        let kind = ("apps", "StatefulSet", "");
        let found = check(&RULE, kind, &object, &json!({}));
        assert_eq!(outcome(&found), "warn");
        assert!(found[0].warnings[0].contains("volume \"data\""), "{found:?}");
        let reject = json!({ "fsGroup": { "persistentVolumes": "Reject" } });
        assert_eq!(outcome(&check(&RULE, kind, &object, &reject)), "reject");
    }

    #[test]
    fn private_files() {
        let secret = |more: Value| json!({ "secret": more });
        let projected = |mode: Value, source: Value| json!({ "projected": { "defaultMode": mode, "sources": [source] } });
        let item = |mode: Value| json!([{ "key": "k", "path": "p" }, { "key": "l", "path": "q", "mode": mode }]);
        for (name, source, expected) in [
            ("a Secret", secret(json!({})), false),
            ("a Secret of 0400", secret(json!({ "defaultMode": 0o400 })), true),
            ("a Secret of 0600", secret(json!({ "defaultMode": 0o600 })), true),
            ("a Secret of 0440", secret(json!({ "defaultMode": 0o440 })), false),
            ("an item of 0600", secret(json!({ "items": item(json!(0o600)) })), true),
            ("an item of 0444", secret(json!({ "items": item(json!(0o444)) })), false),
            (
                "items that all have their own mode",
                secret(
                    json!({ "defaultMode": 0o400, "items": [{ "key": "k", "path": "p", "mode": 0o644 }] }),
                ),
                false,
            ),
            (
                "an item without a mode",
                secret(json!({ "defaultMode": 0o400, "items": item(json!(0o644)) })),
                true,
            ),
            ("a ConfigMap of 0400", json!({ "configMap": { "defaultMode": 0o400 } }), true),
            ("a ConfigMap of 0555", json!({ "configMap": { "defaultMode": 0o555 } }), false),
            (
                "the downward API of 0400",
                json!({ "downwardAPI": { "defaultMode": 0o400, "items": [{ "path": "p" }] } }),
                true,
            ),
            (
                "the downward API without files",
                json!({ "downwardAPI": { "defaultMode": 0o400 } }),
                false,
            ),
            ("a projected Secret of 0400", projected(json!(0o400), json!({ "secret": {} })), true),
            ("a projected Secret", projected(json!(null), json!({ "secret": {} })), false),
            (
                "an item of a projected ConfigMap",
                projected(json!(0o644), json!({ "configMap": { "items": item(json!(0o600)) } })),
                true,
            ),
            (
                "an item of the projected downward API",
                projected(json!(0o644), json!({ "downwardAPI": { "items": item(json!(0o400)) } })),
                true,
            ),
            (
                "a token of 0400",
                projected(json!(0o400), json!({ "serviceAccountToken": {} })),
                true,
            ),
            ("a trust bundle", projected(json!(null), json!({ "clusterTrustBundle": {} })), false),
            (
                "a projected volume without sources",
                json!({ "projected": { "defaultMode": 0o400 } }),
                false,
            ),
        ] {
            let mut volume = source;
            volume["name"] = json!("key");
            let token = token_volume("t", &json!("v"), &json!(3600));
            let with = |list: &str, security_context: Value, choice: &str| {
                let root = json!({
                    "name": "r", "securityContext": security_context,
                    "volumeMounts": [{ "name": "key", "mountPath": "/k" }],
                });
                let mut tweak = with_token(&json!({ "volumes": [volume, token] }));
                tweak["securityContext"] = json!({});
                tweak[list] = json!([root]);
                let settings =
                    json!({ "fsGroup": { "privateFiles": choice, "rootContainers": "Set" } });
                check_pod(&RULE, &tweak, &settings)
            };
            let no_setgid = || json!({ "capabilities": { "drop": ["ALL"] } });
            for list in ["containers", "initContainers", "ephemeralContainers"] {
                let found = with(list, no_setgid(), "Leave");
                let warned = found[0].warnings.iter().any(|it| it.contains("volume \"key\""));
                assert_eq!(
                    (outcome(&found) == "warn", warned),
                    (expected, expected),
                    "{name} in {list}: {found:?}"
                );
            }
            let rejected = outcome(&with("containers", no_setgid(), "Reject")) == "reject";
            assert_eq!(rejected, expected, "{name}, Reject");
            assert_eq!(outcome(&with("containers", no_setgid(), "Set")), "65534", "{name}, Set");
            let other_user = json!({ "runAsUser": 1000 });
            assert_eq!(
                outcome(&with("containers", other_user, "Leave")),
                "65534",
                "{name}, not root"
            );
        }
    }

    #[test]
    fn private_files_that_no_root_container_sees() {
        let key = json!({ "name": "key", "secret": { "defaultMode": 0o400 } });
        let token = token_volume("t", &json!("v"), &json!(3600));
        let root = json!({ "name": "r", "volumeMounts": [{ "name": "other", "mountPath": "/k" }] });
        let tweak =
            json!({ "volumes": [key, token], "containers": [root, container(&["key", "t"])] });
        assert_eq!(outcome(&check_pod(&RULE, &tweak, &json!({}))), "65534");
    }

    #[test]
    fn containers_that_may_lose_the_token() {
        let root = |volume: &str| json!({ "name": "r", "volumeMounts": [{ "name": volume, "mountPath": "/t" }] });
        let mut kept = root("t");
        kept["securityContext"] = json!({ "capabilities": { "drop": ["ALL"] } });
        for (name, container, expected) in [
            ("root", root("t"), true),
            ("root without the token", root("other"), false),
            ("root that keeps its groups", kept, false),
            ("another user", container(&["t"]), false),
        ] {
            let with = |choice: &str| {
                let tweak = with_token(&json!({ "initContainers": [container] }));
                check_pod(&RULE, &tweak, &json!({ "fsGroup": { "rootContainers": choice } }))
            };
            let found = with("Set");
            let warned = found[0].warnings.iter().any(|it| it.contains("container \"r\""));
            assert_eq!((&*outcome(&found), warned), ("65534", expected), "{name}: {found:?}");
            let (left, rejected) = if expected { ("warn", "reject") } else { ("65534", "65534") };
            assert_eq!(outcome(&with("Leave")), left, "{name}, Leave");
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
            let containers = [root, container(&["t"])];
            let tweak = json!({ "volumes": [token, volume], "containers": containers });
            let with = |choice| {
                check_pod(&RULE, &tweak, &json!({ "fsGroup": { "rootContainers": choice } }))
            };
            let found = (outcome(&with("Set")), outcome(&with("Leave")));
            assert_eq!((&*found.0, &*found.1), ("65534", "warn"), "{source}");
            assert!(with("Set")[0].warnings[0].contains("container \"r\""), "{source}");
        }
    }

    #[test]
    fn the_key_of_a_certificate() {
        for (name, user, mode, volumes, expected) in [
            ("of the user of all containers", json!(999), 0o644, &["t", "cert"][..], "warn"),
            ("of root", json!(0), 0o644, &["t", "cert"], "warn"),
            ("of no one user", json!(null), 0o644, &["t", "cert"], "65534"),
            ("of no one user, with 0400", json!(null), 0o400, &["t", "cert"], "warn"),
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
        let mounts =
            json!([{ "name": "t", "mountPath": "/t" }, { "name": "key", "mountPath": "/k" }]);
        let tweak = json!({ "volumes": volumes, "containers": [{ "name": "main", "volumeMounts": mounts }] });
        for (persistent, private, root, expected, warnings) in [
            ("Leave", "Leave", "Leave", "warn", &["\"data\"", "\"key\"", "\"main\""][..]),
            ("Leave", "Set", "Set", "warn", &["\"data\""]),
            ("Set", "Leave", "Set", "warn", &["\"key\""]),
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
            assert!(
                told.iter().zip(warnings).all(|(told, name)| told.contains(name)),
                "{settings}: {told:?}"
            );
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
        let not_allowed = json!({ "securityContext": { "fsGroup": -1 } });
        for (name, tweak, settings, expected) in [
            ("automount switched off", json!({}), json!({}), None),
            ("no fsGroup", automount(json!({})), json!({}), Some("it is set to 65534")),
            ("no fsGroup, which is left out", automount(json!({})), leave, Some("it is left out")),
            (
                "no fsGroup, which is rejected in the Pods",
                automount(json!({})),
                reject,
                Some("it is not set for you"),
            ),
            ("a group that isn't allowed", automount(not_allowed), json!({}), Some("must be in")),
            (
                "an allowed group",
                automount(json!({ "securityContext": { "fsGroup": 1 } })),
                json!({}),
                None,
            ),
        ] {
            let found = check_template(&RULE, &tweak, &settings);
            assert_eq!(found.len(), expected.iter().count(), "{name}: {found:?}");
            for (found, expected) in found.iter().zip(expected) {
                assert_eq!(found.remedy, "notice", "{name}");
                assert!(found.warnings[0].contains(expected), "{name}: {found:?}");
            }
        }
        let found = check_template(&RULE, &with_token(&automount(json!({}))), &json!({}));
        assert_ne!(found[0].remedy, "notice", "a token of its own: {found:?}");
    }
}
