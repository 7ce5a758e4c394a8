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

use crate::conversion::new_tokens;
use crate::kubelet::mounts::{Mount, mounts_never_updated};
use crate::lifetime;
use crate::message::quote_in_warning;
use crate::review::{PodReview, Review, TokenSource};
use crate::rules::{Context, Message, Rule, Violation};
use std::collections::BTreeMap;

pub const RULE: Rule = Rule {
    name: "token-renewal",
    check,
};

fn check<'r>(review: &'r Review, context: &'r Context) -> Vec<Violation<'r>> {
    let Some(pod) = &review.pod else {
        return Vec::new();
    };
    let mut notices = check_mounts(pod);
    notices.extend(check_grace_period(review, pod, context));
    notices
}

fn check_mounts<'r>(pod: &'r PodReview) -> Vec<Violation<'r>> {
    // By volume, since each mount shows all tokens of its volume.
    let mut token_files: BTreeMap<_, Vec<_>> = BTreeMap::new();
    token_files.extend(
        pod.mounts
            .volumes_shown_in_part()
            .map(|volume| (volume, Vec::new())),
    );
    if token_files.is_empty() {
        return Vec::new();
    }
    for volume in pod.spec.volumes.iter() {
        let Some(files) = token_files.get_mut(&*volume.name) else {
            continue;
        };
        files.extend(volume.tokens().map(|token| &*token.path));
    }
    let mut notices = Vec::new();
    for (volume, files) in token_files {
        for mount in mounts_never_updated(pod.mounts_of(volume), &files) {
            notices.push(warn_of_part(mount, pod));
        }
    }
    notices
}

fn warn_of_part<'r>(mount: &'r Mount, pod: &'r PodReview) -> Violation<'r> {
    let field = if mount.written.sub_path.is_empty() {
        "subPathExpr"
    } else {
        "subPath"
    };
    let message = Message::lazy(move || {
        format!(
            "mount the whole volume: a file mounted with {field} never changes, so that the token of \
             container {} isn't renewed and expires",
            quote_in_warning(&mount.container.container.name)
        )
    });
    Violation::notice(mount.path(&pod.path).child(field), message)
}

fn check_grace_period(
    review: &Review,
    pod: &PodReview,
    context: &Context,
) -> Option<Violation<'static>> {
    let grace_period = pod.spec.termination_grace_period_seconds?;
    let tokens = review.tokens.iter().map(|token| {
        let volume = match token.source {
            TokenSource::Volume(name) => Some(name),
            _ => None,
        };
        (lifetime::admitted(token, context.settings), volume)
    });
    let converted = new_tokens(&context.legacy_tokens, context.settings);
    let converted = converted.map(|(token, volume)| (token.lifetime, Some(volume)));
    let shortest = tokens.chain(converted).min();
    let (lifetime, volume) = shortest.filter(|(lifetime, _)| grace_period > *lifetime)?;
    let volume = volume.map(|volume| format!(" of volume {}", quote_in_warning(volume)));
    let message = format!(
        "the token{} lives {lifetime} seconds and isn't renewed while the Pod terminates, which may \
         take {grace_period} seconds",
        volume.unwrap_or_default()
    );
    Some(Violation::notice(
        pod.path.child("terminationGracePeriodSeconds"),
        message,
    ))
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::tests::{check_pod, check_template, token_volume};
    use serde_json::{Value, json};

    fn with_mount(list: &str, mount: &Value) -> Value {
        let mut container = json!({ "name": "c", "volumeMounts": [{ "name": "other" }] });
        container["volumeMounts"]
            .as_array_mut()
            .unwrap()
            .push(mount.clone());
        json!({ "volumes": [token_volume("t", &json!("v"), &json!(3600))], list: [container] })
    }

    #[test]
    fn tokens_that_are_never_renewed() {
        for (name, mount, expected) in [
            ("the whole volume", json!({ "name": "t" }), None),
            (
                "the token",
                json!({ "name": "t", "subPath": "token" }),
                Some("subPath"),
            ),
            (
                "another file",
                json!({ "name": "t", "subPath": "ca.crt" }),
                None,
            ),
            (
                "an expression",
                json!({ "name": "t", "subPathExpr": "$(A)" }),
                Some("subPathExpr"),
            ),
            (
                "another volume",
                json!({ "name": "x", "subPath": "token" }),
                None,
            ),
        ] {
            for list in ["containers", "initContainers", "ephemeralContainers"] {
                let found = check_pod(&RULE, &with_mount(list, &mount), &json!({}));
                let paths: Vec<_> = found
                    .iter()
                    .map(|it| (it.path.clone(), it.remedy))
                    .collect();
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
        let folder = "/var/run/secrets/kubernetes.io/serviceaccount";
        let containers =
            json!([{ "name": "c", "volumeMounts": [{ "name": "l", "mountPath": folder }] }]);
        let warn = json!({ "mode": "warn" });
        let mutate = json!({});
        for (name, seconds, volumes, settings, expected) in [
            ("no token", 86400, json!([]), &mutate, None),
            ("short enough", 3600, json!([hour()]), &mutate, None),
            ("longer", 3601, json!([hour()]), &mutate, Some(3600)),
            (
                "the shortest of several",
                7200,
                json!([day(), hour()]),
                &mutate,
                Some(3600),
            ),
            (
                "a token that is lowered",
                7200,
                json!([day()]),
                &mutate,
                Some(3600),
            ),
            (
                "a token that isn't lowered",
                7200,
                json!([day()]),
                &warn,
                None,
            ),
            (
                "an injected token that is lowered",
                7200,
                json!([injected()]),
                &mutate,
                Some(3600),
            ),
            (
                "an injected token of a year",
                7200,
                json!([injected()]),
                &warn,
                None,
            ),
            (
                "a converted token",
                7200,
                json!([legacy()]),
                &mutate,
                Some(3600),
            ),
            (
                "a token that never ends",
                7200,
                json!([legacy()]),
                &warn,
                None,
            ),
        ] {
            let tweak = json!({
                "volumes": volumes, "terminationGracePeriodSeconds": seconds, "containers": containers,
            });
            for (found, at) in [
                (check_pod(&RULE, &tweak, settings), "spec"),
                (
                    check_template(&RULE, &tweak, settings),
                    "spec.template.spec",
                ),
            ] {
                let found: Vec<_> = found
                    .iter()
                    .map(|it| (it.path.clone(), it.warnings.join("; ")))
                    .collect();
                match (&*found, expected) {
                    ([], None) => {}
                    ([(path, message)], Some(lifetime)) => {
                        assert_eq!(
                            *path,
                            format!("{at}.terminationGracePeriodSeconds"),
                            "{name}"
                        );
                        assert!(
                            message.contains("the token of volume \"")
                                && message.contains(&format!("lives {lifetime} seconds")),
                            "{name}: {message}"
                        );
                    }
                    _ => panic!("{name}: {found:?}"),
                }
            }
        }
    }
}
