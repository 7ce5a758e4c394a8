//! No Pod holds a token that never expires.
//!
//! Fields: `volumes[*].secret.secretName`, `volumes[*].projected.sources[*].secret.name`,
//! `env[*].valueFrom.secretKeyRef.name` and `envFrom[*].secretRef.name` of containers, init
//! containers and ephemeral containers.
//!
//! Allowed: Secrets without a service-account token. With `detect: Name` a token is known by the
//! name that Kubernetes gave to its Secret, or by a mount where clients look for their token; with
//! `detect: Lookup` by the Secret's type.
//!
//! Mutation: a volume with a token of the Pod's own account becomes a projected volume with the
//! same files, unless that would break it. The rest is rejected.

use crate::message::{name, of_account, quoted};
use crate::mount::{is_never_updated, is_seen_as_token};
use crate::objects::{DEFAULT_MODE, Volume, VolumeMount};
use crate::patch::new_value;
use crate::review::{Review, SecretRef};
use crate::rules::{Context, Remedy, Rule, Violation};
use crate::settings::{Detect, LegacyRule};
use k8s_openapi::api::core::v1::{
    ConfigMapProjection, DownwardAPIProjection, DownwardAPIVolumeFile, KeyToPath,
    ObjectFieldSelector, ProjectedVolumeSource, ServiceAccountTokenProjection, VolumeProjection,
};

pub const RULE: Rule = Rule { name: "legacy-token", check };

/// The characters of generated names (`staging/src/k8s.io/apimachinery/pkg/util/rand`).
const RANDOM: &str = "bcdfghjklmnpqrstvwxz2456789";

fn check(review: &Review, context: &Context) -> Vec<Violation> {
    review.secrets.iter().filter_map(|secret| check_reference(secret, review, context)).collect()
}

fn check_reference(secret: &SecretRef, review: &Review, context: &Context) -> Option<Violation> {
    let (path, secret_name) = (secret.path.clone(), quoted(secret.name));
    let owner = match owner(secret, review, context) {
        Ok(owner) => owner?,
        Err(e) => {
            let message = format!("Forbidden: Secret {secret_name} can't be looked up: {e}");
            return Some(Violation::new(path, message, Remedy::Error));
        }
    };
    let is_foreign = !owner.is_empty() && owner != review.service_account;
    let message = format!(
        "Forbidden: use a projected volume with a serviceAccountToken: Secret {secret_name} holds a \
         token{}{} that never expires",
        of_account(&owner),
        if is_foreign { ", not the Pod's own," } else { "" }
    );
    let Some(volume_source) = conversion(secret, &owner, review, context) else {
        return Some(Violation::new(path, message, Remedy::Reject));
    };
    let warnings = vec![format!(
        "{path}: read the token again when it changes: in place of Secret {} there is a token of \
         {} seconds that the kubelet renews",
        name(secret.name),
        context.settings.lifetime_to_set(context.settings.maximum(""))
    )];
    let source = path.parent();
    let replacement = (source.parent().child("projected"), new_value(volume_source));
    let remedy = Remedy::Patch(vec![replacement, (source, None)]);
    Some(Violation { warnings, ..Violation::new(path, message, remedy) })
}

/// The account whose token the Secret holds, empty where that isn't known; `None` for no token.
fn owner(secret: &SecretRef, review: &Review, context: &Context) -> Result<Option<String>, String> {
    let settings = &context.settings.legacy_tokens;
    match (settings.rule, settings.detect) {
        _ if secret.name.is_empty() => Ok(None),
        (LegacyRule::Allow, _) => Ok(None),
        (LegacyRule::Reject, Detect::Lookup) => context.secrets.look_up(secret.name),
        (LegacyRule::Reject, Detect::Name) => {
            let unknown_owner = || {
                let (volume, files) = secret.files?;
                mounts(volume, review).any(|it| is_seen_as_token(it, &files.items)).then_some("")
            };
            let owner = owner_by_name(secret.name, review.service_account);
            Ok(owner.or_else(unknown_owner).map(str::to_owned))
        }
    }
}

/// The account in the name that Kubernetes gave to a Secret. What it cut of a long name is known
/// only of the Pod's own account.
fn owner_by_name<'n>(secret: &'n str, own: &'n str) -> Option<&'n str> {
    // A base of at most 58 characters and five random ones
    // (`staging/src/k8s.io/apiserver/pkg/storage/names/generate.go`).
    let (base, random) = secret.split_at_checked(secret.len().checked_sub(5)?)?;
    if !random.chars().all(|c| RANDOM.contains(c)) {
        return None;
    }
    let is_cut = base.len() == 58 && format!("{own}-token-").starts_with(base);
    let owner = if is_cut { own } else { base.strip_suffix("-token-")? };
    Some(owner).filter(|owner| !owner.is_empty())
}

fn mounts<'r>(volume: &Volume, review: &'r Review) -> impl Iterator<Item = &'r VolumeMount<'r>> {
    let mounts = review.pod.iter().flat_map(|pod| pod.mounts_of(&volume.name));
    mounts.map(|mount| mount.as_written)
}

/// The volumes that a mutation gives a token: its lifetime, in seconds, and the volume's name.
pub(super) fn converted<'r>(review: &Review<'r>, context: &Context) -> Vec<(i64, &'r str)> {
    let converted = |secret: &SecretRef<'r>| {
        let owner = owner(secret, review, context).ok()??;
        let volume_source = conversion(secret, &owner, review, context)?;
        let mut sources = volume_source.sources.iter().flatten();
        let lifetime =
            sources.find_map(|it| it.service_account_token.as_ref()?.expiration_seconds)?;
        Some((lifetime, &*secret.files?.0.name))
    };
    review.secrets.iter().filter_map(converted).collect()
}

/// The projected volume, with the same files and modes, that comes in place of a volume with the
/// owner's token; `None` where a mutation can't replace it.
fn conversion(
    secret: &SecretRef,
    owner: &str,
    review: &Review,
    context: &Context,
) -> Option<ProjectedVolumeSource> {
    let (volume, source) = secret.files.filter(|(_, source)| !source.secret_name.is_empty())?;
    if owner.is_empty() || owner != review.service_account {
        return None;
    }
    let old_mode = source.default_mode.unwrap_or(DEFAULT_MODE);
    let items = source.items.iter().map(|it| (&*it.key, &*it.path, it.mode.unwrap_or(old_mode)));
    let mut files: Vec<_> = items.collect();
    if files.is_empty() {
        // OpenShift's Secrets have the fourth.
        let keys = ["token", "ca.crt", "namespace", "service-ca.crt"];
        files.extend(keys.map(|key| (key, key, old_mode)));
    }
    // A projected token has no mode of its own: it gets the volume's, and the other files say theirs.
    let mut tokens = files.iter().filter(|(key, ..)| *key == "token");
    let new_mode = tokens.clone().next().map_or(old_mode, |(.., mode)| *mode);
    // With subPath the container would never see the second token.
    let is_never_updated = |path| mounts(volume, review).any(|it| is_never_updated(it, path));
    if tokens.any(|(_, path, mode)| *mode != new_mode || is_never_updated(path)) {
        return None;
    }
    let seconds = context.settings.lifetime_to_set(context.settings.maximum(""));
    let sources = files.into_iter().map(|(key, path, mode)| {
        projected(key, path.to_owned(), (mode != new_mode).then_some(mode), seconds)
    });
    let default_mode = if new_mode == old_mode { source.default_mode } else { Some(new_mode) };
    Some(ProjectedVolumeSource { default_mode, sources: Some(sources.collect::<Option<_>>()?) })
}

/// What shows a file of a token Secret, as the API server's own volume does
/// (`plugin/pkg/admission/serviceaccount`, `TokenVolumeSource`); `None` for another key, or no path.
fn projected(key: &str, path: String, mode: Option<i32>, seconds: i64) -> Option<VolumeProjection> {
    let mut projection = VolumeProjection::default();
    let (name, optional) = match key {
        _ if path.is_empty() => return None,
        "ca.crt" => ("kube-root-ca.crt", None),
        // The ConfigMap exists on OpenShift only.
        "service-ca.crt" => ("openshift-service-ca.crt", Some(true)),
        "namespace" => {
            let field_path = "metadata.namespace".to_owned();
            let field_ref =
                Some(ObjectFieldSelector { api_version: Some("v1".to_owned()), field_path });
            let file = DownwardAPIVolumeFile { field_ref, mode, path, resource_field_ref: None };
            projection.downward_api = Some(DownwardAPIProjection { items: Some(vec![file]) });
            return Some(projection);
        }
        "token" => {
            let (audience, expiration_seconds) = (None, Some(seconds));
            let token = ServiceAccountTokenProjection { audience, expiration_seconds, path };
            projection.service_account_token = Some(token);
            return Some(projection);
        }
        _ => return None,
    };
    let items = Some(vec![KeyToPath { key: key.to_owned(), mode, path }]);
    projection.config_map = Some(ConfigMapProjection { name: name.to_owned(), items, optional });
    Some(projection)
}

#[cfg(test)]
mod tests {
    use super::{RULE, owner_by_name};
    use crate::rules::tests::{Found, check_pod, check_template};
    use serde_json::{Value, json};

    const OWN: &str = "app-token-x7k2p";
    const FOLDER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

    fn outcomes(found: &[Found]) -> Vec<(&str, &'static str)> {
        found.iter().map(|it| (&*it.path, it.remedy)).collect()
    }

    #[test]
    fn names_that_kubernetes_gave() {
        let long = "inventory-synchronisation-controller-emea-production-agent";
        let half = "inventory-synchronisation-controller-emea-production";
        let names =
            [format!("{long}x7kzp"), format!("{half}-tokenx7kzp"), format!("{long}-token-x7kzp")];
        for (name, own, owner) in [
            ("default-token-x7k2p", "default", Some("default")),
            ("my-app-token-bcdfg", "default", Some("my-app")),
            ("a-token-bcdfg-token-24569", "default", Some("a-token-bcdfg")),
            ("a.b-token-zzzzz", "default", Some("a.b")),
            ("app-token-store", "app", None),
            ("my-token-abcde", "my", None),
            ("default-token-x7k2", "default", None),
            ("default-token-x7k2pp", "default", None),
            ("default-token-X7K2P", "default", None),
            ("default-token-13013", "default", None),
            ("-token-x7k2p", "", None),
            ("token-x7k2p", "", None),
            ("default-tokenx7k2p", "default", None),
            ("default-token-x7k2é", "default", None),
            ("", "default", None),
            // Cut at 58 characters.
            (&*names[0], long, Some(long)),
            (&*names[1], half, Some(half)),
            (&*names[0], "default", None),
            // Too long to be generated, but there is no doubt about it.
            (&*names[2], "default", Some(long)),
        ] {
            assert_eq!(owner_by_name(name, own), owner, "{name} of {own}");
        }
    }

    #[test]
    fn every_place_of_a_legacy_token() {
        let volume = json!({ "name": "v", "secret": { "secretName": OWN, "optional": true } });
        let source = json!({ "name": "v", "projected": { "sources": [
            { "configMap": {} }, { "secret": { "name": OWN } },
        ] } });
        let key_ref = json!({ "secretKeyRef": { "name": OWN, "key": "token" } });
        let env = json!({ "env": [{ "name": "A", "value": OWN }, { "name": "B", "valueFrom": key_ref }] });
        let env_from = json!({ "envFrom": [
            { "configMapRef": { "name": OWN } }, { "secretRef": { "name": OWN } },
        ] });
        for (tweak, path, remedy) in [
            (json!({ "volumes": [volume] }), "spec.volumes[0].secret.secretName", "patch"),
            (
                json!({ "volumes": [source] }),
                "spec.volumes[0].projected.sources[1].secret.name",
                "reject",
            ),
            (
                json!({ "containers": [{}, env] }),
                "spec.containers[1].env[1].valueFrom.secretKeyRef.name",
                "reject",
            ),
            (
                json!({ "initContainers": [env] }),
                "spec.initContainers[0].env[1].valueFrom.secretKeyRef.name",
                "reject",
            ),
            (
                json!({ "ephemeralContainers": [env_from] }),
                "spec.ephemeralContainers[0].envFrom[1].secretRef.name",
                "reject",
            ),
        ] {
            let found = check_pod(&RULE, &tweak, &json!({}));
            assert_eq!(outcomes(&found), [(path, remedy)]);
            assert!(found[0].message.starts_with("Forbidden: use a projected volume"), "{found:?}");
            let allow = json!({ "legacyTokens": { "rule": "Allow" } });
            assert!(check_pod(&RULE, &tweak, &allow).is_empty(), "{path}: allowed");
            let template = path.replacen("spec.", "spec.template.spec.", 1);
            let found = check_template(&RULE, &tweak, &json!({}));
            assert_eq!(outcomes(&found), [(&*template, remedy)]);
            // The same Secret of another account can't be replaced.
            let mut other = tweak.clone();
            other["serviceAccountName"] = json!("other");
            let found = check_pod(&RULE, &other, &json!({}));
            assert_eq!(outcomes(&found), [(path, "reject")]);
            assert!(
                found[0].message.contains("of service account \"app\", not the Pod's own"),
                "{found:?}"
            );
        }
    }

    #[test]
    fn whose_token_it_is() {
        for (account, old_name, secret, remedy) in [
            ("app", "", "app-token-x7k2p", "patch"),
            ("", "app", "app-token-x7k2p", "patch"),
            ("app", "other", "app-token-x7k2p", "patch"),
            ("other", "app", "app-token-x7k2p", "reject"),
            ("", "", "default-token-x7k2p", "patch"),
            ("", "", "app-token-x7k2p", "reject"),
        ] {
            let tweak = json!({
                "serviceAccountName": account, "serviceAccount": old_name,
                "volumes": [{ "name": "v", "secret": { "secretName": secret } }],
            });
            let found = check_pod(&RULE, &tweak, &json!({}));
            assert_eq!(found[0].remedy, remedy, "{account} {old_name} {secret}");
        }
    }

    #[test]
    fn secrets_that_are_seen_where_clients_look_for_a_token() {
        let secret = json!({ "name": "v", "secret": { "secretName": "opaque" } });
        let projected = |items: Value| {
            let source = json!({ "secret": { "name": "opaque", "items": items } });
            json!({ "name": "v", "projected": { "sources": [source] } })
        };
        let token = json!([{ "key": "k", "path": "token" }]);
        let extra = json!([{ "key": "k", "path": "extra.crt" }]);
        let lookup = json!({ "legacyTokens": { "detect": "Lookup" } });
        for (name, volume, at, settings, path) in [
            ("a Secret", secret.clone(), FOLDER, json!({}), Some("secret.secretName")),
            ("a Secret elsewhere", secret.clone(), "/etc/x", json!({}), None),
            ("a Secret that is looked up", secret, FOLDER, lookup, None),
            (
                "a source",
                projected(json!(null)),
                FOLDER,
                json!({}),
                Some("projected.sources[0].secret.name"),
            ),
            (
                "the token of a source",
                projected(token),
                FOLDER,
                json!({}),
                Some("projected.sources[0].secret.name"),
            ),
            ("another file of a source", projected(extra), FOLDER, json!({}), None),
        ] {
            for list in ["containers", "initContainers", "ephemeralContainers"] {
                let container =
                    json!({ "name": "c", "volumeMounts": [{ "name": "v", "mountPath": at }] });
                let tweak = json!({ "volumes": [volume], list: [container] });
                let found = check_pod(&RULE, &tweak, &settings);
                let path = path.map(|path| format!("spec.volumes[0].{path}"));
                let expected: Vec<_> = path.iter().map(|path| (&**path, "reject")).collect();
                assert_eq!(outcomes(&found), expected, "{name} in {list}");
            }
        }
    }

    #[test]
    fn secrets_that_are_looked_up() {
        let lookup = json!({ "legacyTokens": { "detect": "Lookup" } });
        for (name, remedy, message) in [
            ("own", Some("patch"), "holds a token of service account \"app\""),
            (
                "other",
                Some("reject"),
                "holds a token of service account \"builder\", not the Pod's own,",
            ),
            ("app-token-x7k2p", None, ""),
            ("forbidden", Some("error"), "Secret \"forbidden\" can't be looked up: not allowed"),
        ] {
            let tweak = json!({ "volumes": [{ "name": "v", "secret": { "secretName": name } }] });
            let found = check_pod(&RULE, &tweak, &lookup);
            assert_eq!(found.first().map(|it| it.remedy), remedy, "{name}");
            assert!(found.iter().all(|it| it.message.contains(message)), "{name}: {found:?}");
        }
    }

    fn token(path: &str) -> Value {
        json!({ "serviceAccountToken": { "expirationSeconds": 3600, "path": path } })
    }

    fn config_map(name: &str, key: &str, path: &str, mode: Option<i64>) -> Value {
        let mut item = json!({ "key": key, "path": path });
        item.as_object_mut().unwrap().extend(mode.map(|mode| ("mode".to_owned(), mode.into())));
        json!({ "configMap": { "name": name, "items": [item] } })
    }

    fn ca(path: &str, mode: Option<i64>) -> Value {
        config_map("kube-root-ca.crt", "ca.crt", path, mode)
    }

    fn service_ca(path: &str, mode: Option<i64>) -> Value {
        let mut source = config_map("openshift-service-ca.crt", "service-ca.crt", path, mode);
        source["configMap"]["optional"] = json!(true);
        source
    }

    fn namespace(path: &str) -> Value {
        let field = json!({ "apiVersion": "v1", "fieldPath": "metadata.namespace" });
        json!({ "downwardAPI": { "items": [{ "fieldRef": field, "path": path }] } })
    }

    #[test]
    fn a_projected_volume_shows_the_same_files() {
        let all = [
            token("token"),
            ca("ca.crt", None),
            namespace("namespace"),
            service_ca("service-ca.crt", None),
        ];
        let item = |key: &str, path: &str| json!({ "key": key, "path": path });
        let moded = |key: &str, mode: i64| json!({ "key": key, "path": key, "mode": mode });
        for (name, secret, expected) in [
            ("all files", json!({}), json!({ "sources": all })),
            (
                "with their mode",
                json!({ "defaultMode": 256, "items": [] }),
                json!({ "defaultMode": 256, "sources": all }),
            ),
            (
                "one file",
                json!({ "items": [item("token", "a/b")] }),
                json!({ "sources": [token("a/b")] }),
            ),
            (
                "OpenShift's fourth file",
                json!({ "items": [item("token", "t"), item("service-ca.crt", "s")] }),
                json!({ "sources": [token("t"), service_ca("s", None)] }),
            ),
            (
                "the token twice",
                json!({ "items": [item("token", "a"), item("token", "b")] }),
                json!({ "sources": [token("a"), token("b")] }),
            ),
            (
                "a token with its own mode, which becomes the volume's",
                json!({ "defaultMode": 420, "items": [moded("token", 256), item("ca.crt", "c"), item("namespace", "n")] }),
                json!({ "defaultMode": 256, "sources": [token("token"), ca("c", Some(420)), {
                    "downwardAPI": { "items": [{
                        "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.namespace" }, "path": "n", "mode": 420,
                    }] },
                }] }),
            ),
            (
                "another file with its own mode",
                json!({ "defaultMode": 288, "items": [moded("ca.crt", 420)] }),
                json!({ "defaultMode": 288, "sources": [ca("ca.crt", Some(420))] }),
            ),
            (
                "tokens of two modes",
                json!({ "items": [moded("token", 256), moded("token", 420)] }),
                json!(null),
            ),
            (
                "another key",
                json!({ "items": [item("token", "t"), item("other", "o")] }),
                json!(null),
            ),
            ("a file without a path", json!({ "items": [{ "key": "token" }] }), json!(null)),
        ] {
            let mut source = secret;
            source["secretName"] = json!(OWN);
            let tweak = json!({ "volumes": [{ "name": "v", "secret": source }] });
            let found = &check_pod(&RULE, &tweak, &json!({}))[0];
            if expected.is_null() {
                assert_eq!(found.remedy, "reject", "{name}");
                continue;
            }
            let projected = ("spec.volumes[0].projected".to_owned(), Some(expected));
            let patches = [projected, ("spec.volumes[0].secret".to_owned(), None)];
            assert_eq!(found.patches, patches, "{name}");
            assert!(found.warnings[0].contains("3600 seconds"), "{name}: {found:?}");
        }
    }

    #[test]
    fn a_token_that_would_never_be_renewed_is_not_converted() {
        for (name, mount, remedy) in [
            ("the whole volume", json!({}), "patch"),
            ("the token by subPath", json!({ "subPath": "token" }), "reject"),
            ("another file by subPath", json!({ "subPath": "ca.crt" }), "patch"),
            ("by subPathExpr", json!({ "subPathExpr": "$(FILE)" }), "reject"),
        ] {
            let mut mount = mount;
            json_patch::merge(&mut mount, &json!({ "name": "v", "mountPath": "/v" }));
            let tweak = json!({
                "volumes": [{ "name": "v", "secret": { "secretName": OWN } }],
                "initContainers": [{ "name": "c", "volumeMounts": [mount] }],
            });
            assert_eq!(check_pod(&RULE, &tweak, &json!({}))[0].remedy, remedy, "{name}");
        }
    }

    #[test]
    fn the_new_token_has_the_maximum_of_the_api_server() {
        let tweak = json!({ "volumes": [{ "name": "v", "secret": { "secretName": OWN } }] });
        let honest =
            json!({ "maxExpirationSeconds": 3607, "apiServer": { "extendsTokens": false } });
        for (settings, seconds) in [(json!({ "maxExpirationSeconds": 7200 }), 7200), (honest, 3606)]
        {
            let found = &check_pod(&RULE, &tweak, &settings)[0];
            let projected = found.patches[0].1.as_ref().unwrap();
            assert_eq!(
                projected["sources"][0]["serviceAccountToken"]["expirationSeconds"],
                seconds
            );
        }
    }
}
