//! No Pod holds a token that never expires: a Secret of type
//! `kubernetes.io/service-account-token`, as a volume or in an environment variable.

use super::{Context, Finding, LOOKUP, Remedy, sorted};
use crate::fix::Edit;
use crate::json::Read;
use crate::lookup::{self, Known};
use crate::message::{Path, Quoted};
use crate::pod_spec::{Container, PodSpec, SecretRef, SecretVolumeSource, Volume};
use crate::settings::{Detect, LegacyRule};

/// The rule's name.
pub const RULE: &str = "legacy-token";

/// Where every client looks for its token
/// (`plugin/pkg/admission/serviceaccount`, `DefaultAPITokenMountPath`).
const TOKEN_PATH: [&str; 5] = ["var", "run", "secrets", "kubernetes.io", "serviceaccount"];

/// The characters of the names that the API server makes up
/// (`k8s.io/apimachinery/pkg/util/rand`).
const RANDOM: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// Mode 0644, which the API server sets where there is none (`pkg/apis/core/v1/defaults.go`).
const DEFAULT_MODE: i64 = 0o644;

/// Reports each legacy token of a Pod. Returns the indices of the volumes that a fix turns into
/// projected tokens.
pub fn check<'a>(
    spec: &PodSpec<'a>,
    context: &Context,
    at: &Path,
    findings: &mut Vec<Finding<'a>>,
) -> Vec<usize> {
    let mut legacy = Legacy { context, seen: Vec::new(), findings };
    if context.settings.legacy_tokens.rule == LegacyRule::Allow {
        return Vec::new();
    }
    let volumes = at.member("volumes");
    let mut converted = Vec::new();
    let mut mounts = None;
    for (i, volume) in spec.volumes.elements() {
        let at = volumes.element(i);
        if legacy.check_volume(spec, &mut mounts, volume, &at) {
            converted.push(i);
        }
        legacy.check_sources(volume, &at);
    }
    for (name, list) in spec.container_lists() {
        let at = at.member(name);
        for (i, container) in list.elements() {
            legacy.check_environment(container, &at.element(i));
        }
    }
    converted
}

/// Reports each legacy token in the environment of the ephemeral containers that aren't there
/// yet. The `old` ones, sorted by name, can't change any more.
pub fn check_ephemeral_containers<'a>(
    spec: &PodSpec<'a>,
    old: &[&str],
    context: &Context,
    at: &Path,
    findings: &mut Vec<Finding<'a>>,
) {
    if context.settings.legacy_tokens.rule == LegacyRule::Allow {
        return;
    }
    let mut legacy = Legacy { context, seen: Vec::new(), findings };
    let at = at.member("ephemeralContainers");
    for (i, container) in spec.ephemeral_containers.elements() {
        if old.binary_search(&container.name.or_empty()).is_err() {
            legacy.check_environment(container, &at.element(i));
        }
    }
}

struct Legacy<'c, 'a, 'f> {
    context: &'c Context<'c>,
    /// What the cluster said, so that it is asked once for each Secret.
    /// Sorted: a map is a good deal more code.
    seen: Vec<(String, Known)>,
    findings: &'f mut Vec<Finding<'a>>,
}

impl<'a> Legacy<'_, 'a, '_> {
    /// True when a fix turns the volume into a projected token. `mounts` are the [`token_mounts`],
    /// once somebody asked for them.
    fn check_volume<'s>(
        &mut self,
        spec: &'s PodSpec,
        mounts: &mut Option<Vec<&'s str>>,
        volume: &Volume<'a>,
        at: &Path,
    ) -> bool {
        let Some(secret) = volume.secret.get() else { return false };
        let Some(name) = secret.secret_name.get() else { return false };
        let mounted = || {
            let mounts = mounts.get_or_insert_with(|| token_mounts(spec));
            mounts.binary_search(&volume.name.or_empty()).is_ok()
        };
        let at = at.member("secret");
        let at = at.member("secretName");
        let Known::Token(owner) = self.token(name, mounted, &at) else { return false };
        let edit = (owner.is_some() && owner.as_deref() == self.context.service_account)
            .then(|| self.replacement(secret).zip(volume.secret.text))
            .flatten();
        let way_out = "use a projected volume with a serviceAccountToken instead";
        let is_mended = edit.is_some();
        let remedy = match edit {
            Some((with, value)) => Remedy::Edit(vec![Edit::ReplaceMember { value, with }]),
            None => Remedy::Reject,
        };
        let place = format!("volume {}", Quoted(volume.name.or_empty()));
        self.report(name, owner.as_deref(), &place, way_out, remedy, &at);
        is_mended
    }

    fn check_sources(&mut self, volume: &Volume, at: &Path) {
        let Some(projected) = volume.projected.get() else { return };
        let at = at.member("projected");
        let at = at.member("sources");
        for (i, source) in projected.sources.elements() {
            let place = || format!("volume {}", Quoted(volume.name.or_empty()));
            let way_out = "use a serviceAccountToken source instead";
            let at = at.element(i);
            self.check_reference(&source.secret, place, way_out, &at.member("secret"));
        }
    }

    fn check_environment(&mut self, container: &Container, at: &Path) {
        let place = || format!("environment of container {}", Quoted(container.name.or_empty()));
        let way_out = "mount a projected volume with a serviceAccountToken and read the file";
        let env = at.member("env");
        for (i, variable) in container.env.elements() {
            let Some(from) = variable.value_from.get() else { continue };
            let at = env.element(i);
            let at = at.member("valueFrom");
            self.check_reference(&from.secret_key_ref, place, way_out, &at.member("secretKeyRef"));
        }
        let env_from = at.member("envFrom");
        for (i, source) in container.env_from.elements() {
            let at = env_from.element(i);
            self.check_reference(&source.secret_ref, place, way_out, &at.member("secretRef"));
        }
    }

    fn check_reference(
        &mut self,
        to: &Read<SecretRef>,
        place: impl FnOnce() -> String,
        way_out: &str,
        at: &Path,
    ) {
        let Some(name) = to.get().and_then(|secret| secret.name.get()) else { return };
        let at = at.member("name");
        if let Known::Token(owner) = self.token(name, || false, &at) {
            self.report(name, owner.as_deref(), &place(), way_out, Remedy::Reject, &at);
        }
    }

    /// What is known about a Secret; that nothing is, is reported here.
    fn token(&mut self, name: &str, mounted_as_token: impl FnOnce() -> bool, at: &Path) -> Known {
        let known = match self.context.settings.legacy_tokens.detect {
            Detect::Name => match owner_by_name(name) {
                Some(owner) => Known::Token(Some(owner.to_owned())),
                None if mounted_as_token() => Known::Token(None),
                None => Known::NoToken,
            },
            Detect::Lookup => self.look_up(name),
        };
        if let Known::Nothing(why) = &known {
            self.findings.push(Finding {
                path: at.to_string(),
                rule: LOOKUP,
                message: format!("Secret {} can't be looked up: {why}", Quoted(name)),
                remedy: Remedy::Reject,
            });
        }
        known
    }

    fn look_up(&mut self, name: &str) -> Known {
        let place = self.seen.binary_search_by(|(seen, _)| (**seen).cmp(name));
        if let Some((_, known)) = place.ok().and_then(|i| self.seen.get(i)) {
            return known.clone();
        }
        let known = lookup::secret(self.context.cluster, self.context.namespace, name);
        self.seen.insert(place.unwrap_or_else(|i| i), (name.to_owned(), known.clone()));
        known
    }

    fn report(
        &mut self,
        name: &str,
        owner: Option<&str>,
        place: &str,
        way_out: &str,
        remedy: Remedy<'a>,
        at: &Path,
    ) {
        let own = self.context.service_account;
        let whose = match owner {
            None => String::new(),
            Some(owner) if Some(owner) == own => {
                format!(" of service account {}", Quoted(owner))
            }
            Some(owner) => {
                let own = Quoted(own.unwrap_or_default());
                format!(" of service account {}, not of the Pod's own {own},", Quoted(owner))
            }
        };
        let name = Quoted(name);
        self.findings.push(Finding {
            path: at.to_string(),
            rule: RULE,
            message: format!("{name} holds a token{whose} that never expires ({place}); {way_out}"),
            remedy,
        });
    }

    /// The member that comes in place of `secret`: the same files with the same modes. `None` for
    /// a selection that no projected volume can show.
    fn replacement(&self, secret: &SecretVolumeSource) -> Option<String> {
        let settings = self.context.settings;
        let seconds = settings.lifetime_to_set(settings.bound(""));
        Some(format!("\"projected\":{}", projected(secret, seconds)?))
    }
}

/// The service account in the name of a Secret that the API server made for it.
fn owner_by_name(name: &str) -> Option<&str> {
    let (name, suffix) = name.split_at_checked(name.len().checked_sub(5)?)?;
    let owner = name.strip_suffix("-token-").filter(|owner| !owner.is_empty())?;
    suffix.bytes().all(|byte| RANDOM.contains(&byte)).then_some(owner)
}

/// The volumes that a container mounts where clients look for a token, sorted.
fn token_mounts<'s>(spec: &'s PodSpec) -> Vec<&'s str> {
    let mut volumes = Vec::new();
    for container in spec.all_containers() {
        for (_, mount) in container.volume_mounts.elements() {
            if is_token_path(mount.mount_path.or_empty()) {
                volumes.push(mount.name.or_empty());
            }
        }
    }
    sorted(volumes)
}

/// True for the folder in which clients look for a token, and what is in it.
fn is_token_path(path: &str) -> bool {
    // Most paths are too short for it, whatever is in them.
    if path.len() < "var/run/secrets/kubernetes.io/serviceaccount".len() {
        return false;
    }
    let mut clean = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                clean.pop();
            }
            part => clean.push(part),
        }
    }
    clean.starts_with(&TOKEN_PATH)
}

/// One file of the volume: key, path and mode.
struct File<'s> {
    key: &'s str,
    path: &'s str,
    mode: i64,
}

fn files<'s>(secret: &'s SecretVolumeSource, default_mode: i64) -> Option<Vec<File<'s>>> {
    let items = secret.items.get().map_or(&[][..], Vec::as_slice);
    if items.is_empty() {
        let keys = ["token", "ca.crt", "namespace"];
        return Some(keys.map(|key| File { key, path: key, mode: default_mode }).into());
    }
    let file = |item: &'s Read<crate::pod_spec::KeyToPath>| {
        let item = item.get()?;
        let mode = item.mode.or(default_mode)?;
        Some(File { key: item.key.get()?, path: item.path.get()?, mode })
    };
    items.iter().map(file).collect()
}

/// The projected volume that shows the same files, as JSON. Tests read it with Kubernetes' types,
/// which would make a good part of the module if they wrote it.
fn projected(secret: &SecretVolumeSource, seconds: i64) -> Option<String> {
    let default_mode = secret.default_mode.or(DEFAULT_MODE)?;
    let files = files(secret, default_mode)?;
    // A token has no mode of its own in a projected volume, it always gets the volume's.
    let mut modes = files.iter().filter(|file| file.key == "token").map(|file| file.mode);
    let mode = modes.next().unwrap_or(default_mode);
    if modes.any(|other| other != mode) {
        return None;
    }
    let mut sources = String::new();
    for file in &files {
        if !sources.is_empty() {
            sources.push(',');
        }
        sources += &source(file, mode, seconds)?;
    }
    let mode = i32::try_from(mode).ok()?;
    Some(format!(r#"{{"defaultMode":{mode},"sources":[{sources}]}}"#))
}

/// What shows a file of the Secret, as the API server's own volume does
/// (`plugin/pkg/admission/serviceaccount`, `TokenVolumeSource`).
fn source(file: &File, default_mode: i64, seconds: i64) -> Option<String> {
    let path = serde_json::to_string(file.path).ok()?;
    let mode = if file.mode == default_mode {
        String::new()
    } else {
        format!(r#""mode":{},"#, i32::try_from(file.mode).ok()?)
    };
    Some(match file.key {
        "token" => {
            format!(r#"{{"serviceAccountToken":{{"expirationSeconds":{seconds},"path":{path}}}}}"#)
        }
        "ca.crt" => format!(
            r#"{{"configMap":{{"items":[{{"key":"ca.crt",{mode}"path":{path}}}],"name":"kube-root-ca.crt"}}}}"#
        ),
        "namespace" => format!(
            r#"{{"downwardAPI":{{"items":[{{"fieldRef":{{"apiVersion":"v1","fieldPath":"metadata.namespace"}},{mode}"path":{path}}}]}}}}"#
        ),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::findings;
    use super::{is_token_path, owner_by_name};
    use k8s_openapi::api::core::v1::ProjectedVolumeSource;
    use serde_json::{Value, json};

    #[test]
    fn names_of_token_secrets() {
        for (name, owner) in [
            ("default-token-x7k2p", Some("default")),
            ("my-app-token-bcdfg", Some("my-app")),
            ("a-token-bcdfg-token-24569", Some("a-token-bcdfg")),
            ("a.b-token-zzzzz", Some("a.b")),
            ("app-token-store", None),
            ("my-token-abcde", None),
            ("default-token-x7k2", None),
            ("default-token-x7k2pp", None),
            ("default-token-X7K2P", None),
            ("default-token-13013", None),
            ("-token-x7k2p", None),
            ("token-x7k2p", None),
            ("default-tokenx7k2p", None),
            ("default-token-x7k2é", None),
            ("", None),
        ] {
            assert_eq!(owner_by_name(name), owner, "{name}");
        }
    }

    #[test]
    fn where_clients_look_for_a_token() {
        for (path, expected) in [
            ("/var/run/secrets/kubernetes.io/serviceaccount", true),
            ("/var/run/secrets/kubernetes.io/serviceaccount/", true),
            ("/var/run/secrets/kubernetes.io/serviceaccount/token", true),
            ("//var/./run//secrets/x/../kubernetes.io/serviceaccount", true),
            ("/../var/run/secrets/kubernetes.io/serviceaccount", true),
            ("var/run/secrets/kubernetes.io/serviceaccount", true),
            ("/var/run/secrets/kubernetes.io/serviceaccounts", false),
            ("/var/run/secrets/kubernetes.io", false),
            ("/var/run/secrets/kubernetes.io/serviceaccount/..", false),
            ("/x/var/run/secrets/kubernetes.io/serviceaccount", false),
            ("", false),
        ] {
            assert_eq!(is_token_path(path), expected, "{path}");
        }
    }

    /// What is found in a spec: paths, and whether a fix is there.
    fn found(spec: &Value, settings: &Value) -> Vec<(String, bool)> {
        let found = findings(super::RULE, &spec.to_string(), &settings.to_string());
        let path = |line: &str| line.split_once(": ").unwrap().0.to_owned();
        found.into_iter().map(|(line, remedy)| (path(&line), remedy != "reject")).collect()
    }

    #[test]
    fn every_place_of_a_legacy_token() {
        const TOKEN: &str = "app-token-x7k2p";
        let account = json!("app");
        let volume = json!({ "name": "v", "secret": { "secretName": TOKEN } });
        let optional = json!({ "name": "v", "secret": { "secretName": TOKEN, "optional": true } });
        let source = json!({ "name": "v", "projected": { "sources": [
            { "configMap": {} }, { "secret": { "name": TOKEN } },
        ] } });
        let env = json!({ "env": [
            { "name": "A", "value": TOKEN },
            { "name": "B", "valueFrom": { "secretKeyRef": { "name": TOKEN, "key": "token" } } },
        ] });
        let env_from = json!({ "envFrom": [
            { "configMapRef": { "name": TOKEN } }, { "secretRef": { "name": TOKEN } },
        ] });
        let store = json!({ "name": "v", "secret": { "secretName": "app-token-store" } });
        let mount = |path| json!({ "volumeMounts": [{ "name": "v", "mountPath": path }] });
        let there = mount("/var/run/secrets/kubernetes.io/serviceaccount");
        for (spec, expected) in [
            (json!({ "volumes": [volume] }), Some(("volumes[0].secret.secretName", true))),
            (json!({ "volumes": [optional] }), Some(("volumes[0].secret.secretName", true))),
            (
                json!({ "volumes": [source] }),
                Some(("volumes[0].projected.sources[1].secret.name", false)),
            ),
            (
                json!({ "containers": [{}, env] }),
                Some(("containers[1].env[1].valueFrom.secretKeyRef.name", false)),
            ),
            (
                json!({ "initContainers": [env] }),
                Some(("initContainers[0].env[1].valueFrom.secretKeyRef.name", false)),
            ),
            (
                json!({ "ephemeralContainers": [env_from] }),
                Some(("ephemeralContainers[0].envFrom[1].secretRef.name", false)),
            ),
            (json!({ "volumes": [store] }), None),
            (json!({ "volumes": [store], "containers": [mount("/etc/x")] }), None),
            (
                json!({ "volumes": [store], "containers": [there] }),
                Some(("volumes[0].secret.secretName", false)),
            ),
            (
                json!({ "volumes": [store], "initContainers": [there] }),
                Some(("volumes[0].secret.secretName", false)),
            ),
            (json!({ "volumes": [{ "secret": {} }], "containers": [there] }), None),
        ] {
            let mut spec = spec;
            spec["serviceAccountName"] = account.clone();
            let expected: Vec<_> =
                expected.into_iter().map(|(path, fix)| (format!("spec.{path}"), fix)).collect();
            assert_eq!(found(&spec, &json!({})), expected, "{spec}");
            assert_eq!(found(&spec, &json!({ "legacyTokens": { "rule": "Allow" } })), []);
            // The same Secret of another account can't be replaced.
            spec["serviceAccountName"] = json!("other");
            let expected: Vec<_> = expected.into_iter().map(|(path, _)| (path, false)).collect();
            assert_eq!(found(&spec, &json!({})), expected, "{spec}");
        }
    }

    #[test]
    fn whose_token_it_is() {
        let with = |account: &str, old_name: &str, secret: &str| {
            json!({
                "serviceAccountName": account, "serviceAccount": old_name,
                "volumes": [{ "name": "v", "secret": { "secretName": secret } }],
            })
        };
        for (account, old_name, secret, own) in [
            ("app", "", "app-token-x7k2p", true),
            ("", "app", "app-token-x7k2p", true),
            ("app", "other", "app-token-x7k2p", true),
            ("other", "app", "app-token-x7k2p", false),
            ("", "", "default-token-x7k2p", true),
            ("", "", "app-token-x7k2p", false),
        ] {
            let found = found(&with(account, old_name, secret), &json!({}));
            assert_eq!(found[0].1, own, "{account} {old_name} {secret}");
        }
    }

    fn token(path: &str) -> Value {
        json!({ "serviceAccountToken": { "expirationSeconds": 3600, "path": path } })
    }

    fn ca(path: &str, mode: Option<i64>) -> Value {
        let mut item = json!({ "key": "ca.crt", "path": path });
        item.as_object_mut().unwrap().extend(mode.map(|mode| ("mode".to_owned(), mode.into())));
        json!({ "configMap": { "name": "kube-root-ca.crt", "items": [item] } })
    }

    fn namespace(path: &str, mode: Option<i64>) -> Value {
        let field = json!({ "apiVersion": "v1", "fieldPath": "metadata.namespace" });
        let mut item = json!({ "fieldRef": field, "path": path });
        item.as_object_mut().unwrap().extend(mode.map(|mode| ("mode".to_owned(), mode.into())));
        json!({ "downwardAPI": { "items": [item] } })
    }

    #[test]
    fn a_projected_volume_shows_the_same_files() {
        let all = vec![token("token"), ca("ca.crt", None), namespace("namespace", None)];
        let item = |key: &str, path: &str| json!({ "key": key, "path": path });
        let moded = |key: &str, mode: i64| json!({ "key": key, "path": key, "mode": mode });
        for (secret, expected) in [
            (json!({}), Some((420, all.clone()))),
            (json!({ "defaultMode": null }), Some((420, all.clone()))),
            (json!({ "defaultMode": 256, "items": [] }), Some((256, all.clone()))),
            (json!({ "items": null, "optional": true }), Some((420, all))),
            (json!({ "items": [item("token", "a/b")] }), Some((420, vec![token("a/b")]))),
            (
                json!({ "items": [item("ca.crt", "c"), item("namespace", "n")] }),
                Some((420, vec![ca("c", None), namespace("n", None)])),
            ),
            (
                json!({ "items": [item("token", "a"), item("token", "b")] }),
                Some((420, vec![token("a"), token("b")])),
            ),
            // The token gets the volume's mode, so the other files say theirs.
            (
                json!({ "items": [moded("token", 256), item("ca.crt", "c"), moded("namespace", 256)] }),
                Some((256, vec![token("token"), ca("c", Some(420)), namespace("namespace", None)])),
            ),
            (
                json!({ "defaultMode": 288, "items": [moded("ca.crt", 420)] }),
                Some((288, vec![ca("ca.crt", Some(420))])),
            ),
            // What a projected volume can't show.
            (json!({ "items": [moded("token", 256), moded("token", 420)] }), None),
            (json!({ "items": [item("token", "t"), item("service-ca.crt", "s")] }), None),
            (json!({ "items": [{ "key": "token" }] }), None),
        ] {
            let mut source = secret.clone();
            source["secretName"] = json!("default-token-x7k2p");
            let spec = json!({ "volumes": [{ "name": "v", "secret": source, "later": 1 }] });
            let found = findings(super::RULE, &spec.to_string(), "{}");
            let Some((mode, sources)) = expected else {
                assert_eq!(found[0].1, "reject", "{secret}");
                continue;
            };
            let mended: Value = serde_json::from_str(&found[0].1).unwrap();
            let projected = json!({ "defaultMode": mode, "sources": sources });
            // Kubernetes' own type has all these members under these names.
            let typed: ProjectedVolumeSource = serde_json::from_value(projected.clone()).unwrap();
            assert_eq!(serde_json::to_value(typed).unwrap(), projected);
            let volume = json!({ "name": "v", "projected": projected, "later": 1 });
            assert_eq!(mended["volumes"][0], volume, "{secret}");
            assert_eq!(findings(super::RULE, &found[0].1, "{}"), [], "{secret}");
        }
    }

    #[test]
    fn the_new_token_has_the_bound_of_the_api_server() {
        let spec = json!({ "volumes": [{ "secret": { "secretName": "default-token-x7k2p" } }] });
        for (settings, seconds) in [
            (json!({ "maxExpirationSeconds": 7200 }), 7200),
            (
                json!({ "maxExpirationSeconds": 3607, "apiServer": { "extendsTokens": false } }),
                3606,
            ),
        ] {
            let found = findings(super::RULE, &spec.to_string(), &settings.to_string());
            let lifetime = format!("\"expirationSeconds\":{seconds}");
            assert!(found[0].1.contains(&lifetime), "{found:?}");
        }
    }
}
