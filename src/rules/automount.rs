//! No Pod of the listed accounts gets an API token that nobody asked for (CIS Kubernetes 5.1.5 and
//! 5.1.6).
//!
//! Fields: `automountServiceAccountToken` of Pods and templates, and the volume that the API server
//! injects.
//!
//! Allowed: a Pod that says `true` itself, that says `false`, or that brings a volume of its own.
//! What is injected into another one is there only because neither the Pod nor its account said no
//! (`plugin/pkg/admission/serviceaccount`, `shouldAutomount`). A template doesn't show what its
//! Pods' account says, so that it is warned about at most.
//!
//! Mutation: none, to take a token away is the author's decision.

use crate::legacy_tokens::is_generated;
use crate::message::{quote, quote_in_warning};
use crate::objects::Volume;
use crate::review::{INJECTED_VOLUME, PodReview, Review};
use crate::rules::{Context, Remedy, Rule, Violation};
use crate::settings::AutomountRule;

pub const RULE: Rule = Rule {
    name: "automount",
    check,
};

fn check<'r>(review: &'r Review, context: &'r Context) -> Vec<Violation<'r>> {
    let settings = &context.settings.automount;
    let Some(pod) = &review.pod else {
        return Vec::new();
    };
    if settings.rule == AutomountRule::Allow
        || pod.spec.automount_service_account_token.is_some()
        || !settings.concerns(&review.request.namespace, review.service_account)
    {
        return Vec::new();
    }
    let mut volumes = pod.spec.volumes.iter();
    let has_volume = volumes.any(|volume| is_injected_volume(volume));
    let violation = if review.is_template() {
        (has_volume || pod.injects_token).then(|| warn_template(pod, review.service_account))
    } else {
        has_volume.then(|| report(pod, review.service_account, settings.rule))
    };
    Vec::from_iter(violation)
}

/// True for the volume that the API server injects, whether its token was shortened since or not.
fn is_injected_volume(volume: &Volume) -> bool {
    is_generated(&volume.name, INJECTED_VOLUME)
        && volume
            .tokens()
            .any(|token| token.audience.is_empty() && &*token.path == "token")
}

fn report(pod: &PodReview, account: &str, rule: AutomountRule) -> Violation<'static> {
    let path = pod.path.child("automountServiceAccountToken");
    let remedies = "set it to false, or to true if the Pod needs the token; or set it in the account, \
                    or give the Pod an account of its own";
    if rule == AutomountRule::Warn {
        let account = quote_in_warning(account);
        let message = format!(
            "{remedies}: a token of service account {account} is mounted, though nobody asked for it"
        );
        return Violation::notice(path, message);
    }
    let message = format!(
        "Required value: {remedies}: a token of service account {} is mounted, though nobody asked for \
         it",
        quote(account)
    );
    Violation::new(path, message, Remedy::Reject)
}

fn warn_template(pod: &PodReview, account: &str) -> Violation<'static> {
    let path = pod.path.child("automountServiceAccountToken");
    let message = format!(
        "set it: unless service account {} says no, a token that nobody asked for is mounted in its \
         Pods",
        quote_in_warning(account)
    );
    Violation::notice(path, message)
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::tests::{check_pod, check_template};
    use serde_json::{Value, json};

    /// A volume as the API server injects it, or nearly so.
    fn injected(name: &str, audience: &Value, seconds: i64) -> Value {
        let token = json!({ "path": "token", "audience": audience, "expirationSeconds": seconds });
        let certificate = json!({ "configMap": { "name": "kube-root-ca.crt" } });
        let sources = json!([{ "serviceAccountToken": token }, certificate]);
        json!({ "name": name, "projected": { "defaultMode": 420, "sources": sources } })
    }

    #[test]
    fn tokens_that_nobody_asked_for() {
        let volume = || injected("kube-api-access-x7k2p", &Value::Null, 3607);
        for (name, account, automount, volume, expected) in [
            ("injected", "default", json!(null), volume(), true),
            ("without an account", "", json!(null), volume(), true),
            (
                "injected, and shortened since",
                "default",
                json!(null),
                injected("kube-api-access-x7k2p", &Value::Null, 3600),
                true,
            ),
            ("asked for", "default", json!(true), volume(), false),
            ("refused", "default", json!(false), volume(), false),
            ("of another account", "app", json!(null), volume(), false),
            (
                "a volume of the author's own",
                "default",
                json!(null),
                injected("token", &Value::Null, 3607),
                false,
            ),
            (
                "one with nearly such a name",
                "default",
                json!(null),
                injected("kube-api-access-own", &Value::Null, 3600),
                false,
            ),
            (
                "one for another audience",
                "default",
                json!(null),
                injected("kube-api-access-x7k2p", &json!("vault"), 3600),
                false,
            ),
        ] {
            let tweak = json!({
                "automountServiceAccountToken": automount, "volumes": [volume],
                "serviceAccountName": account, "serviceAccount": account,
            });
            let with =
                |rule: &str| check_pod(&RULE, &tweak, &json!({ "automount": { "rule": rule } }));
            assert!(with("Allow").is_empty(), "{name}: allowed");
            for (rule, remedy) in [("Warn", "notice"), ("Reject", "reject")] {
                let found = with(rule);
                let found: Vec<_> = found.iter().map(|it| (&*it.path, it.remedy)).collect();
                let violation = ("spec.automountServiceAccountToken", remedy);
                assert_eq!(
                    found,
                    if expected { vec![violation] } else { vec![] },
                    "{name}: {rule}"
                );
            }
        }
    }

    #[test]
    fn accounts_that_are_listed() {
        for (pattern, expected) in [
            ("*/default", true),
            ("payments/*", true),
            ("ci-*/default", false),
            ("*/x", false),
        ] {
            let settings =
                json!({ "automount": { "rule": "Reject", "serviceAccounts": [pattern] } });
            let tweak = json!({
                "automountServiceAccountToken": null,
                "serviceAccountName": "default", "serviceAccount": null,
                "volumes": [injected("kube-api-access-x7k2p", &Value::Null, 3607)],
            });
            assert_eq!(
                check_pod(&RULE, &tweak, &settings).len() == 1,
                expected,
                "{pattern}"
            );
        }
    }

    #[test]
    fn a_template_is_warned_about_at_most() {
        for (name, automount, expected) in [
            ("nothing is said", json!(null), true),
            ("asked for", json!(true), false),
            ("refused", json!(false), false),
        ] {
            let tweak = json!({
                "automountServiceAccountToken": automount,
                "serviceAccountName": "default", "serviceAccount": null,
            });
            for rule in ["Warn", "Reject"] {
                let settings = json!({ "automount": { "rule": rule } });
                let found = check_template(&RULE, &tweak, &settings);
                assert_eq!(found.len() == 1, expected, "{name}: {found:?}");
                for it in found {
                    assert_eq!(it.remedy, "notice", "{name}");
                    assert!(it.warnings[0].contains("unless service account"), "{name}");
                }
            }
        }
    }
}
