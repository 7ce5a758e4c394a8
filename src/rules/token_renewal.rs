//! Tokens reach their containers in time: a warning where they don't.
//!
//! Fields: `subPath` and `subPathExpr` of the mounts of a token,
//! `terminationGracePeriodSeconds`, of Pods and templates.
//!
//! A container that mounts the file itself never sees the next token, and the kubelet doesn't renew
//! the tokens of a terminating Pod (`pkg/kubelet/volumemanager/populator`). That is allowed: it is
//! the workload that gets 401 one day, sooner with a lower maximum.
//!
//! Mutation: none.

use crate::message::name;
use crate::mount::is_never_updated;
use crate::review::{PodReview, Review};
use crate::rules::legacy_token::converted;
use crate::rules::token_lifetime::admitted_lifetime;
use crate::rules::{Context, Rule, Violation};
use crate::settings::Mode;

pub const RULE: Rule = Rule { name: "token-renewal", check };

fn check(review: &Review, context: &Context) -> Vec<Violation> {
    let Some(pod) = &review.pod else { return Vec::new() };
    let mut notices = Vec::new();
    for volume in pod.spec.volumes.iter().filter(|it| !it.projected.sources.is_empty()) {
        let sources = volume.projected.sources.iter();
        let tokens = sources.filter_map(|source| source.service_account_token.as_ref());
        for mount in pod.mounts_of(&volume.name) {
            let written = mount.as_written;
            if tokens.clone().any(|token| is_never_updated(written, &token.path)) {
                let field = if written.sub_path.is_empty() { "subPathExpr" } else { "subPath" };
                let container = name(&mount.container.name);
                let message = format!(
                    "mount the whole volume: a file mounted with {field} never changes, so that the \
                     token of container {container} isn't renewed and expires"
                );
                notices.push(Violation::notice(mount.path.child(field), message));
            }
        }
    }
    notices.extend(check_grace_period(review, pod, context));
    notices
}

fn check_grace_period(review: &Review, pod: &PodReview, context: &Context) -> Option<Violation> {
    let grace_period = pod.spec.termination_grace_period_seconds?;
    let settings = context.settings;
    let tokens = review.tokens.iter().map(|it| (admitted_lifetime(it, settings), it.volume));
    let converted =
        if settings.mode == Mode::Mutate { converted(review, context) } else { Vec::new() };
    let converted = converted.into_iter().map(|(lifetime, volume)| (lifetime, Some(volume)));
    let shortest = tokens.chain(converted).min();
    let (lifetime, volume) = shortest.filter(|(lifetime, _)| grace_period > *lifetime)?;
    let volume = volume.map_or(String::new(), |volume| format!(" of volume {}", name(volume)));
    let message = format!(
        "the token{volume} lives {lifetime} seconds and isn't renewed while the Pod terminates, which \
         may take {grace_period} seconds"
    );
    Some(Violation::notice(pod.path.child("terminationGracePeriodSeconds"), message))
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::tests::{check_pod, check_template, token_volume};
    use serde_json::{Value, json};

    fn with_mount(list: &str, mount: &Value) -> Value {
        let mut container = json!({ "name": "c", "volumeMounts": [{ "name": "other" }] });
        container["volumeMounts"].as_array_mut().unwrap().push(mount.clone());
        json!({ "volumes": [token_volume("t", &json!("v"), &json!(3600))], list: [container] })
    }

    #[test]
    fn tokens_that_are_never_renewed() {
        for (name, mount, expected) in [
            ("the whole volume", json!({ "name": "t" }), None),
            ("the token", json!({ "name": "t", "subPath": "token" }), Some("subPath")),
            ("another file", json!({ "name": "t", "subPath": "ca.crt" }), None),
            ("an expression", json!({ "name": "t", "subPathExpr": "$(A)" }), Some("subPathExpr")),
            ("another volume", json!({ "name": "x", "subPath": "token" }), None),
        ] {
            for list in ["containers", "initContainers", "ephemeralContainers"] {
                let found = check_pod(&RULE, &with_mount(list, &mount), &json!({}));
                let paths: Vec<_> = found.iter().map(|it| (it.path.clone(), it.remedy)).collect();
                let path = expected.map(|field| format!("spec.{list}[0].volumeMounts[1].{field}"));
                let expected: Vec<_> = path.into_iter().map(|path| (path, "notice")).collect();
                assert_eq!(paths, expected, "{name} in {list}");
            }
        }
    }

    #[test]
    fn drains_that_outlive_the_token() {
        let day = || token_volume("t", &json!("v"), &json!(86400));
        let hour = || token_volume("u", &json!("v"), &json!(3600));
        let injected = || token_volume("kube-api-access-x", &json!(null), &json!(3607));
        let legacy = || json!({ "name": "l", "secret": { "secretName": "app-token-x7k2p" } });
        let warn = json!({ "mode": "warn" });
        let mutate = json!({});
        for (name, seconds, volumes, settings, expected) in [
            ("no token", 86400, json!([]), &mutate, None),
            ("short enough", 3600, json!([hour()]), &mutate, None),
            ("longer", 3601, json!([hour()]), &mutate, Some(3600)),
            ("the shortest of several", 7200, json!([day(), hour()]), &mutate, Some(3600)),
            ("a token that is lowered", 7200, json!([day()]), &mutate, Some(3600)),
            ("a token that isn't lowered", 7200, json!([day()]), &warn, None),
            ("an injected token that is lowered", 7200, json!([injected()]), &mutate, Some(3600)),
            ("an injected token of a year", 7200, json!([injected()]), &warn, None),
            ("a converted token", 7200, json!([legacy()]), &mutate, Some(3600)),
            ("a token that never ends", 7200, json!([legacy()]), &warn, None),
        ] {
            let tweak = json!({ "volumes": volumes, "terminationGracePeriodSeconds": seconds });
            for (found, at) in [
                (check_pod(&RULE, &tweak, settings), "spec"),
                (check_template(&RULE, &tweak, settings), "spec.template.spec"),
            ] {
                let found: Vec<_> =
                    found.iter().map(|it| (it.path.clone(), it.message.clone())).collect();
                match (&*found, expected) {
                    ([], None) => {}
                    ([(path, message)], Some(lifetime)) => {
                        assert_eq!(*path, format!("{at}.terminationGracePeriodSeconds"), "{name}");
                        assert!(
                            message.contains(&format!("lives {lifetime} seconds")),
                            "{name}: {message}"
                        );
                    }
                    _ => panic!("{name}: {found:?}"),
                }
            }
        }
    }
}
