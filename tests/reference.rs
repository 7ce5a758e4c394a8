//! The rules once more, as plainly as possible and with none of the policy's code: for Pods over
//! k8s-openapi's types, compared with the policy's verdict and paths in reject mode, and with what
//! it does in mutate mode; what an fsGroup breaks is what the model of the kubelet says. For
//! TokenRequests and Secrets over their JSON.

mod common;
#[path = "common/generator.rs"]
mod generator;
#[path = "common/kubelet.rs"]
mod kubelet;

use common::{Captured, ask, create, path, rejection};
use generator::Choices;
use k8s_openapi::api::core::v1::{Container, KeyToPath, Pod, PodSpec, Volume, VolumeMount};
use k8s_openapi::api::core::v1::{SecretVolumeSource, VolumeProjection};
use kubelet::{File, Kind};
use kubewarden_policy_sdk::response::ValidationResponse;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

const YEAR: i64 = 31_536_000;
/// Where clients of the API server look for their token.
const FOLDER: &str = "/run/secrets/kubernetes.io/serviceaccount";
const FS_GROUP: &str = "spec.securityContext.fsGroup";
const AUTOMOUNT: &str = "spec.automountServiceAccountToken";

// ---------------------------------------------------------------------------------------------
// Settings

/// What the rules depend on, as the settings have it.
#[derive(Debug, Clone)]
struct Rules {
    maximum: i64,
    /// The maximum for the audience `vault`, if it has one of its own.
    vault_maximum: Option<i64>,
    extends: bool,
    /// The API server's audiences, if they are known.
    own: Option<&'static str>,
    allowed: Option<Vec<&'static str>>,
    legacy: &'static str,
    fs_group: &'static str,
    ranges: Vec<(i64, i64)>,
    default_group: i64,
    common_user: &'static str,
    persistent_volumes: &'static str,
    private_files: &'static str,
    root_containers: &'static str,
    automount: &'static str,
    /// Whether `automount` is about accounts of every name, or only about `default`.
    every_account: bool,
}

impl Rules {
    fn with_maximum(maximum: i64) -> Self {
        Self {
            maximum,
            vault_maximum: None,
            extends: true,
            own: None,
            allowed: None,
            legacy: "Reject",
            fs_group: "MustRunAs",
            ranges: vec![(1, 2_147_483_647)],
            default_group: 65534,
            common_user: "Require",
            persistent_volumes: "Leave",
            private_files: "Leave",
            root_containers: "Set",
            automount: "Allow",
            every_account: false,
        }
    }

    fn settings(&self, mode: &str) -> Value {
        let range = |(min, max): &(i64, i64)| json!({ "min": min, "max": max });
        let vault = |maximum| json!({ "audience": "vault", "maxExpirationSeconds": maximum });
        let accounts = if self.every_account {
            "*/*"
        } else {
            "*/default"
        };
        json!({
            "mode": mode, "maxExpirationSeconds": self.maximum,
            "audiences": Vec::from_iter(self.vault_maximum.map(vault)),
            "apiServer": { "extendsTokens": self.extends, "audiences": Vec::from_iter(self.own) },
            "allowedAudiences": self.allowed,
            "legacyTokens": { "rule": self.legacy },
            "fsGroup": {
                "rule": self.fs_group, "default": self.default_group,
                "ranges": self.ranges.iter().map(range).collect::<Vec<_>>(),
                "commonUser": self.common_user, "persistentVolumes": self.persistent_volumes,
                "privateFiles": self.private_files, "rootContainers": self.root_containers,
            },
            "automount": { "rule": self.automount, "serviceAccounts": [accounts] },
        })
    }

    fn allows_group(&self, group: i64) -> bool {
        let mut ranges = self.ranges.iter();
        ranges.any(|(min, max)| (*min..=*max).contains(&group))
    }

    fn maximum_of(&self, audience: &str) -> i64 {
        match self.vault_maximum {
            Some(maximum) if audience == "vault" => maximum,
            _ => self.maximum,
        }
    }

    /// True for an audience that is the API server's own: by the settings, or where they name none
    /// by what it is called nearly everywhere.
    fn is_known_as_own(&self, audience: &str) -> bool {
        let looks_own = audience.starts_with("https://kubernetes.default.svc")
            || audience.starts_with("kubernetes.default.svc");
        audience.is_empty() || self.own == Some(audience) || (self.own.is_none() && looks_own)
    }

    /// True where nobody knows better than that it is the API server's own.
    fn may_be_own(&self, audience: &str) -> bool {
        self.own.is_none() || self.is_known_as_own(audience)
    }

    fn allows_audience(&self, audience: &str) -> bool {
        let Some(allowed) = &self.allowed else {
            return true;
        };
        self.is_known_as_own(audience) || allowed.contains(&audience)
    }

    /// How long the API server honours such a token.
    fn lifetime(&self, audience: &str, seconds: i64) -> i64 {
        if seconds == 3607 && self.extends && self.may_be_own(audience) {
            YEAR
        } else {
            seconds
        }
    }

    /// What a mutation makes of the seconds that were asked for.
    fn granted(&self, audience: &str, seconds: i64) -> i64 {
        let maximum = self.maximum_of(audience);
        match () {
            () if self.lifetime(audience, seconds) <= maximum => seconds,
            () if seconds == 3607 && !self.is_known_as_own(audience) => maximum.min(3600),
            () => maximum,
        }
    }
}

// ---------------------------------------------------------------------------------------------
// Pods

/// Paths of violations.
#[derive(Debug, Default)]
struct Found {
    /// Those that a mutation can fix; fsGroup's counts as one.
    fixable: BTreeSet<String>,
    others: BTreeSet<String>,
    /// Those of the others where only a proof is missing whose token a Secret holds.
    unproven: BTreeSet<String>,
}

/// What mutate mode does about a Pod.
#[derive(Debug, PartialEq, Eq)]
enum Decision {
    Rejected,
    /// No fsGroup is set.
    Left,
    Set {
        group: i64,
        on_root_mismatch: bool,
    },
}

/// A Pod, as k8s-openapi's types have it and as its JSON, in which the model of the kubelet finds
/// what these types don't know.
struct Seen<'p> {
    spec: &'p PodSpec,
    json: &'p Value,
    is_mirror: bool,
}

impl<'p> Seen<'p> {
    fn new(object: &'p Value, pod: &'p Pod) -> Option<Self> {
        let annotations = pod.metadata.annotations.as_ref();
        let mirror = |all: &BTreeMap<_, _>| all.contains_key("kubernetes.io/config.mirror");
        Some(Self {
            spec: pod.spec.as_ref()?,
            json: &object["spec"],
            is_mirror: annotations.is_some_and(mirror),
        })
    }

    fn volumes(&self) -> impl Iterator<Item = &'p Volume> {
        self.spec.volumes.iter().flatten()
    }
}

impl Rules {
    fn found(&self, pod: &Seen) -> Found {
        let mut found = Found::default();
        if pod.is_mirror {
            return found;
        }
        for (i, volume) in pod.volumes().enumerate() {
            self.tokens(i, volume, &mut found);
            if self.legacy == "Reject" {
                secrets(pod.spec, i, volume, &mut found);
            }
        }
        if self.legacy == "Reject" {
            for (list, containers) in containers(pod.spec) {
                environment(pod.spec, list, &containers, &mut found.others);
            }
        }
        match self.fs_group_violation(pod) {
            Some(Violation::Missing) => found.fixable.insert(FS_GROUP.to_owned()),
            Some(Violation::Forbidden) => found.others.insert(FS_GROUP.to_owned()),
            None => false,
        };
        if self.automount == "Reject" && self.got_what_nobody_asked_for(pod.spec) {
            found.others.insert(AUTOMOUNT.to_owned());
        }
        found
    }

    fn tokens(&self, i: usize, volume: &Volume, found: &mut Found) {
        for (j, source) in sources(volume).iter().enumerate() {
            let Some(token) = &source.service_account_token else {
                continue;
            };
            let at = format!("spec.volumes[{i}].projected.sources[{j}].serviceAccountToken");
            let audience = token.audience.as_deref().unwrap_or("");
            let seconds = token.expiration_seconds.unwrap_or(3600);
            if self.lifetime(audience, seconds) > self.maximum_of(audience) {
                found.fixable.insert(format!("{at}.expirationSeconds"));
            }
            if !self.allows_audience(audience) {
                found.others.insert(format!("{at}.audience"));
            }
        }
    }

    fn fs_group_violation(&self, pod: &Seen) -> Option<Violation> {
        let mut volumes = pod.volumes();
        let has_token = volumes.any(|volume| self.holds_token(pod.spec, volume));
        if !has_token || kubelet::is_windows(pod.json) {
            return None;
        }
        let context = pod.spec.security_context.as_ref();
        match (self.fs_group, context.and_then(|context| context.fs_group)) {
            ("RunAsAny", _) | ("MayRunAs", None) => None,
            (_, Some(group)) if self.allows_group(group) => None,
            (_, Some(_)) => Some(Violation::Forbidden),
            (_, None) => {
                let has_user = kubelet::common_user(pod.json).is_some();
                (self.common_user != "Accept" || !has_user).then_some(Violation::Missing)
            }
        }
    }

    /// A projected token, or a legacy one that can become one.
    fn holds_token(&self, spec: &PodSpec, volume: &Volume) -> bool {
        let legacy = self.converts(spec, volume).is_some_and(shows_token);
        let mut sources = sources(volume).iter();
        legacy || sources.any(|source| source.service_account_token.is_some())
    }

    /// The Secret of a volume that is to be a projected one, as far as the Pod's own shape goes.
    fn converts<'v>(&self, spec: &PodSpec, volume: &'v Volume) -> Option<&'v SecretVolumeSource> {
        let secret = volume.secret.as_ref()?;
        let is_proven =
            is_cut_name(spec) || is_seen_as_token(spec, &volume.name, secret.items.as_ref());
        let converts = self.legacy == "Reject"
            && is_proven
            && is_own(spec, secret.secret_name.as_deref()?)
            && can_be_projected(spec, &volume.name, secret);
        converts.then_some(secret)
    }

    /// True for the API server's token that got into the Pod though it doesn't say that it wants
    /// one.
    fn got_what_nobody_asked_for(&self, spec: &PodSpec) -> bool {
        let is_listed = self.every_account || account(spec) == "default";
        let is_injected = |volume: &Volume| {
            let mut tokens = sources(volume)
                .iter()
                .filter_map(|source| source.service_account_token.as_ref());
            volume.name.starts_with("kube-api-access-")
                && tokens.any(|token| {
                    let audience = token.audience.as_deref().unwrap_or("");
                    audience.is_empty() && token.path == "token"
                })
        };
        is_listed
            && spec.automount_service_account_token.is_none()
            && spec.volumes.iter().flatten().any(is_injected)
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
    let init = spec.init_containers.clone();
    [
        ("containers", spec.containers.clone()),
        ("initContainers", init.unwrap_or_default()),
        ("ephemeralContainers", ephemeral.unwrap_or_default()),
    ]
}

fn all_containers(spec: &PodSpec) -> Vec<Container> {
    let lists = containers(spec).into_iter();
    lists.flat_map(|(_, containers)| containers).collect()
}

fn mounts_of<'c>(containers: &'c [Container], volume: &str) -> Vec<&'c VolumeMount> {
    let mounts = containers
        .iter()
        .flat_map(|container| container.volume_mounts.iter().flatten());
    mounts.filter(|mount| mount.name == volume).collect()
}

/// The sources of a projected volume.
fn sources(volume: &Volume) -> &[VolumeProjection] {
    let projected = volume.projected.as_ref();
    projected
        .and_then(|projected| projected.sources.as_deref())
        .unwrap_or_default()
}

fn account(spec: &PodSpec) -> &str {
    let names = [&spec.service_account_name, &spec.service_account];
    let mut named = names.into_iter().flatten().filter(|name| !name.is_empty());
    named.next().map_or("default", String::as_str)
}

// ---------------------------------------------------------------------------------------------
// Legacy tokens

/// Five characters as Kubernetes makes them up.
fn is_random(suffix: &str) -> bool {
    suffix.len() == 5
        && suffix
            .chars()
            .all(|c| "bcdfghjklmnpqrstvwxz2456789".contains(c))
}

/// True when it is the name of a token Secret of the Pod's own account.
fn is_own(spec: &PodSpec, secret: &str) -> bool {
    let mut start = format!("{}-token-", account(spec));
    start.truncate(58);
    secret.strip_prefix(&start).is_some_and(is_random)
}

/// True for an account so long that Kubernetes cuts the names of its Secrets: what is left of one is
/// nobody else's.
fn is_cut_name(spec: &PodSpec) -> bool {
    account(spec).len() + "-token-".len() > 58
}

/// True when it is the name of some account's token Secret.
fn is_named_as_token(spec: &PodSpec, secret: &str) -> bool {
    let parts = secret.rsplit_once("-token-");
    let of_any = parts.is_some_and(|(account, suffix)| !account.is_empty() && is_random(suffix));
    of_any || is_own(spec, secret)
}

/// True when a volume or source with these items has the key `token` in it.
fn shows_key_token(items: Option<&Vec<KeyToPath>>) -> bool {
    let items = items.map(Vec::as_slice).unwrap_or_default();
    items.is_empty() || items.iter().any(|item| item.key == "token")
}

fn shows_token(secret: &SecretVolumeSource) -> bool {
    shows_key_token(secret.items.as_ref())
}

/// The paths of the token in a volume that shows a token Secret.
fn token_paths(secret: &SecretVolumeSource) -> Vec<String> {
    let items = secret.items.as_deref().unwrap_or_default();
    if items.is_empty() {
        return vec!["token".to_owned()];
    }
    let tokens = items.iter().filter(|item| item.key == "token");
    tokens.map(|item| clean(&item.path)).collect()
}

/// True when a projected volume can show the same files, and show them as well.
fn can_be_projected(spec: &PodSpec, volume: &str, secret: &SecretVolumeSource) -> bool {
    let items = secret.items.as_deref().unwrap_or_default();
    let keys = ["token", "ca.crt", "namespace", "service-ca.crt"];
    // The token's mode is that of the volume.
    let mode = |item: &KeyToPath| item.mode.or(secret.default_mode).unwrap_or(0o644);
    let tokens = items.iter().filter(|item| item.key == "token");
    let modes: BTreeSet<_> = tokens.map(mode).collect();
    let paths: BTreeSet<_> = items.iter().map(|item| clean(&item.path)).collect();
    let containers = all_containers(spec);
    let mut mounts = mounts_of(&containers, volume).into_iter();
    secret.optional != Some(true)
        && items.iter().all(|item| keys.contains(&item.key.as_str()))
        && modes.len() < 2
        && paths.len() == items.len()
        && !mounts.any(|mount| freezes(mount, &token_paths(secret)))
}

/// True when the mount shows one of these files by subPath, and so never a newer one.
fn freezes(mount: &VolumeMount, paths: &[String]) -> bool {
    match shown(mount) {
        Shown::All => false,
        Shown::Unknown | Shown::AllOfToday => !paths.is_empty(),
        Shown::Part(part) => paths
            .iter()
            .any(|path| *path == part || path.starts_with(&format!("{part}/"))),
    }
}

/// What a mount shows of its volume.
enum Shown {
    All,
    /// By the kubelet's own link: all of it, as it is when the container starts.
    AllOfToday,
    /// A file, or a folder with what is in it.
    Part(String),
    /// What a variable says.
    Unknown,
}

fn shown(mount: &VolumeMount) -> Shown {
    let expression = mount.sub_path_expr.as_deref().unwrap_or_default();
    if expression.contains("$(") {
        return Shown::Unknown;
    }
    let literal = mount.sub_path.as_deref().unwrap_or_default();
    let part = if literal.is_empty() {
        expression
    } else {
        literal
    };
    match clean(part).as_str() {
        "" => Shown::All,
        "..data" => Shown::AllOfToday,
        part => Shown::Part(part.strip_prefix("..data/").unwrap_or(part).to_owned()),
    }
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

/// A path in a container: without a drive, with slashes, and with `/var/run` as `/run`.
fn seen(path: &str) -> String {
    let drive = |path: &str| path.starts_with(|c: char| c.is_ascii_alphabetic());
    let path = match path.split_at_checked(2) {
        Some((start, rest)) if drive(start) && start.ends_with(':') => rest.replace('\\', "/"),
        _ if path.starts_with('\\') => path.replace('\\', "/"),
        _ => path.to_owned(),
    };
    let path = clean(&format!("/{path}"));
    match path.strip_prefix("/var") {
        Some(rest) if rest == "/run" || rest.starts_with("/run/") => rest.to_owned(),
        _ => path,
    }
}

/// True when clients of the API server take a file of the Secret for their token.
fn is_seen_as_token(spec: &PodSpec, volume: &str, items: Option<&Vec<KeyToPath>>) -> bool {
    let items = items.map(Vec::as_slice).unwrap_or_default();
    let paths: Vec<_> = items.iter().map(|item| clean(&item.path)).collect();
    let containers = all_containers(spec);
    let mut mounts = mounts_of(&containers, volume).into_iter();
    mounts.any(|mount| {
        if paths.is_empty() {
            shows_some_key_as_token(mount)
        } else {
            paths.iter().any(|path| shows_as_token(mount, path))
        }
    })
}

/// The same for a file of this path in the volume.
fn shows_as_token(mount: &VolumeMount, path: &str) -> bool {
    let is_token = |path: &str| {
        let place = format!("{}/{path}", mount.mount_path);
        seen(&place) == format!("{FOLDER}/token")
    };
    // What is behind each of its slashes, and the file itself.
    let mut inner = path
        .match_indices('/')
        .map(|(i, _)| &path[i + 1..])
        .chain([""]);
    match shown(mount) {
        Shown::All | Shown::AllOfToday => is_token(path),
        Shown::Unknown => is_token(path) || inner.any(is_token),
        Shown::Part(part) if part == path => is_token(""),
        Shown::Part(part) => path.strip_prefix(&format!("{part}/")).is_some_and(is_token),
    }
}

/// The same for a Secret of which every key is a file, in no folder.
fn shows_some_key_as_token(mount: &VolumeMount) -> bool {
    let at = seen(&mount.mount_path);
    let is_file = at == format!("{FOLDER}/token");
    match shown(mount) {
        Shown::All | Shown::AllOfToday => at == FOLDER,
        Shown::Unknown => at == FOLDER || is_file,
        Shown::Part(part) => is_file && !part.contains('/'),
    }
}

fn secrets(spec: &PodSpec, i: usize, volume: &Volume, found: &mut Found) {
    let is_legacy = |name: &str, items: Option<&Vec<KeyToPath>>| {
        is_named_as_token(spec, name) && shows_key_token(items)
            || is_seen_as_token(spec, &volume.name, items)
    };
    for (j, source) in sources(volume).iter().enumerate() {
        let Some(secret) = &source.secret else {
            continue;
        };
        if is_legacy(&secret.name, secret.items.as_ref()) {
            let path = format!("spec.volumes[{i}].projected.sources[{j}].secret.name");
            found.others.insert(path);
        }
    }
    let Some(secret) = &volume.secret else {
        return;
    };
    let name = secret.secret_name.as_deref().unwrap_or_default();
    if name.is_empty() || !is_legacy(name, secret.items.as_ref()) {
        return;
    }
    let path = format!("spec.volumes[{i}].secret.secretName");
    let is_own = is_own(spec, name) && can_be_projected(spec, &volume.name, secret);
    let is_seen = is_seen_as_token(spec, &volume.name, secret.items.as_ref());
    match is_cut_name(spec) || is_seen {
        true if is_own => found.fixable.insert(path),
        false if is_own => {
            found.unproven.insert(path.clone());
            found.others.insert(path)
        }
        _ => found.others.insert(path),
    };
}

fn environment(spec: &PodSpec, list: &str, containers: &[Container], paths: &mut BTreeSet<String>) {
    for (i, container) in containers.iter().enumerate() {
        for (j, variable) in container.env.iter().flatten().enumerate() {
            let from = variable.value_from.as_ref();
            let secret = from.and_then(|from| from.secret_key_ref.as_ref());
            if secret.is_some_and(|s| s.key == "token" && is_named_as_token(spec, &s.name)) {
                let path = format!("spec.{list}[{i}].env[{j}].valueFrom.secretKeyRef.name");
                paths.insert(path);
            }
        }
        for (j, source) in container.env_from.iter().flatten().enumerate() {
            let secret = source.secret_ref.as_ref();
            if secret.is_some_and(|secret| is_named_as_token(spec, &secret.name)) {
                paths.insert(format!("spec.{list}[{i}].envFrom[{j}].secretRef.name"));
            }
        }
    }
}

// ---------------------------------------------------------------------------------------------
// What a mutation does, by the model of the kubelet

impl Rules {
    /// What mutate mode does about the Pod, with these violations.
    fn decision(&self, pod: &Seen, found: &Found) -> Decision {
        if !found.others.is_empty() {
            return Decision::Rejected;
        }
        if pod.is_mirror {
            return Decision::Left;
        }
        let mut after = self.converted(pod);
        let mut decision = Decision::Left;
        if found.fixable.contains(FS_GROUP) {
            decision = self.group_decision(pod, &after);
        }
        if let Decision::Set { group, .. } = decision {
            after = with_fs_group(&after, group);
        }
        // A conversion alone may take a token away, too.
        if is_lost(pod.json, &after) && self.root_containers != "Set" {
            return Decision::Rejected;
        }
        decision
    }

    /// What becomes of a missing fsGroup, `after` the conversions.
    fn group_decision(&self, pod: &Seen, after: &Value) -> Decision {
        let group = self.group_to_set(pod);
        let with = with_fs_group(after, group.unwrap_or(self.default_group));
        let files = || kubelet::files(after).into_iter().zip(kubelet::files(&with));
        let changes_disk = files().any(|(old, new)| old.kind == Kind::Data && old != new);
        let shares_file = files().any(|(old, new)| is_shared(after, &old, &new));
        let choices: BTreeSet<_> = [
            (changes_disk, self.persistent_volumes),
            (shares_file, self.private_files),
            (
                is_lost(pod.json, &with) && !is_lost(pod.json, after),
                self.root_containers,
            ),
            (group.is_none(), "Leave"),
        ]
        .into_iter()
        .filter_map(|(breaks, choice)| breaks.then_some(choice))
        .collect();
        if choices.contains("Reject") {
            return Decision::Rejected;
        }
        let Some(group) = group.filter(|_| !choices.contains("Leave")) else {
            return Decision::Left;
        };
        let policy = &pod.json["securityContext"]["fsGroupChangePolicy"];
        Decision::Set {
            group,
            on_root_mismatch: changes_disk && policy.is_null(),
        }
    }

    /// The one `runAsGroup` that every container has, if it may be the Pod's; or the default; in a
    /// user namespace one that exists there, if there is any.
    fn group_to_set(&self, pod: &Seen) -> Option<i64> {
        let context = pod.spec.security_context.as_ref();
        let of_pod = context.and_then(|context| context.run_as_group);
        let group = |it: &Container| it.security_context.as_ref()?.run_as_group;
        let containers = all_containers(pod.spec);
        let groups: BTreeSet<_> = containers.iter().map(|it| group(it).or(of_pod)).collect();
        let common = groups.first().copied().flatten();
        let common = common.filter(|group| groups.len() == 1 && self.allows_group(*group));
        let highest = self
            .ranges
            .iter()
            .map(|(_, max)| kubelet::LAST_MAPPED_ID.min(*max));
        let highest = highest
            .filter(|group| *group > 0 && self.allows_group(*group))
            .max();
        let nobody = Some(65534).filter(|group| self.allows_group(*group));
        [common, Some(self.default_group), nobody, highest]
            .into_iter()
            .flatten()
            .find(|group| kubelet::has_group(pod.json, *group))
    }

    /// The Pod with its own legacy tokens as projected ones.
    fn converted(&self, pod: &Seen) -> Value {
        let mut json = pod.json.clone();
        for (i, volume) in pod.volumes().enumerate() {
            if let Some(secret) = self.converts(pod.spec, volume) {
                let projected = projected(secret);
                json["volumes"][i] = json!({ "name": volume.name, "projected": projected });
            }
        }
        json
    }
}

/// The projected volume that shows the files of a token Secret.
fn projected(secret: &SecretVolumeSource) -> Value {
    let whole = |key: &str| (key.to_owned(), key.to_owned(), None);
    let named = secret.items.iter().flatten();
    let mut items: Vec<_> = named
        .map(|item| (item.key.clone(), item.path.clone(), item.mode))
        .collect();
    if items.is_empty() {
        items = Vec::from(["token", "ca.crt", "namespace", "service-ca.crt"].map(whole));
    }
    let default = secret.default_mode.unwrap_or(0o644);
    let is_token = |(key, ..): &&(String, String, Option<i32>)| key == "token";
    let token = items.iter().find(is_token);
    let mode = token.and_then(|(.., mode)| *mode).unwrap_or(default);
    let sources: Vec<_> = items
        .iter()
        .map(|(key, path, mode)| match key.as_str() {
            "token" => json!({ "serviceAccountToken": { "path": path } }),
            _ => json!({ "configMap": { "items": [
                { "key": key, "path": path, "mode": mode.unwrap_or(default) },
            ] } }),
        })
        .collect();
    json!({ "defaultMode": mode, "sources": sources })
}

fn with_fs_group(spec: &Value, group: i64) -> Value {
    let mut spec = spec.clone();
    if !spec["securityContext"].is_object() {
        spec["securityContext"] = Value::Object(Map::new());
    }
    spec["securityContext"]["fsGroup"] = json!(group);
    spec
}

/// True when the group gets a file that its owner, who reads it, kept from it.
fn is_shared(spec: &Value, old: &File, new: &File) -> bool {
    let is_private = match old.kind {
        Kind::Data => false,
        Kind::Certificate => old.mode & 0o040 == 0,
        Kind::Config | Kind::Token | Kind::TrustBundle => old.declared & 0o040 == 0,
    };
    // A user of 0 beside runAsNonRoot, too: the container never starts, and nothing is lost when the
    // Pod stays as it is.
    let is_user_of_all = old.kind == Kind::Certificate
        && kubelet::containers(spec)
            .all(|container| kubelet::user(spec, container) == Some(old.user));
    let is_owner = |container: &&Value| is_user_of_all || kubelet::may_run_as_root(spec, container);
    is_private
        && new.mode & 0o040 != 0
        && kubelet::containers(spec)
            .filter(|container| kubelet::mounts(container, &old.volume))
            .any(|container| is_owner(&container))
}

/// True when a process reads a file in the Pod as it was, and doesn't as it will be.
fn is_lost(before: &Value, after: &Value) -> bool {
    let containers = || kubelet::containers(before).zip(kubelet::containers(after));
    same_files(before, after).iter().any(|(old, new)| {
        let mut containers = containers().filter(|(was, _)| kubelet::mounts(was, &new.volume));
        containers.any(|(was, is)| {
            let old_processes = kubelet::processes(before, was);
            let new_processes = kubelet::processes(after, is);
            let mut processes = old_processes.iter().zip(&new_processes);
            processes.any(|(was, is)| was.reads(old) && !is.reads(new))
        })
    })
}

/// Each file as it was and as it will be. A Secret without items has one for all of its keys.
fn same_files(before: &Value, after: &Value) -> Vec<(File, File)> {
    let of_volume = |files: Vec<File>, name: &str| {
        let files = files.into_iter().filter(|file| file.volume == name);
        files.collect::<Vec<_>>()
    };
    let paths = |files: &[File]| -> Vec<_> { files.iter().map(|file| file.path.clone()).collect() };
    let mut pairs = Vec::new();
    for volume in kubelet::elements(&after["volumes"]) {
        let name = volume["name"].as_str().unwrap_or_default();
        let old = of_volume(kubelet::files(before), name);
        let new = of_volume(kubelet::files(after), name);
        if paths(&old) == paths(&new) {
            pairs.extend(old.into_iter().zip(new));
            continue;
        }
        for file in new {
            let is_same = |old: &&File| old.path == file.path || old.path == "*";
            pairs.extend(old.iter().find(is_same).cloned().map(|old| (old, file)));
        }
    }
    pairs
}

// ---------------------------------------------------------------------------------------------
// The comparison of Pods

/// A member that is `null` is no member.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.iter().filter(|(_, value)| !value.is_null());
            members
                .map(|(key, value)| (key.clone(), without_nulls(value)))
                .collect()
        }
        Value::Array(elements) => elements.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

/// The paths of a rejection, without what it only counts.
fn paths(response: &ValidationResponse) -> BTreeSet<String> {
    if response.accepted {
        return BTreeSet::new();
    }
    let lines = rejection(response).into_iter();
    let violations = lines.filter(|line| !line.starts_with("and "));
    violations.map(|line| path(line).to_owned()).collect()
}

/// Compares the two, if the Pod is one that k8s-openapi's types can hold.
fn compare(object: &Value, rules: &Rules) -> bool {
    let object = without_nulls(object);
    let Ok(typed) = serde_json::from_value::<Pod>(object.clone()) else {
        return false;
    };
    let Some(pod) = Seen::new(&object, &typed) else {
        return false;
    };
    let found = rules.found(&pod);
    let settings = rules.settings("reject");
    let response = ask(&create(&object), &settings);
    let mut expected = found.fixable.clone();
    expected.extend(found.others.iter().cloned());
    if expected.len() <= 20 {
        let told = paths(&response);
        assert_eq!(told, expected, "in reject mode\n{object}\n{settings}");
    }

    let settings = rules.settings("mutate");
    let response = ask(&create(&object), &settings);
    let decision = rules.decision(&pod, &found);
    let context = format!("in mutate mode\n{object}\n{settings}\n{response:?}");
    assert_eq!(decided(&object, &response), decision, "{context}");
    for unproven in &found.unproven {
        let lines = response.message.as_deref().unwrap_or_default().lines();
        let mut lines = lines.filter(|line| line.starts_with(unproven.as_str()));
        assert!(
            lines.all(|line| line.contains("Lookup")),
            "{unproven} {context}"
        );
    }
    if rules.automount == "Warn" && rules.got_what_nobody_asked_for(pod.spec) && !pod.is_mirror {
        let mut warnings = response.warnings.iter().flatten();
        let is_told = warnings.any(|warning| warning.contains("automountServiceAccountToken"));
        assert!(is_told || !response.accepted, "nobody is warned {context}");
    }
    if let Some(mutated) = &response.mutated_object {
        compare_lifetimes(&typed, mutated, rules, &context);
    }
    true
}

/// What the policy did about the fsGroup.
fn decided(object: &Value, response: &ValidationResponse) -> Decision {
    let context = |object: &Value| object["spec"]["securityContext"].clone();
    let old = context(object);
    let new = response
        .mutated_object
        .as_ref()
        .map_or(old.clone(), context);
    match new["fsGroup"].as_i64() {
        _ if !response.accepted => Decision::Rejected,
        Some(group) if old["fsGroup"].is_null() => Decision::Set {
            group,
            on_root_mismatch: old["fsGroupChangePolicy"] != new["fsGroupChangePolicy"],
        },
        _ => Decision::Left,
    }
}

fn compare_lifetimes(pod: &Pod, mutated: &Value, rules: &Rules, context: &str) {
    let spec = pod.spec.as_ref().unwrap();
    for (i, volume) in spec.volumes.iter().flatten().enumerate() {
        for (j, source) in sources(volume).iter().enumerate() {
            let Some(token) = &source.service_account_token else {
                continue;
            };
            let asked = token.expiration_seconds.unwrap_or(3600);
            let audience = token.audience.as_deref().unwrap_or("");
            let source = &mutated["spec"]["volumes"][i]["projected"]["sources"][j];
            let now = source["serviceAccountToken"]["expirationSeconds"].as_i64();
            let expected = rules.granted(audience, asked);
            assert_eq!(now.unwrap_or(3600), expected, "{i}, {j} {context}");
        }
    }
}

#[test]
fn real_pods_are_judged_alike() {
    let mut compared = 0;
    for Captured { request, .. } in Captured::corpus() {
        if request["kind"]["kind"] == "Pod" {
            for maximum in [600, 3600, 86400, YEAR] {
                for root_containers in ["Leave", "Set", "Reject"] {
                    let rules = Rules {
                        root_containers,
                        automount: if maximum == 600 { "Reject" } else { "Warn" },
                        ..Rules::with_maximum(maximum)
                    };
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

/// What is about tokens.
fn token_rules() -> impl Strategy<Value = Rules> {
    let maximum = prop_oneof![Just(600), Just(3600), Just(86400), Just(YEAR)];
    let vault = prop_oneof![Just(None), Just(Some(600)), Just(Some(86400))];
    let allowed = prop_oneof![Just(None), Just(Some(vec![])), Just(Some(vec!["vault"]))];
    let own = prop_oneof![Just(None), Just(Some("own"))];
    let legacy = prop_oneof![5 => Just("Reject"), 1 => Just("Allow")];
    let automount = prop_oneof![Just("Allow"), Just("Warn"), Just("Reject")];
    let every_account = any::<bool>();
    let tokens = (maximum, vault, any::<bool>(), own, allowed);
    (tokens, legacy, automount, every_account).prop_map(
        |((maximum, vault_maximum, extends, own, allowed), legacy, automount, every_account)| {
            Rules {
                vault_maximum,
                extends,
                own,
                allowed,
                legacy,
                automount,
                every_account,
                ..Rules::with_maximum(maximum)
            }
        },
    )
}

fn rules() -> impl Strategy<Value = Rules> {
    let fs_group = prop_oneof![
        4 => Just("MustRunAs"), 1 => Just("MayRunAs"), 1 => Just("RunAsAny"),
    ];
    let groups = prop_oneof![
        3 => Just((vec![(1, 2_147_483_647)], 65534)),
        1 => Just((vec![(1_000_000_000, 1_999_999_999)], 1_000_650_000)),
        1 => Just((vec![(70_000, 80_000), (0, 500)], 75_000)),
    ];
    let common_user = prop_oneof![Just("Require"), Just("Accept")];
    let choices = (choice(), choice(), choice());
    (token_rules(), fs_group, groups, common_user, choices).prop_map(
        |(rules, fs_group, (ranges, default_group), common_user, choices)| Rules {
            fs_group,
            ranges,
            default_group,
            common_user,
            persistent_volumes: choices.0,
            private_files: choices.1,
            root_containers: choices.2,
            ..rules
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

// ---------------------------------------------------------------------------------------------
// TokenRequests

impl Rules {
    /// The paths of violations of a TokenRequest, and the seconds that are granted.
    fn judge_token_request(&self, request: &Value) -> (BTreeSet<&'static str>, i64) {
        let spec = &request["object"]["spec"];
        let seconds = spec["expirationSeconds"].as_i64().unwrap_or(3600);
        let named: Vec<_> = kubelet::elements(&spec["audiences"])
            .filter_map(Value::as_str)
            .collect();
        // A node names one at most: more are what the API server wrote into an empty list.
        let is_list_of_server = is_node(&request["userInfo"]) && named.len() > 1;
        let audiences = if named.is_empty() || is_list_of_server {
            vec![""]
        } else {
            named
        };
        let is_own = audiences
            .iter()
            .all(|audience| self.is_known_as_own(audience));
        let may_be_own = audiences.iter().all(|audience| self.may_be_own(audience));
        let is_bound_to_pod = spec["boundObjectRef"]["kind"] == "Pod";
        let is_extended = seconds == 3607 && is_bound_to_pod && may_be_own && self.extends;
        let maxima = audiences.iter().map(|audience| self.maximum_of(audience));
        let maximum = maxima.min().unwrap_or(self.maximum);
        let mut paths = BTreeSet::new();
        if !audiences
            .iter()
            .all(|audience| self.allows_audience(audience))
        {
            paths.insert("spec.audiences");
        }
        if (if is_extended { YEAR } else { seconds }) <= maximum {
            return (paths, seconds);
        }
        paths.insert("spec.expirationSeconds");
        let highest = if seconds == 3607 && !is_own {
            3600
        } else {
            maximum
        };
        (paths, maximum.min(highest))
    }
}

/// A node by its name and its group.
fn is_node(user: &Value) -> bool {
    let name = user["username"].as_str().unwrap_or_default();
    name.starts_with("system:node:")
        && kubelet::elements(&user["groups"]).any(|group| group == "system:nodes")
}

fn compare_token_request(request: &Value, rules: &Rules) {
    let (expected, granted) = rules.judge_token_request(request);
    let response = ask(request, &rules.settings("reject"));
    let told: BTreeSet<_> = paths(&response)
        .into_iter()
        .map(|path| path.split('[').next().unwrap().to_owned())
        .collect();
    let context = format!("{request}\n{}\n{response:?}", rules.settings("reject"));
    assert!(
        told.iter().eq(&expected),
        "{expected:?}, not {told:?} {context}"
    );

    let response = ask(request, &rules.settings("mutate"));
    assert_eq!(
        response.accepted,
        !expected.contains("spec.audiences"),
        "{response:?} {context}"
    );
    if let Some(mutated) = &response.mutated_object {
        let seconds = mutated["spec"]["expirationSeconds"].as_i64();
        assert_eq!(seconds, Some(granted), "{response:?} {context}");
    }
    let is_changed = expected.contains("spec.expirationSeconds") && response.accepted;
    assert_eq!(
        response.mutated_object.is_some(),
        is_changed,
        "{response:?} {context}"
    );
}

// ---------------------------------------------------------------------------------------------
// Secrets

/// The parts of a Secret that are changed in a way which makes Kubernetes mint a token, or honour
/// one again that ended.
fn judge_secret(request: &Value) -> BTreeSet<&'static str> {
    let (new, old) = (&request["object"], &request["oldObject"]);
    let is_update = request["operation"] == "UPDATE";
    let text = |secret: &Value, pointer: &str| {
        let value = secret.pointer(pointer).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    let mut parts = BTreeSet::new();
    if new["type"] != generator::TOKEN_SECRET {
        let token = text(new, "/data/token");
        let is_new = !is_update || token != text(old, "/data/token");
        let claims = generator::TOKENS.iter().find(|(value, _)| *value == token);
        let named = claims.and_then(|(_, named)| *named);
        if is_new
            && named.is_some_and(|(namespace, name)| {
                request["namespace"] == namespace && request["name"] == name
            })
        {
            parts.insert("data");
        }
        return parts;
    }
    if !is_update {
        return BTreeSet::from(["type"]);
    }
    let account = "/metadata/annotations/kubernetes.io~1service-account.name";
    let uid = "/metadata/annotations/kubernetes.io~1service-account.uid";
    let invalid = "/metadata/labels/kubernetes.io~1legacy-token-invalid-since";
    let is_changed = |pointer| text(old, pointer) != text(new, pointer);
    let was_there = |pointer| !text(old, pointer).is_empty();
    if is_changed(account) || (was_there(uid) && is_changed(uid)) {
        parts.insert("metadata.annotations");
    }
    if was_there("/data/token") && is_changed("/data/token") {
        parts.insert("data");
    }
    if was_there(invalid) && text(new, invalid).is_empty() {
        parts.insert("metadata.labels");
    }
    parts
}

fn compare_secret(request: &Value) {
    let expected = judge_secret(request);
    for mode in ["reject", "mutate"] {
        let response = ask(request, &json!({ "mode": mode }));
        let context = format!("{expected:?} in {mode} mode\n{request}\n{response:?}");
        assert_eq!(response.accepted, expected.is_empty(), "{context}");
        if request["operation"] == "UPDATE" {
            let told = paths(&response);
            let is_told = |part: &&str| told.iter().any(|path| path.starts_with(*part));
            assert!(expected.iter().all(is_told), "{context}");
            let is_expected = |path: &String| expected.iter().any(|part| path.starts_with(part));
            assert!(told.iter().all(is_expected), "{context}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn generated_token_requests_are_judged_alike(
        choices in vec(any::<u8>(), 0..60),
        rules in token_rules(),
    ) {
        let mut request = Choices::typed(&choices).creation_of_token();
        // Nobody audits what is never stored.
        request["uid"] = json!("1");
        compare_token_request(&request, &rules);
    }

    #[test]
    fn generated_secrets_are_judged_alike(choices in vec(any::<u8>(), 0..60)) {
        compare_secret(&Choices::typed(&choices).update_of_secret());
        compare_secret(&Choices::typed(&choices).creation_of_secret());
    }
}

// ---------------------------------------------------------------------------------------------
// The tests themselves

/// Otherwise the comparison would say little.
#[test]
fn generated_pods_come_to_each_decision() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = (vec(any::<u8>(), 100..600), rules());
    let mut counts = BTreeMap::new();
    for _ in 0..2000 {
        let (choices, rules) = strategy.new_tree(&mut runner).unwrap().current();
        let object = without_nulls(&Choices::typed(&choices).pod());
        let pod: Pod = serde_json::from_value(object.clone()).unwrap();
        let pod = Seen::new(&object, &pod).unwrap();
        let found = rules.found(&pod);
        let decision = match rules.decision(&pod, &found) {
            Decision::Set { .. } => "set",
            Decision::Left if found.fixable.contains(FS_GROUP) => "left",
            Decision::Left => "fine",
            Decision::Rejected if found.others.is_empty() => "rejected by a setting",
            Decision::Rejected => "rejected",
        };
        let converted = rules.converted(&pod) != *pod.json;
        for (what, counts_as) in [
            (decision, true),
            ("converted", converted && decision != "rejected"),
            ("unproven", !found.unproven.is_empty()),
            ("automount", found.others.contains(AUTOMOUNT)),
            ("Windows", kubelet::is_windows(pod.json)),
        ] {
            *counts.entry(what).or_insert(0) += usize::from(counts_as);
        }
    }
    assert_eq!(counts.len(), 9, "{counts:?}");
    assert!(counts.values().all(|count| *count >= 20), "{counts:?}");
}

/// All that a test may know of the policy.
const ENTRY_POINTS: [&str; 3] = ["validate", "validate_settings", "settings::Settings"];

/// Where in a text the crate is used for something else.
fn other_uses(text: &str) -> Vec<String> {
    let crate_name = concat!("bound_service_account", "_tokens");
    let mut others = Vec::new();
    for (at, _) in text.match_indices(crate_name) {
        let rest = &text[at + crate_name.len()..];
        let rest = rest.strip_prefix("::").unwrap_or(rest);
        let end = rest.find(|c: char| c != ':' && c != '_' && !c.is_alphanumeric());
        let name = &rest[..end.unwrap_or(rest.len())];
        if !ENTRY_POINTS.contains(&name.split("::read").next().unwrap()) {
            others.push(format!("{crate_name}::{name}"));
        }
    }
    // Nor may its source come in by another way.
    let included = text
        .lines()
        .filter(|line| line.contains("#[path") || line.contains("include"));
    let included = included.filter(|line| line.contains(concat!("s", "rc/")));
    others.extend(included.map(str::to_owned));
    others
}

#[test]
fn the_reference_shares_no_code_with_the_policy() {
    let tests = common::data().join("..");
    let files = [
        "reference.rs",
        "common/mod.rs",
        "common/kubelet.rs",
        "common/generator.rs",
        "common/invariants.rs",
    ];
    for file in files {
        let text = std::fs::read_to_string(tests.join(file)).unwrap();
        assert_eq!(other_uses(&text), [""; 0], "{file}");
    }
    let model = std::fs::read_to_string(tests.join("common/kubelet.rs")).unwrap();
    assert!(
        !model.contains(concat!("bound_service_account", "_tokens")),
        "the kubelet's model"
    );
}

#[test]
fn another_use_of_the_policy_is_seen() {
    let of_crate =
        |rest: &str| format!("use {}{rest}", concat!("bound_service_account", "_tokens"));
    for (text, expected) in [
        (of_crate("::validate;"), 0),
        (of_crate("::settings::Settings;"), 0),
        (of_crate("::settings::Settings::read(json)"), 0),
        (of_crate("::{validate, review};"), 1),
        (of_crate("::review::Review;"), 1),
        (of_crate(" as policy;"), 1),
        (
            format!(
                "{}\n{}",
                of_crate("::validate;"),
                of_crate("::kubelet::files;")
            ),
            1,
        ),
        (concat!("#[path = \"../s", "rc/review.rs\"]").to_owned(), 1),
    ] {
        assert_eq!(other_uses(&text).len(), expected, "{text}");
    }
}
