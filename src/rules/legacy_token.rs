//! No Pod holds a token that never expires.
//!
//! Fields: `volumes[*].secret.secretName`, `volumes[*].projected.sources[*].secret.name`,
//! `env[*].valueFrom.secretKeyRef.name` and `envFrom[*].secretRef.name` of containers, init
//! containers and ephemeral containers.
//!
//! Allowed: Secrets without a service-account token, and references that don't show it: another key
//! than `token` of a Secret that is known by its name or type. With `detect: Name` a token is known
//! by the name that Kubernetes gave to its Secret, or by a mount where clients look for their token;
//! with `detect: Lookup` by the Secret's type, or by such a mount.
//!
//! Mutation: a volume with a token of the Pod's own account becomes a projected volume with the
//! same files, where there is no doubt about it and nothing breaks. The rest is rejected, and the
//! message says why.

use crate::cluster::LookUpError;
use crate::conversion::{Conversion, JudgedReference, Judgement};
use crate::message::{name_owner, quote, quote_in_warning};
use crate::patch::new_value;
use crate::review::{Review, SecretReference};
use crate::rules::{Context, Message, Remedy, Rule, Violation};

pub const RULE: Rule = Rule {
    name: "legacy-token",
    check,
};

fn check<'r>(review: &'r Review, context: &'r Context) -> Vec<Violation<'r>> {
    let judged = context.legacy_tokens.iter();
    judged.map(|judged| report(judged, review)).collect()
}

fn report<'r>(judged: &'r JudgedReference, review: &'r Review) -> Violation<'r> {
    let reference = judged.reference;
    let path = reference.path.clone();
    match &judged.judgement {
        Judgement::Unknown(error) => {
            let why = match error {
                LookUpError::Failed(_) => "lookup",
                LookUpError::TooMany { .. } => "not-judged",
            };
            let message = Message::lazy(|| describe_unknown(reference, error));
            Violation::new(path, message, Remedy::Undecided { why })
        }
        Judgement::Kept { owner, why } => {
            let message = Message::lazy(move || {
                let why = why
                    .as_ref()
                    .map(|why| format!("; it isn't converted: {why}"));
                describe(reference, owner, review) + &why.unwrap_or_default()
            });
            Violation::new(path, message, Remedy::Reject)
        }
        Judgement::Converted {
            owner,
            conversion,
            losing,
        } => {
            let message = Message::lazy(move || describe(reference, owner, review));
            let remedy = convert(reference, conversion, losing.as_deref(), review);
            Violation::new(path, message, remedy)
        }
    }
}

fn describe_unknown(reference: &SecretReference, error: &LookUpError) -> String {
    let name = quote(reference.name);
    match error {
        LookUpError::Failed(error) => {
            format!(
                "Forbidden: Secret {name} can't be looked up: {}",
                quote(error)
            )
        }
        LookUpError::TooMany { most } => format!(
            "Too many: Secret {name} is not looked up: must refer to at most {most} Secrets"
        ),
    }
}

fn describe(reference: &SecretReference, owner: &str, review: &Review) -> String {
    let is_foreign = !owner.is_empty() && owner != review.service_account;
    format!(
        "Forbidden: use a projected volume with a serviceAccountToken: Secret {} holds a token{}{} \
         that never expires",
        quote(reference.name),
        name_owner(owner),
        if is_foreign {
            ", not the Pod's own,"
        } else {
            ""
        }
    )
}

fn convert<'r>(
    reference: &SecretReference,
    conversion: &Conversion,
    losing: Option<&str>,
    review: &Review,
) -> Remedy<'r> {
    let path = &reference.path;
    let mut warnings = Vec::new();
    if let Some(token) = conversion.token {
        let warning = format!(
            "{path}: read the token again when it changes: in place of Secret {} there {} a token of {} \
             seconds that the kubelet renews",
            quote_in_warning(reference.name),
            if review.is_template() {
                "will be in its Pods"
            } else {
                "is"
            },
            token.lifetime
        );
        warnings.push(warning.into());
    }
    if let Some(containers) = losing {
        let warning = format!(
            "{path}: set runAsNonRoot, or the right runAsUser: if a process in container {containers} \
             starts as root and becomes another user, it can't read the token any more"
        );
        warnings.push(warning.into());
    }
    let source = path.parent();
    let replacement = (
        source.parent().child("projected"),
        new_value(&conversion.source),
    );
    Remedy::Patch {
        patches: vec![replacement, (source, None)],
        warnings,
    }
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::tests::{Found, check_pod, check_request, check_template};
    use serde_json::{Value, json};

    const OWN: &str = "app-token-x7k2p";
    const FOLDER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

    fn outcomes(found: &[Found]) -> Vec<(&str, &'static str)> {
        found.iter().map(|it| (&*it.path, it.remedy)).collect()
    }

    /// A container that can't become another user and mounts volume `v` there.
    fn container_at(path: &str) -> Value {
        json!({
            "name": "main", "securityContext": { "runAsNonRoot": true },
            "volumeMounts": [{ "name": "v", "mountPath": path }],
        })
    }

    /// A Secret volume that is mounted where clients look for a token.
    fn with_secret(secret: &Value) -> Value {
        let volume = json!({ "name": "v", "secret": secret });
        json!({ "volumes": [volume], "containers": [container_at(FOLDER)] })
    }

    #[test]
    fn every_place_of_a_legacy_token() {
        let volume = with_secret(&json!({ "secretName": OWN }));
        let source = json!({ "name": "v", "projected": { "sources": [
            { "configMap": {} }, { "secret": { "name": OWN } },
        ] } });
        let key_ref = json!({ "secretKeyRef": { "name": OWN, "key": "token" } });
        let env = json!({ "env": [{ "name": "A", "value": OWN }, { "name": "B", "valueFrom": key_ref }] });
        let env_from = json!({ "envFrom": [
            { "configMapRef": { "name": OWN } }, { "secretRef": { "name": OWN } },
        ] });
        for (tweak, path, remedy) in [
            (volume, "spec.volumes[0].secret.secretName", "patch"),
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
            assert!(
                found[0]
                    .message
                    .starts_with("Forbidden: use a projected volume"),
                "{found:?}"
            );
            let allow = json!({ "legacyTokens": { "rule": "Allow" } });
            assert!(
                check_pod(&RULE, &tweak, &allow).is_empty(),
                "{path}: allowed"
            );
            let template = path.replacen("spec.", "spec.template.spec.", 1);
            let found = check_template(&RULE, &tweak, &json!({}));
            assert_eq!(outcomes(&found), [(&*template, remedy)]);
            // The same Secret of another account can't be replaced.
            let mut other = tweak.clone();
            other["serviceAccountName"] = json!("other");
            let found = check_pod(&RULE, &other, &json!({}));
            assert_eq!(outcomes(&found), [(path, "reject")]);
            let foreign = "of service account \"app\", not the Pod's own";
            assert!(found[0].message.contains(foreign), "{found:?}");
        }
    }

    #[test]
    fn keys_that_are_not_the_token() {
        let items = |key: &str| json!([{ "key": key, "path": "file" }]);
        let lookup = json!({ "legacyTokens": { "detect": "Lookup" } });
        for (key, expected) in [("token", 1), ("ca.crt", 0), ("namespace", 0), ("other", 0)] {
            for (name, settings) in [(OWN, json!({})), ("own", lookup.clone())] {
                let variable =
                    json!({ "valueFrom": { "secretKeyRef": { "name": name, "key": key } } });
                let source = json!({ "secret": { "name": name, "items": items(key) } });
                let volume =
                    json!({ "name": "v", "secret": { "secretName": name, "items": items(key) } });
                for tweak in [
                    json!({ "containers": [{ "name": "c", "env": [variable] }] }),
                    json!({ "volumes": [{ "name": "v", "projected": { "sources": [source] } }] }),
                    json!({ "volumes": [volume] }),
                ] {
                    let found = check_pod(&RULE, &tweak, &settings);
                    assert_eq!(found.len(), expected, "{key} of {name}: {tweak}: {found:?}");
                }
            }
        }
        // Where clients look for a token, what the file is called there counts.
        for (path, expected) in [("token", 1), ("ca.crt", 0)] {
            let items = json!([{ "key": "ca.crt", "path": path }]);
            let tweak = with_secret(&json!({ "secretName": OWN, "items": items }));
            assert_eq!(
                check_pod(&RULE, &tweak, &json!({})).len(),
                expected,
                "as {path}"
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
            let mut tweak = with_secret(&json!({ "secretName": secret }));
            tweak["serviceAccountName"] = json!(account);
            tweak["serviceAccount"] = json!(old_name);
            let found = check_pod(&RULE, &tweak, &json!({}));
            assert_eq!(found[0].remedy, remedy, "{account} {old_name} {secret}");
        }
    }

    /// The tables of mounts are those of `kubelet::mounts`.
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
        let of_source = Some("projected.sources[0].secret.name");
        for (name, volume, at, settings, path) in [
            (
                "a Secret",
                secret.clone(),
                FOLDER,
                json!({}),
                Some("secret.secretName"),
            ),
            (
                "a Secret elsewhere",
                secret.clone(),
                "/etc/x",
                json!({}),
                None,
            ),
            (
                "a Secret that is looked up",
                secret,
                FOLDER,
                lookup,
                Some("secret.secretName"),
            ),
            (
                "a source",
                projected(json!(null)),
                FOLDER,
                json!({}),
                of_source,
            ),
            (
                "the token of a source",
                projected(token),
                FOLDER,
                json!({}),
                of_source,
            ),
            (
                "another file of a source",
                projected(extra),
                FOLDER,
                json!({}),
                None,
            ),
        ] {
            for list in ["containers", "initContainers", "ephemeralContainers"] {
                let tweak = json!({ "volumes": [volume], list: [container_at(at)] });
                let found = check_pod(&RULE, &tweak, &settings);
                let path = path.map(|path| format!("spec.volumes[0].{path}"));
                let expected: Vec<_> = path.iter().map(|path| (&**path, "reject")).collect();
                assert_eq!(outcomes(&found), expected, "{name} in {list}");
                // Nobody knows whose it is.
                let is_foreign = |it: &Found| it.message.contains("not the Pod's own");
                assert!(!found.iter().any(is_foreign), "{name}: {found:?}");
            }
        }
    }

    #[test]
    fn secrets_that_are_looked_up() {
        let lookup = json!({ "legacyTokens": { "detect": "Lookup" } });
        for (name, remedy, message) in [
            (
                "own",
                Some("patch"),
                "holds a token of service account \"app\"",
            ),
            (
                "other",
                Some("reject"),
                "holds a token of service account \"builder\", not the Pod's own,",
            ),
            ("app-token-x7k2p", None, ""),
            (
                "forbidden",
                Some("lookup"),
                "Secret \"forbidden\" can't be looked up: \"not allowed\"",
            ),
        ] {
            let tweak = json!({ "volumes": [{ "name": "v", "secret": { "secretName": name } }] });
            let found = check_pod(&RULE, &tweak, &lookup);
            assert_eq!(found.first().map(|it| it.remedy), remedy, "{name}");
            assert!(
                found.iter().all(|it| it.message.contains(message)),
                "{name}: {found:?}"
            );
        }
    }

    #[test]
    fn there_is_a_limit_to_look_ups() {
        let source = |i: i32| json!({ "secretRef": { "name": format!("secret-{i}") } });
        let sources: Vec<_> = (0..201).map(source).collect();
        let tweak = json!({ "containers": [{ "name": "c", "envFrom": sources }] });
        let lookup = json!({ "legacyTokens": { "detect": "Lookup" } });
        let found = check_pod(&RULE, &tweak, &lookup);
        assert_eq!(
            outcomes(&found),
            [(
                "spec.containers[0].envFrom[200].secretRef.name",
                "not-judged"
            )]
        );
        assert!(found[0].message.starts_with("Too many: "), "{found:?}");
    }

    #[test]
    fn there_is_a_limit_to_conversions() {
        for number in [20, 21, 30] {
            let name = |i: usize| format!("v{i}");
            let volume = |i| json!({ "name": name(i), "secret": { "secretName": OWN } });
            let mount = |i| json!({ "name": name(i), "mountPath": FOLDER });
            let volumes: Vec<_> = (0..number).map(volume).collect();
            let mounts: Vec<_> = (0..number).map(mount).collect();
            let mut container = container_at(FOLDER);
            container["volumeMounts"] = json!(mounts);
            let tweak = json!({ "volumes": volumes, "containers": [container] });
            let found = check_pod(&RULE, &tweak, &json!({}));
            let converted = found.iter().take_while(|it| it.remedy == "patch").count();
            assert_eq!((converted, found.len()), (20, number), "{number}");
            for it in &found[20..] {
                let why = "it isn't converted: at most 20 volumes of a Pod are";
                assert!(it.remedy == "reject" && it.message.ends_with(why), "{it:?}");
            }
        }
    }

    fn token(path: &str) -> Value {
        json!({ "serviceAccountToken": { "expirationSeconds": 3600, "path": path } })
    }

    fn config_map(name: &str, key: &str, path: &str, mode: Option<i64>) -> Value {
        let mut item = json!({ "key": key, "path": path });
        item.as_object_mut()
            .unwrap()
            .extend(mode.map(|mode| ("mode".to_owned(), mode.into())));
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

    fn item(key: &str, path: &str) -> Value {
        json!({ "key": key, "path": path })
    }

    fn item_with_mode(key: &str, path: &str, mode: i64) -> Value {
        json!({ "key": key, "path": path, "mode": mode })
    }

    #[test]
    fn a_projected_volume_shows_the_same_files() {
        let all = [
            token("token"),
            ca("ca.crt", None),
            namespace("namespace"),
            service_ca("service-ca.crt", None),
        ];
        for (name, secret, expected) in [
            ("all files", json!({}), json!({ "sources": all })),
            (
                "with their mode",
                json!({ "defaultMode": 256, "items": [] }),
                json!({ "defaultMode": 256, "sources": all }),
            ),
            (
                "one file",
                json!({ "items": [item("token", "token")] }),
                json!({ "sources": [token("token")] }),
            ),
            (
                "OpenShift's fourth file",
                json!({ "items": [item("token", "token"), item("service-ca.crt", "s")] }),
                json!({ "sources": [token("token"), service_ca("s", None)] }),
            ),
            (
                "the token twice",
                json!({ "items": [item("token", "token"), item("token", "b")] }),
                json!({ "sources": [token("token"), token("b")] }),
            ),
            (
                "a token with its own mode, which becomes the volume's",
                json!({ "defaultMode": 420, "items": [
                    item_with_mode("token", "token", 256), item("ca.crt", "c"), item("namespace", "n"),
                ] }),
                json!({ "defaultMode": 256, "sources": [token("token"), ca("c", Some(420)), {
                    "downwardAPI": { "items": [{
                        "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.namespace" }, "path": "n", "mode": 420,
                    }] },
                }] }),
            ),
            (
                "another file with its own mode",
                json!({ "defaultMode": 288, "items": [item("token", "token"), item_with_mode("ca.crt", "c", 420)] }),
                json!({ "defaultMode": 288, "sources": [token("token"), ca("c", Some(420))] }),
            ),
        ] {
            let mut source = secret;
            source["secretName"] = json!(OWN);
            let found = &check_pod(&RULE, &with_secret(&source), &json!({}))[0];
            let projected = ("spec.volumes[0].projected".to_owned(), Some(expected));
            let patches = [projected, ("spec.volumes[0].secret".to_owned(), None)];
            assert_eq!(found.patches, patches, "{name}");
            assert!(
                found.warnings[0].contains("3600 seconds"),
                "{name}: {found:?}"
            );
            assert_eq!(found.warnings.len(), 1, "{name}: {found:?}");
        }
    }

    #[test]
    fn why_a_volume_is_not_converted() {
        let items = |items: Value| json!({ "secretName": OWN, "items": items });
        let whole = json!({ "secretName": OWN });
        let mounted = |more: Value| {
            let mut mount = json!({ "name": "v", "mountPath": FOLDER });
            json_patch::merge(&mut mount, &more);
            mount
        };
        let plain = mounted(json!({}));
        let elsewhere = mounted(json!({ "mountPath": "/etc/app" }));
        for (name, secret, mount, why) in [
            (
                "mounted elsewhere than where clients look",
                whole.clone(),
                &elsewhere,
                "use legacyTokens.detect: Lookup",
            ),
            (
                "another name",
                json!({ "secretName": "opaque" }),
                &plain,
                "nothing says whose",
            ),
            (
                "optional",
                json!({ "secretName": OWN, "optional": true }),
                &plain,
                "it is optional",
            ),
            (
                "tokens of two modes",
                items(json!([
                    item_with_mode("token", "token", 256),
                    item_with_mode("token", "b", 420),
                ])),
                &plain,
                "with two modes",
            ),
            (
                "another key",
                items(json!([item("token", "token"), item("other", "o")])),
                &plain,
                "one of its keys is in no projected volume",
            ),
            (
                "two items with one path",
                items(json!([item("token", "token"), item("ca.crt", "token")])),
                &plain,
                "two of its items have one path",
            ),
            (
                "a file without a path",
                items(json!([item("token", "token"), { "key": "ca.crt" }])),
                &plain,
                "one of its items has no path",
            ),
            (
                "the token by subPath",
                whole.clone(),
                &mounted(json!({ "mountPath": format!("{FOLDER}/token"), "subPath": "token" })),
                "mount the whole volume",
            ),
            (
                "by subPathExpr",
                whole,
                &mounted(json!({ "subPathExpr": "$(FOLDER)" })),
                "mount the whole volume",
            ),
        ] {
            let mut tweak = with_secret(&secret);
            let another = json!({ "name": "c", "volumeMounts": [mount] });
            tweak["containers"] = json!([another]);
            if name == "by subPathExpr" {
                tweak["containers"]
                    .as_array_mut()
                    .unwrap()
                    .push(container_at(FOLDER));
            }
            let found = check_pod(&RULE, &tweak, &json!({}));
            assert_eq!(
                outcomes(&found),
                [("spec.volumes[0].secret.secretName", "reject")],
                "{name}"
            );
            assert!(
                found[0].message.contains("; it isn't converted: "),
                "{name}: {found:?}"
            );
            assert!(found[0].message.contains(why), "{name}: {found:?}");
        }
    }

    #[test]
    fn another_file_by_sub_path_is_no_reason() {
        let mut tweak = with_secret(&json!({ "secretName": OWN }));
        let mount = json!({ "name": "v", "mountPath": "/etc/ca.crt", "subPath": "ca.crt" });
        tweak["initContainers"] = json!([{ "name": "c", "volumeMounts": [mount] }]);
        let found = check_pod(&RULE, &tweak, &json!({}));
        assert_eq!(
            outcomes(&found),
            [("spec.volumes[0].secret.secretName", "patch")]
        );
    }

    /// A Secret's file is open, 0644, and the projected token's isn't with an fsGroup or a common user.
    #[test]
    fn a_token_that_who_steps_down_from_root_would_lose() {
        let group = json!({ "fsGroup": 7 });
        let common_root = json!({ "runAsUser": 0 });
        let step_down = json!({});
        let stays = json!({ "capabilities": { "drop": ["ALL"] } });
        for (name, pod_context, context, mode, loses, leaves) in [
            (
                "the author's fsGroup",
                &group,
                &step_down,
                0o644,
                true,
                "reject",
            ),
            (
                "root by the Pod's words",
                &common_root,
                &step_down,
                0o644,
                true,
                "reject",
            ),
            (
                "a Secret that was closed before",
                &group,
                &step_down,
                0o440,
                false,
                "patch",
            ),
            ("root to the end", &group, &stays, 0o644, false, "patch"),
            // Without a group to be set the file stays as open as it was.
            (
                "no fsGroup, which is left out",
                &json!({}),
                &step_down,
                0o644,
                true,
                "patch",
            ),
        ] {
            let with = |choice: &str| {
                let mut tweak = with_secret(&json!({ "secretName": OWN, "defaultMode": mode }));
                tweak["securityContext"] = pod_context.clone();
                tweak["containers"][0]["securityContext"] = context.clone();
                let settings = json!({ "fsGroup": { "rootContainers": choice } });
                check_pod(&RULE, &tweak, &settings).remove(0)
            };
            let set = with("Set");
            let names = set
                .warnings
                .iter()
                .any(|it| it.contains("container \"main\""));
            assert_eq!((set.remedy, names), ("patch", loses), "{name}: {set:?}");
            let left = with("Leave");
            assert_eq!(left.remedy, leaves, "{name}: {left:?}");
            let says_why = left.message.contains("a process in container \"main\"");
            assert_eq!(says_why, leaves == "reject", "{name}: {left:?}");
        }
    }

    #[test]
    fn the_new_token_has_the_maximum_of_the_api_server() {
        let tweak = with_secret(&json!({ "secretName": OWN }));
        let honest =
            json!({ "maxExpirationSeconds": 3607, "apiServer": { "extendsTokens": false } });
        for (settings, seconds) in [
            (json!({ "maxExpirationSeconds": 7200 }), 7200),
            (honest, 3606),
        ] {
            let found = &check_pod(&RULE, &tweak, &settings)[0];
            let projected = found.patches[0].1.as_ref().unwrap();
            let token = &projected["sources"][0]["serviceAccountToken"];
            assert_eq!(token["expirationSeconds"], seconds);
        }
    }

    /// Only what new containers see counts, with the volumes of the Pod as it is.
    #[test]
    fn ephemeral_containers() {
        let volume = |name: &str| json!([{ "name": "v", "secret": { "secretName": name } }]);
        let variable = json!({ "valueFrom": { "secretKeyRef": { "name": OWN, "key": "token" } } });
        let with_variable = json!([{ "name": "d", "env": [variable] }]);
        let mounts = |path: &str| json!([{ "name": "d", "volumeMounts": [{ "name": "v", "mountPath": path }] }]);
        let env_path = "spec.ephemeralContainers[0].env[0].valueFrom.secretKeyRef.name";
        let mount_path = "spec.ephemeralContainers[0].volumeMounts[0]";
        let none = json!([]);
        for (name, volumes, new, old, expected) in [
            (
                "a variable",
                &none,
                with_variable.clone(),
                json!([]),
                Some(env_path),
            ),
            (
                "a variable that was there",
                &none,
                with_variable.clone(),
                with_variable,
                None,
            ),
            (
                "a mount where clients look",
                &volume("x"),
                mounts(FOLDER),
                json!([]),
                Some(mount_path),
            ),
            (
                "a mount elsewhere",
                &volume("x"),
                mounts("/x"),
                json!([]),
                None,
            ),
            (
                "a mount of a token",
                &volume(OWN),
                mounts("/x"),
                json!([]),
                Some(mount_path),
            ),
            (
                "a mount that was there",
                &volume(OWN),
                mounts(FOLDER),
                mounts(FOLDER),
                None,
            ),
            (
                "a volume that is not mounted",
                &volume(OWN),
                json!([{ "name": "d" }]),
                json!([]),
                None,
            ),
        ] {
            let pod = |ephemeral: &Value| {
                json!({ "spec": {
                    "serviceAccountName": "app", "volumes": volumes, "ephemeralContainers": ephemeral,
                } })
            };
            let request = json!({
                "kind": { "group": "", "kind": "Pod" }, "subResource": "ephemeralcontainers",
                "operation": "UPDATE", "object": pod(&new), "oldObject": pod(&old),
            });
            let found = check_request(&RULE, &request, &json!({}));
            let expected: Vec<_> = expected.iter().map(|path| (*path, "reject")).collect();
            assert_eq!(outcomes(&found), expected, "{name}: {found:?}");
        }
    }
}
