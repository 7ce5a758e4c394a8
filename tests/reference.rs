//! The rules for Pods once more, as plainly as possible and with none of the policy's code, over
//! k8s-openapi's types; compared with the policy's verdict and paths in reject mode, and with what
//! it does about fsGroup in mutate mode.

mod common;
#[path = "common/generator.rs"]
mod generator;

use common::{Captured, ask, create, path, rejection};
use generator::Choices;
use k8s_openapi::api::core::v1::{Container, KeyToPath, Pod, PodSpec, Volume, VolumeMount};
use k8s_openapi::api::core::v1::{SecretVolumeSource, SecurityContext, VolumeProjection};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const YEAR: i64 = 31_536_000;
const FOLDER: &str = "/run/secrets/kubernetes.io/serviceaccount";

/// What the rules depend on, as the settings have it.
#[derive(Debug)]
struct Rules {
    maximum: i64,
    extends: bool,
    /// The API server's audiences, if they are known.
    own: Option<&'static str>,
    allowed: Option<Vec<&'static str>>,
    fs_group: &'static str,
    common_user: &'static str,
    persistent_volumes: &'static str,
    private_files: &'static str,
    root_containers: &'static str,
}

/// What mutate mode does about fsGroup.
#[derive(Debug, PartialEq, Eq)]
enum Decision {
    Rejected,
    Left,
    Set { group: i64, on_root_mismatch: bool },
}

impl Rules {
    fn with_maximum(maximum: i64) -> Self {
        Self {
            maximum,
            extends: true,
            own: None,
            allowed: None,
            fs_group: "MustRunAs",
            common_user: "Require",
            persistent_volumes: "Leave",
            private_files: "Leave",
            root_containers: "Set",
        }
    }

    fn settings(&self, mode: &str) -> Value {
        json!({
            "mode": mode, "maxExpirationSeconds": self.maximum,
            "apiServer": { "extendsTokens": self.extends, "audiences": Vec::from_iter(self.own) },
            "allowedAudiences": self.allowed,
            "fsGroup": {
                "rule": self.fs_group, "ranges": [{ "min": 1, "max": 2_147_483_647 }],
                "commonUser": self.common_user, "persistentVolumes": self.persistent_volumes,
                "privateFiles": self.private_files, "rootContainers": self.root_containers,
            },
        })
    }

    /// The paths of all violations in reject mode.
    fn violations(&self, pod: &Pod) -> BTreeSet<String> {
        let (mut fixable, rejected) = self.fixable_and_others(pod);
        fixable.extend(rejected);
        fixable
    }

    /// The paths of violations that a mutation can fix, and of the others; fsGroup's counts as
    /// fixable.
    fn fixable_and_others(&self, pod: &Pod) -> (BTreeSet<String>, BTreeSet<String>) {
        let (mut fixable, mut others) = (BTreeSet::new(), BTreeSet::new());
        let Some(spec) = &pod.spec else { return (fixable, others) };
        let annotations = pod.metadata.annotations.as_ref();
        if annotations.is_some_and(|them| them.contains_key("kubernetes.io/config.mirror")) {
            return (fixable, others);
        }
        for (i, volume) in spec.volumes.iter().flatten().enumerate() {
            self.tokens(i, volume, &mut fixable, &mut others);
            secrets(spec, i, volume, &mut fixable, &mut others);
        }
        for (list, containers) in containers(spec) {
            environment(spec, list, &containers, &mut others);
        }
        match self.fs_group_violation(spec) {
            Some(Violation::Missing) => fixable.insert("spec.securityContext.fsGroup".to_owned()),
            Some(Violation::Forbidden) => others.insert("spec.securityContext.fsGroup".to_owned()),
            None => false,
        };
        (fixable, others)
    }

    fn tokens(
        &self,
        i: usize,
        volume: &Volume,
        fixable: &mut BTreeSet<String>,
        others: &mut BTreeSet<String>,
    ) {
        for (j, source) in sources(volume).iter().enumerate() {
            let Some(token) = &source.service_account_token else { continue };
            let at = format!("spec.volumes[{i}].projected.sources[{j}].serviceAccountToken");
            let audience = token.audience.as_deref().unwrap_or("");
            let seconds = token.expiration_seconds.unwrap_or(3600);
            let may_be_own = self.own.is_none_or(|own| ["", own].contains(&audience));
            let year = seconds == 3607 && self.extends && may_be_own;
            if if year { YEAR } else { seconds } > self.maximum {
                fixable.insert(format!("{at}.expirationSeconds"));
            }
            let own = match self.own {
                Some(own) => ["", own].contains(&audience),
                None => {
                    audience.is_empty()
                        || audience.starts_with("https://kubernetes.default.svc")
                        || audience.starts_with("kubernetes.default.svc")
                }
            };
            if !own && self.allowed.as_ref().is_some_and(|them| !them.contains(&audience)) {
                others.insert(format!("{at}.audience"));
            }
        }
    }

    fn fs_group_violation(&self, spec: &PodSpec) -> Option<Violation> {
        let mut volumes = spec.volumes.iter().flatten();
        if !volumes.any(|it| holds_token(spec, it)) || is_windows(spec) {
            return None;
        }
        let group = spec.security_context.as_ref().and_then(|context| context.fs_group);
        match (self.fs_group, group) {
            ("RunAsAny", _) | ("MayRunAs", None) => None,
            (_, Some(group)) if (1..=2_147_483_647).contains(&group) => None,
            (_, Some(_)) => Some(Violation::Forbidden),
            (_, None) if self.common_user == "Accept" && has_common_user(spec) => None,
            (_, None) => Some(Violation::Missing),
        }
    }

    fn decision(&self, pod: &Pod) -> Decision {
        let (fixable, others) = self.fixable_and_others(pod);
        if !others.is_empty() {
            return Decision::Rejected;
        }
        let Some(spec) = &pod.spec else { return Decision::Left };
        if !fixable.contains("spec.securityContext.fsGroup") {
            return Decision::Left;
        }
        let persistent = spec.volumes.iter().flatten().any(is_persistent);
        let mut choices = BTreeSet::new();
        for (found, choice) in [
            (persistent, self.persistent_volumes),
            (has_private_file(spec), self.private_files),
            (steps_down(spec), self.root_containers),
        ] {
            if found {
                choices.insert(choice);
            }
        }
        match () {
            () if choices.contains("Reject") => Decision::Rejected,
            () if choices.contains("Leave") => Decision::Left,
            () => {
                let context = spec.security_context.as_ref();
                let policy = context.and_then(|it| it.fs_group_change_policy.as_ref());
                let on_root_mismatch = persistent && policy.is_none();
                Decision::Set { group: group_to_set(spec), on_root_mismatch }
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Violation {
    Missing,
    Forbidden,
}

/// The lists of containers with their names; ephemeral ones as the same type.
fn containers(spec: &PodSpec) -> [(&'static str, Vec<Container>); 3] {
    let ephemeral = serde_json::to_value(&spec.ephemeral_containers).unwrap();
    let ephemeral: Option<Vec<Container>> = serde_json::from_value(ephemeral).unwrap();
    [
        ("containers", spec.containers.clone()),
        ("initContainers", spec.init_containers.clone().unwrap_or_default()),
        ("ephemeralContainers", ephemeral.unwrap_or_default()),
    ]
}

fn all_containers(spec: &PodSpec) -> Vec<Container> {
    containers(spec).into_iter().flat_map(|(_, containers)| containers).collect()
}

fn mounts_of<'c>(containers: &'c [Container], volume: &str) -> Vec<&'c VolumeMount> {
    let mounts = containers.iter().flat_map(|it| it.volume_mounts.iter().flatten());
    mounts.filter(|mount| mount.name == volume).collect()
}

fn is_windows(spec: &PodSpec) -> bool {
    if let Some(os) = spec.os.as_ref().filter(|os| !os.name.is_empty()) {
        return os.name == "windows";
    }
    let labels = spec.node_selector.as_ref();
    let label = |key: &str| labels.and_then(|labels| labels.get(key));
    if let Some(os) = label("kubernetes.io/os").or_else(|| label("beta.kubernetes.io/os")) {
        return os == "windows";
    }
    let pod = spec.security_context.as_ref().is_some_and(|it| it.windows_options.is_some());
    let options = |it: &Container| it.security_context.as_ref()?.windows_options.clone();
    pod || all_containers(spec).iter().any(|it| options(it).is_some())
}

fn user(spec: &PodSpec, container: &Container) -> Option<i64> {
    let own = container.security_context.as_ref().and_then(|context| context.run_as_user);
    own.or(spec.security_context.as_ref().and_then(|context| context.run_as_user))
}

fn has_common_user(spec: &PodSpec) -> bool {
    let users: BTreeSet<_> = all_containers(spec).iter().map(|it| user(spec, it)).collect();
    users.len() == 1 && !users.contains(&None)
}

fn may_be_root(spec: &PodSpec, container: &Container) -> bool {
    let own = container.security_context.as_ref().and_then(|context| context.run_as_non_root);
    let pod = spec.security_context.as_ref().and_then(|context| context.run_as_non_root);
    let starts_as_root = match user(spec, container) {
        Some(user) => user <= 0,
        None => true,
    };
    starts_as_root && !own.or(pod).unwrap_or(false)
}

fn may_set_groups(context: Option<&SecurityContext>) -> bool {
    let Some(context) = context else { return true };
    if context.privileged == Some(true) {
        return true;
    }
    let Some(capabilities) = &context.capabilities else { return true };
    let plain = |names: &Option<Vec<String>>| -> BTreeSet<String> {
        let names = names.iter().flatten().map(|name| name.to_uppercase());
        names.map(|name| name.trim_start_matches("CAP_").to_owned()).collect()
    };
    let (add, drop) = (plain(&capabilities.add), plain(&capabilities.drop));
    let added = add.contains("SETGID") || add.contains("ALL");
    !drop.contains("SETGID") && (added || !drop.contains("ALL"))
}

/// A container that may start as root and give up its groups, and then reads a token, or what has a
/// token's mode.
fn steps_down(spec: &PodSpec) -> bool {
    let is_like_token = |source: &VolumeProjection| {
        source.pod_certificate.is_some() || source.cluster_trust_bundle.is_some()
    };
    let with_token: Vec<_> = spec
        .volumes
        .iter()
        .flatten()
        .filter(|volume| holds_token(spec, volume) || sources(volume).iter().any(is_like_token))
        .collect();
    all_containers(spec).into_iter().any(|it| {
        may_be_root(spec, &it) && may_set_groups(it.security_context.as_ref()) && {
            let it = [it];
            with_token.iter().any(|volume| !mounts_of(&it, &volume.name).is_empty())
        }
    })
}

/// The one `runAsGroup` that every container has, if it may be the Pod's, or the default.
fn group_to_set(spec: &PodSpec) -> i64 {
    let pod = spec.security_context.as_ref().and_then(|context| context.run_as_group);
    let group = |it: &Container| it.security_context.as_ref()?.run_as_group;
    let groups: BTreeSet<_> = all_containers(spec).iter().map(|it| group(it).or(pod)).collect();
    match groups.first() {
        Some(Some(group)) if groups.len() == 1 && (1..=2_147_483_647).contains(group) => *group,
        _ => 65534,
    }
}

/// Everything but what the kubelet leaves alone, unless it is read-only.
fn is_persistent(volume: &Volume) -> bool {
    let volume = serde_json::to_value(volume).unwrap();
    let left_alone = [
        "name",
        "configMap",
        "downwardAPI",
        "emptyDir",
        "gitRepo",
        "hostPath",
        "image",
        "nfs",
        "projected",
        "secret",
    ];
    volume
        .as_object()
        .unwrap()
        .iter()
        .any(|(source, value)| !left_alone.contains(&&**source) && value["readOnly"] != true)
}

fn has_private_file(spec: &PodSpec) -> bool {
    let shows_key = |volume: &Volume| {
        has_common_user(spec) && sources(volume).iter().any(|it| it.pod_certificate.is_some())
    };
    spec.volumes.iter().flatten().any(|volume| {
        let mut containers = all_containers(spec).into_iter();
        let is_private = shows_private_file(volume);
        containers.any(|it| {
            let is_owner = shows_key(volume) || (is_private && may_be_root(spec, &it));
            is_owner && !mounts_of(&[it], &volume.name).is_empty()
        })
    })
}

fn shows_private_file(volume: &Volume) -> bool {
    let keys = |items: &Option<Vec<KeyToPath>>, default: Option<i32>| {
        let items = items.as_deref().unwrap_or_default();
        if items.is_empty() {
            return is_private(default);
        }
        items.iter().any(|item| is_private(item.mode.or(default)))
    };
    if let Some(source) = &volume.secret
        && keys(&source.items, source.default_mode)
    {
        return true;
    }
    if let Some(source) = &volume.config_map
        && keys(&source.items, source.default_mode)
    {
        return true;
    }
    if let Some(source) = &volume.downward_api {
        let mut items = source.items.iter().flatten();
        return items.any(|item| is_private(item.mode.or(source.default_mode)));
    }
    let Some(projected) = &volume.projected else { return false };
    let default = projected.default_mode;
    sources(volume).iter().any(|source| {
        // A token, a certificate, or what these types don't know.
        let whole =
            source.secret.is_none() && source.config_map.is_none() && source.downward_api.is_none();
        let fields = source.downward_api.iter().flat_map(|it| it.items.iter().flatten());
        whole && is_private(default)
            || source.secret.as_ref().is_some_and(|it| keys(&it.items, default))
            || source.config_map.as_ref().is_some_and(|it| keys(&it.items, default))
            || fields.into_iter().any(|item| is_private(item.mode.or(default)))
    })
}

fn is_private(mode: Option<i32>) -> bool {
    mode.unwrap_or(0o644) & 0o040 == 0
}

/// The sources of a projected volume.
fn sources(volume: &Volume) -> &[VolumeProjection] {
    let projected = volume.projected.as_ref();
    projected.and_then(|projected| projected.sources.as_deref()).unwrap_or_default()
}

/// A projected token, or a legacy one that will be.
fn holds_token(spec: &PodSpec, volume: &Volume) -> bool {
    let mut sources = sources(volume).iter();
    let legacy = volume.secret.as_ref().is_some_and(|secret| {
        is_convertible(spec, &volume.name, secret) && !token_paths(secret).is_empty()
    });
    legacy || sources.any(|source| source.service_account_token.is_some())
}

fn account(spec: &PodSpec) -> &str {
    let names = [&spec.service_account_name, &spec.service_account];
    names.into_iter().flatten().find(|name| !name.is_empty()).map_or("default", String::as_str)
}

/// Five characters as Kubernetes makes them up.
fn is_random(suffix: &str) -> bool {
    suffix.len() == 5 && suffix.chars().all(|c| "bcdfghjklmnpqrstvwxz2456789".contains(c))
}

/// True when it is the name of a token Secret of the Pod's own account.
fn is_own(spec: &PodSpec, secret: &str) -> bool {
    let mut start = format!("{}-token-", account(spec));
    start.truncate(58);
    secret.strip_prefix(&start).is_some_and(is_random)
}

fn is_legacy(spec: &PodSpec, secret: &str) -> bool {
    let any = secret.rsplit_once("-token-");
    is_own(spec, secret) || any.is_some_and(|(account, it)| !account.is_empty() && is_random(it))
}

/// The paths of the token in a volume that shows a token Secret.
fn token_paths(secret: &SecretVolumeSource) -> Vec<String> {
    let items = secret.items.as_deref().unwrap_or_default();
    if items.is_empty() {
        return vec!["token".to_owned()];
    }
    items.iter().filter(|it| it.key == "token").map(|it| clean(&it.path)).collect()
}

fn is_convertible(spec: &PodSpec, volume: &str, secret: &SecretVolumeSource) -> bool {
    let items = secret.items.as_deref().unwrap_or_default();
    let keys = ["token", "ca.crt", "namespace", "service-ca.crt"];
    let modes: BTreeSet<_> = items
        .iter()
        .filter(|it| it.key == "token")
        .map(|it| it.mode.or(secret.default_mode).unwrap_or(0o644))
        .collect();
    let containers = all_containers(spec);
    let mut mounts = mounts_of(&containers, volume).into_iter();
    secret.secret_name.as_deref().is_some_and(|name| is_own(spec, name))
        && items.iter().all(|item| keys.contains(&&*item.key))
        && modes.len() < 2
        && !mounts.any(|mount| freezes(mount, &token_paths(secret)))
}

/// True when the mount shows one of these files by subPath, and so never a newer one.
fn freezes(mount: &VolumeMount, paths: &[String]) -> bool {
    if mount.sub_path_expr.as_ref().is_some_and(|path| path.contains("$(")) {
        return !paths.is_empty();
    }
    let Some(part) = sub_path(mount) else { return false };
    paths
        .iter()
        .any(|path| part.is_empty() || *path == part || path.starts_with(&format!("{part}/")))
}

/// What a mount shows of its volume: a file, a folder, or by the kubelet's own link all of it as it
/// is now.
fn sub_path(mount: &VolumeMount) -> Option<String> {
    let paths = [&mount.sub_path, &mount.sub_path_expr];
    let path = clean(paths.into_iter().flatten().find(|path| !path.is_empty())?);
    let path = if path == "..data" { "" } else { path.strip_prefix("..data/").unwrap_or(&path) };
    Some(path.to_owned())
}

/// The path's folders, without those that say nothing; absolute if it was.
fn clean(path: &str) -> String {
    let mut folders = Vec::new();
    for folder in path.split('/') {
        match folder {
            "" | "." => {}
            ".." => {
                folders.pop();
            }
            _ => folders.push(folder),
        }
    }
    let root = if path.starts_with('/') { "/" } else { "" };
    format!("{root}{}", folders.join("/"))
}

/// A path in a container, with `/var/run` as `/run`.
fn seen(path: &str) -> String {
    let path = clean(&format!("/{path}"));
    match path.strip_prefix("/var") {
        Some(rest) if rest == "/run" || rest.starts_with("/run/") => rest.to_owned(),
        _ => path,
    }
}

/// True when clients of the API server take a file of the Secret for their token.
fn is_seen_as_token(spec: &PodSpec, volume: &str, items: Option<&Vec<KeyToPath>>) -> bool {
    let items = items.map(Vec::as_slice).unwrap_or_default();
    let containers = all_containers(spec);
    mounts_of(&containers, volume).into_iter().any(|mount| {
        let at = seen(&mount.mount_path);
        if at.starts_with(&format!("{FOLDER}/")) {
            return true;
        }
        // What a variable stands for isn't known.
        let variable = mount.sub_path_expr.as_ref().is_some_and(|path| path.contains("$("));
        if at == FOLDER && (items.is_empty() || variable) {
            return true;
        }
        let is_token = |path: &str| seen(&format!("{at}/{path}")) == format!("{FOLDER}/token");
        items.iter().any(|item| {
            let path = clean(&item.path);
            let mut inner = path.match_indices('/').map(|(i, _)| &path[i + 1..]);
            match sub_path(mount) {
                _ if variable => is_token(&path) || inner.any(is_token),
                None => is_token(&path),
                Some(part) if part.is_empty() => is_token(&path),
                Some(part) => path.strip_prefix(&format!("{part}/")).is_some_and(is_token),
            }
        })
    })
}

fn secrets(
    spec: &PodSpec,
    i: usize,
    volume: &Volume,
    fixable: &mut BTreeSet<String>,
    others: &mut BTreeSet<String>,
) {
    for (j, source) in sources(volume).iter().enumerate() {
        let Some(secret) = &source.secret else { continue };
        if is_legacy(spec, &secret.name)
            || is_seen_as_token(spec, &volume.name, secret.items.as_ref())
        {
            others.insert(format!("spec.volumes[{i}].projected.sources[{j}].secret.name"));
        }
    }
    let Some(secret) = &volume.secret else { return };
    let Some(name) = &secret.secret_name else { return };
    if is_legacy(spec, name) || is_seen_as_token(spec, &volume.name, secret.items.as_ref()) {
        let path = format!("spec.volumes[{i}].secret.secretName");
        if is_convertible(spec, &volume.name, secret) {
            fixable.insert(path);
        } else {
            others.insert(path);
        }
    }
}

fn environment(spec: &PodSpec, list: &str, containers: &[Container], paths: &mut BTreeSet<String>) {
    for (i, container) in containers.iter().enumerate() {
        for (j, variable) in container.env.iter().flatten().enumerate() {
            let from = variable.value_from.as_ref().and_then(|from| from.secret_key_ref.as_ref());
            if from.is_some_and(|secret| is_legacy(spec, &secret.name)) {
                paths.insert(format!("spec.{list}[{i}].env[{j}].valueFrom.secretKeyRef.name"));
            }
        }
        for (j, source) in container.env_from.iter().flatten().enumerate() {
            if source.secret_ref.as_ref().is_some_and(|it| is_legacy(spec, &it.name)) {
                paths.insert(format!("spec.{list}[{i}].envFrom[{j}].secretRef.name"));
            }
        }
    }
}

/// A member that is `null` is no member.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.iter().filter(|(_, value)| !value.is_null());
            members.map(|(key, value)| (key.clone(), without_nulls(value))).collect()
        }
        Value::Array(elements) => elements.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

/// Compares the two, if the Pod is one that k8s-openapi's types can hold.
fn compare(object: &Value, rules: &Rules) -> bool {
    let Ok(pod) = serde_json::from_value::<Pod>(without_nulls(object)) else { return false };
    let response = ask(&create(object), &rules.settings("reject"));
    let found: BTreeSet<_> = if response.accepted {
        BTreeSet::new()
    } else {
        rejection(&response).into_iter().map(|line| path(line).to_owned()).collect()
    };
    let settings = rules.settings("mutate");
    assert_eq!(found, rules.violations(&pod), "in reject mode\n{object}\n{settings}");

    let response = ask(&create(object), &settings);
    let context = |object: &Value| object["spec"]["securityContext"].clone();
    let old = context(object);
    let new = response.mutated_object.as_ref().map_or(old.clone(), context);
    let found = match new["fsGroup"].as_i64() {
        _ if !response.accepted => Decision::Rejected,
        Some(group) if old["fsGroup"].is_null() => Decision::Set {
            group,
            on_root_mismatch: old["fsGroupChangePolicy"] != new["fsGroupChangePolicy"],
        },
        _ => Decision::Left,
    };
    assert_eq!(found, rules.decision(&pod), "in mutate mode\n{object}\n{settings}\n{response:?}");
    true
}

#[test]
fn real_pods_are_judged_alike() {
    let mut compared = 0;
    for Captured { request, .. } in Captured::corpus() {
        if request["kind"]["kind"] == "Pod" {
            for maximum in [600, 3600, 86400, YEAR] {
                for root_containers in ["Leave", "Set", "Reject"] {
                    let rules = Rules { root_containers, ..Rules::with_maximum(maximum) };
                    compared += usize::from(compare(&request["object"], &rules));
                }
            }
        }
    }
    assert!(compared >= 600, "only {compared} compared");
}

fn choice() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("Leave"), Just("Set"), Just("Reject")]
}

fn rules() -> impl Strategy<Value = Rules> {
    let maximum = prop_oneof![Just(600), Just(3600), Just(86400), Just(YEAR)];
    let allowed = prop_oneof![Just(None), Just(Some(vec![])), Just(Some(vec!["vault"]))];
    let own = prop_oneof![Just(None), Just(Some("own"))];
    let fs_group = prop_oneof![
        4 => Just("MustRunAs"), 1 => Just("MayRunAs"), 1 => Just("RunAsAny"),
    ];
    let common_user = prop_oneof![Just("Require"), Just("Accept")];
    let choices = (choice(), choice(), choice());
    (maximum, any::<bool>(), own, allowed, fs_group, common_user, choices).prop_map(
        |(maximum, extends, own, allowed, fs_group, common_user, choices)| Rules {
            maximum,
            extends,
            own,
            allowed,
            fs_group,
            common_user,
            persistent_volumes: choices.0,
            private_files: choices.1,
            root_containers: choices.2,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) })]

    #[test]
    fn generated_pods_are_judged_alike(choices in vec(any::<u8>(), 0..500), rules in rules()) {
        let pod = Choices::typed(&choices).pod();
        prop_assert!(compare(&pod, &rules), "k8s-openapi's types can't hold {}", pod);
    }
}

/// Otherwise the comparison would say little.
#[test]
fn generated_pods_come_to_each_decision() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = (vec(any::<u8>(), 100..600), rules());
    let (mut set, mut left, mut rejected, mut accepted) = (0, 0, 0, 0);
    for _ in 0..2000 {
        let (choices, rules) = strategy.new_tree(&mut runner).unwrap().current();
        let pod = without_nulls(&Choices::typed(&choices).pod());
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let missing = rules.violations(&pod).contains("spec.securityContext.fsGroup");
        match rules.decision(&pod) {
            Decision::Set { .. } => set += 1,
            Decision::Left if missing => left += 1,
            Decision::Left => accepted += 1,
            Decision::Rejected => rejected += 1,
        }
    }
    let numbers = [set, left, rejected, accepted];
    assert!(numbers.iter().all(|number| *number >= 20), "set, left, rejected, fine: {numbers:?}");
}
