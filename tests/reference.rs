//! The rules for Pods once more, as plainly as possible and with none of the policy's code, over
//! k8s-openapi's types; compared with the policy's own verdict and paths.

#[path = "common/mod.rs"]
mod common;
#[path = "common/grammar.rs"]
mod grammar;

use common::{Captured, ask, create, path, rejection};
use grammar::Choices;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, Volume};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What is compared: a bound, whether the API server extends tokens, and the allowed audiences.
struct Rules {
    bound: i64,
    extends: bool,
    audiences: Option<Vec<&'static str>>,
}

impl Rules {
    fn settings(&self) -> Value {
        json!({
            "mode": "reject", "maxExpirationSeconds": self.bound,
            "apiServer": { "extendsTokens": self.extends, "audiences": ["own"] },
            "allowedAudiences": self.audiences,
        })
    }

    /// The paths of all violations.
    fn violations(&self, pod: &Pod) -> BTreeSet<String> {
        let mut paths = BTreeSet::new();
        let Some(spec) = &pod.spec else { return paths };
        let mut needs_group = false;
        for (i, volume) in spec.volumes.iter().flatten().enumerate() {
            needs_group |= self.volume(spec, i, volume, &mut paths);
        }
        environment("containers", &spec.containers, &mut paths);
        environment("initContainers", spec.init_containers.as_deref().unwrap_or(&[]), &mut paths);
        let windows = spec.os.as_ref().is_some_and(|os| os.name == "windows");
        let group = spec.security_context.as_ref().and_then(|context| context.fs_group);
        let allowed = group.is_some_and(|group| (0..=2_147_483_647).contains(&group));
        if needs_group && !windows && !allowed {
            paths.insert("spec.securityContext.fsGroup".to_owned());
        }
        paths
    }

    /// True when the volume holds a token, or will when it is mended.
    fn volume(
        &self,
        spec: &PodSpec,
        i: usize,
        volume: &Volume,
        paths: &mut BTreeSet<String>,
    ) -> bool {
        let mut holds = false;
        let sources = volume.projected.as_ref().and_then(|projected| projected.sources.as_ref());
        for (j, source) in sources.into_iter().flatten().enumerate() {
            let at = format!("spec.volumes[{i}].projected.sources[{j}]");
            if let Some(token) = &source.service_account_token {
                holds = true;
                let audience = token.audience.as_deref().unwrap_or("");
                let own = audience.is_empty() || audience == "own";
                let seconds = token.expiration_seconds.unwrap_or(3600);
                let year = own && self.extends && seconds == 3607;
                if if year { 31_536_000 } else { seconds } > self.bound {
                    paths.insert(format!("{at}.serviceAccountToken.expirationSeconds"));
                }
                if !own && self.audiences.as_ref().is_some_and(|them| !them.contains(&audience)) {
                    paths.insert(format!("{at}.serviceAccountToken.audience"));
                }
            }
            if source.secret.as_ref().is_some_and(|secret| account(&secret.name).is_some()) {
                paths.insert(format!("{at}.secret.name"));
            }
        }
        let Some(secret) = &volume.secret else { return holds };
        let Some(name) = &secret.secret_name else { return holds };
        let own = [&spec.service_account_name, &spec.service_account]
            .into_iter()
            .flatten()
            .find(|name| !name.is_empty());
        let own = own.map_or("default", String::as_str);
        if account(name).is_some() || mounted_as_token(spec, &volume.name) {
            paths.insert(format!("spec.volumes[{i}].secret.secretName"));
        }
        let items = secret.items.as_deref().unwrap_or(&[]);
        let known = items
            .iter()
            .all(|it| ["token", "ca.crt", "namespace"].contains(&&*it.key) && !it.path.is_empty());
        let modes: BTreeSet<_> = items
            .iter()
            .filter(|it| it.key == "token")
            .map(|it| it.mode.or(secret.default_mode).unwrap_or(420))
            .collect();
        holds || (account(name) == Some(own) && known && modes.len() < 2)
    }
}

/// The account in `<account>-token-<five random characters>`.
fn account(name: &str) -> Option<&str> {
    let at = name.rfind("-token-").filter(|at| *at > 0)?;
    let suffix = &name[at + 7..];
    let random = suffix.chars().all(|c| "bcdfghjklmnpqrstvwxz2456789".contains(c));
    (suffix.chars().count() == 5 && random).then(|| &name[..at])
}

fn mounted_as_token(spec: &PodSpec, volume: &str) -> bool {
    const PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let mut mounts = containers.flat_map(|it| it.volume_mounts.iter().flatten());
    mounts.any(|it| {
        let below = it.mount_path.strip_prefix(PATH);
        it.name == volume && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

fn environment(list: &str, containers: &[Container], paths: &mut BTreeSet<String>) {
    for (i, container) in containers.iter().enumerate() {
        for (j, variable) in container.env.iter().flatten().enumerate() {
            let from = variable.value_from.as_ref().and_then(|from| from.secret_key_ref.as_ref());
            if from.is_some_and(|secret| account(&secret.name).is_some()) {
                paths.insert(format!("spec.{list}[{i}].env[{j}].valueFrom.secretKeyRef.name"));
            }
        }
        for (j, source) in container.env_from.iter().flatten().enumerate() {
            if source.secret_ref.as_ref().is_some_and(|it| account(&it.name).is_some()) {
                paths.insert(format!("spec.{list}[{i}].envFrom[{j}].secretRef.name"));
            }
        }
    }
}

/// Compares the two, if the Pod is one that k8s-openapi's types can hold.
fn compare(object: &Value, rules: &Rules) -> bool {
    let Ok(pod) = serde_json::from_value::<Pod>(object.clone()) else { return false };
    let mirror = pod.metadata.annotations.as_ref();
    let mirror = mirror.is_some_and(|them| them.contains_key("kubernetes.io/config.mirror"));
    let expected = if mirror { BTreeSet::new() } else { rules.violations(&pod) };
    let response = ask(&create(object), &rules.settings());
    let found: BTreeSet<_> = if response.accepted {
        BTreeSet::new()
    } else {
        rejection(&response).into_iter().map(|line| path(line).to_owned()).collect()
    };
    assert_eq!(found, expected, "{object}");
    true
}

#[test]
fn real_pods_are_judged_alike() {
    let mut compared = 0;
    for Captured { request, .. } in Captured::corpus() {
        if request["kind"]["kind"] == "Pod" {
            for bound in [600, 3600, 86400, 31_536_000] {
                let rules = Rules { bound, extends: true, audiences: None };
                compared += usize::from(compare(&request["object"], &rules));
            }
        }
    }
    assert!(compared >= 200, "only {compared} compared");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) })]

    #[test]
    fn generated_pods_are_judged_alike(
        choices in vec(any::<u8>(), 0..300),
        bound in prop_oneof![Just(600), Just(3600), Just(86400), Just(31_536_000)],
        extends: bool,
        all: bool,
    ) {
        let mut pod = Choices::new(&choices).pod();
        // k8s-openapi's ephemeral containers are another type; the property tests have them.
        pod["spec"]["ephemeralContainers"] = Value::Null;
        let audiences = (!all).then(|| vec!["vault"]);
        compare(&pod, &Rules { bound, extends, audiences });
    }
}
