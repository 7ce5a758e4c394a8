//! Every token expires within the maximum for its audience.
//!
//! Fields: `volumes[*].projected.sources[*].serviceAccountToken.expirationSeconds` of Pods and
//! templates, `spec.expirationSeconds` of a TokenRequest, `spec.tokenRequests[*].expirationSeconds`
//! of a CSIDriver.
//!
//! Allowed: up to `maxExpirationSeconds`, or what `audiences` says. 3600 seconds when absent
//! (`pkg/apis/core/v1/defaults.go`, `SetDefaults_ServiceAccountTokenProjection`). Exactly 3607
//! seconds, bound to a Pod and for the API server's own audiences, counts as the year that the API
//! server makes of it (`pkg/registry/core/serviceaccount/storage/token.go`, `Create`). Where the
//! settings don't name these audiences, it counts so for every audience.
//!
//! Mutation: the maximum. Not in a CSIDriver, which is kept in Git: that is rejected.

use crate::message::{name, quoted};
use crate::patch::new_value;
use crate::request::Subject;
use crate::review::{EXTENDED_LIFETIME, RequestedToken, Review};
use crate::rules::{Context, Remedy, Rule, Violation};
use crate::settings::{Mode, Settings};

pub const RULE: Rule = Rule { name: "token-lifetime", check };

/// What a token gets that asks for nothing, in seconds.
const DEFAULT: i64 = 3600;

/// What the API server makes of [`EXTENDED_LIFETIME`], in seconds: a year
/// (`pkg/serviceaccount/claims.go`, `ExpirationExtensionSeconds`).
const YEAR: i64 = 365 * 24 * 60 * 60;

fn check(review: &Review, context: &Context) -> Vec<Violation> {
    let settings = context.settings;
    review.tokens.iter().filter_map(|token| check_token(token, review.subject, settings)).collect()
}

fn check_token(token: &RequestedToken, subject: Subject, settings: &Settings) -> Option<Violation> {
    let (audience, maximum) = strictest(token, settings);
    let effective = effective_lifetime(token, settings);
    // What will be injected into a template's Pods. Each is mutated when it is created.
    let is_presumed = subject == Subject::Template && token.volume.is_none();
    if effective <= maximum || (is_presumed && settings.mode == Mode::Mutate) {
        return None;
    }
    let asked = token.expiration_seconds.unwrap_or(DEFAULT);
    let if_own = if is_own(token, settings) { "" } else { " if the audience is its own" };
    let extended = format!(
        ": the API server extends exactly {asked} seconds to one year ({YEAR} seconds){if_own}"
    );
    let extension = if effective == asked { "" } else { &extended };
    if is_presumed {
        let message = format!(
            "Required value: set it to false and mount a token of {maximum} seconds at most; the Pods \
             get one of {asked} seconds injected{extension}"
        );
        return Some(Violation::notice(token.path.clone(), message));
    }
    let path = token.path.child("expirationSeconds");
    let limit = |quoted: String| match audience {
        "" => format!("{maximum} seconds for the API server's audience{extension}"),
        _ => format!("{maximum} seconds for audience {quoted}{extension}"),
    };
    let detail = format!("must not exceed {}", limit(quoted(audience)));
    let message = match token.expiration_seconds {
        Some(_) => format!("Invalid value: {asked}: {detail}"),
        None => format!("Required value: {detail}, and is {DEFAULT} seconds when absent"),
    };
    let lifetime = settings.lifetime_to_set(maximum);
    let warning = || {
        let limit = limit(name(audience));
        format!("{path}: {asked} seconds are lowered to {lifetime}; the maximum is {limit}")
    };
    let warnings = if token.is_authored { vec![warning()] } else { Vec::new() };
    let remedy = match subject {
        Subject::CsiDriver => Remedy::Reject,
        _ => Remedy::Patch(vec![(path.clone(), new_value(lifetime))]),
    };
    Some(Violation { warnings, ..Violation::new(path, message, remedy) })
}

/// How long, in seconds, the API server will honour a copy of the token.
fn effective_lifetime(token: &RequestedToken, settings: &Settings) -> i64 {
    let api_server = &settings.api_server;
    let is_extended = token.expiration_seconds == Some(EXTENDED_LIFETIME)
        && token.is_bound_to_pod
        && api_server.extends_tokens
        && (api_server.audiences.is_empty() || is_own(token, settings));
    if is_extended { YEAR } else { token.expiration_seconds.unwrap_or(DEFAULT) }
}

/// How long, in seconds, the token will live once the request is admitted.
pub(super) fn admitted_lifetime(token: &RequestedToken, settings: &Settings) -> i64 {
    let (_, maximum) = strictest(token, settings);
    let lifetime = effective_lifetime(token, settings);
    let is_lowered = settings.mode == Mode::Mutate && lifetime > maximum;
    if is_lowered { settings.lifetime_to_set(maximum) } else { lifetime }
}

/// Of several audiences the one with the lowest maximum, and that; the API server's has no name.
fn strictest<'r>(token: &RequestedToken<'r>, settings: &Settings) -> (&'r str, i64) {
    let maxima = token.audiences.iter().map(|audience| (*audience, settings.maximum(audience)));
    maxima.min_by_key(|(_, maximum)| *maximum).unwrap_or_else(|| ("", settings.maximum("")))
}

fn is_own(token: &RequestedToken, settings: &Settings) -> bool {
    token.audiences.iter().all(|audience| settings.api_server.is_own(audience))
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::tests::{check, check_pod, check_template, token_volume};
    use serde_json::{Value, json};

    const YEAR: &str =
        ": the API server extends exactly 3607 seconds to one year (31536000 seconds)";

    /// Name, audience, seconds and settings; the message, and the lifetime that is set.
    type Case<'c> = (&'c str, Value, Value, &'c Value, Option<(String, i64)>);

    #[test]
    fn the_lifetime_of_projected_tokens() {
        let none = Value::Null;
        let long = json!({ "maxExpirationSeconds": 7200 });
        let year = json!({ "maxExpirationSeconds": 31_536_000 });
        let short = json!({ "maxExpirationSeconds": 600 });
        let honest =
            json!({ "maxExpirationSeconds": 7200, "apiServer": { "extendsTokens": false } });
        let own = json!({ "maxExpirationSeconds": 7200, "apiServer": { "audiences": ["own*"] } });
        let vault = json!({ "audiences": [{ "audience": "vault*", "maxExpirationSeconds": 600 }] });
        let sts = json!({ "audiences": [{ "audience": "sts.amazonaws.com", "maxExpirationSeconds": 86400 }] });
        let cases: &[Case] = &[
            ("within the maximum", none.clone(), json!(3600), &none, None),
            ("the default", none.clone(), none.clone(), &none, None),
            (
                "the default is over",
                none.clone(),
                none.clone(),
                &short,
                Some(("Required value: must not exceed 600 seconds for the API server's audience, and is 3600 seconds when absent".into(), 600)),
            ),
            (
                "a day for an audience",
                json!("vault"),
                json!(86400),
                &none,
                Some(("Invalid value: 86400: must not exceed 3600 seconds for audience \"vault\"".into(), 3600)),
            ),
            (
                "a maximum for an audience",
                json!("vault.a"),
                json!(3600),
                &vault,
                Some(("Invalid value: 3600: must not exceed 600 seconds for audience \"vault.a\"".into(), 600)),
            ),
            ("a longer one for an audience", json!("sts.amazonaws.com"), json!(86400), &sts, None),
            (
                "the largest number",
                none.clone(),
                json!(i64::MAX),
                &none,
                Some((format!("Invalid value: {}: must not exceed 3600 seconds for the API server's audience", i64::MAX), 3600)),
            ),
            (
                "3607",
                none.clone(),
                json!(3607),
                &long,
                Some((format!("Invalid value: 3607: must not exceed 7200 seconds for the API server's audience{YEAR}"), 7200)),
            ),
            (
                "3607 for the empty audience",
                json!(""),
                json!(3607),
                &long,
                Some((format!("Invalid value: 3607: must not exceed 7200 seconds for the API server's audience{YEAR}"), 7200)),
            ),
            (
                "3607 for any audience, while the API server's own are unknown",
                json!("vault"),
                json!(3607),
                &long,
                Some((format!("Invalid value: 3607: must not exceed 7200 seconds for audience \"vault\"{YEAR} if the audience is its own"), 7200)),
            ),
            (
                "3607 for an audience of the API server",
                json!("own.cluster"),
                json!(3607),
                &own,
                Some((format!("Invalid value: 3607: must not exceed 7200 seconds for audience \"own.cluster\"{YEAR}"), 7200)),
            ),
            ("3607 for another audience than the API server's", json!("vault"), json!(3607), &own, None),
            ("3606", none.clone(), json!(3606), &long, None),
            ("3607 where nothing is extended", none.clone(), json!(3607), &honest, None),
            ("3607 where a year is allowed", none.clone(), json!(3607), &year, None),
        ];
        for (name, audience, seconds, settings, expected) in cases {
            let tweak =
                json!({ "volumes": [{ "name": "other" }, token_volume("t", audience, seconds)] });
            let found = check_pod(&RULE, &tweak, settings);
            let path = "spec.volumes[1].projected.sources[0].serviceAccountToken.expirationSeconds";
            match (&*found, expected) {
                ([], None) => {}
                ([found], Some((message, lifetime))) => {
                    assert_eq!((&*found.path, &found.message), (path, message), "{name}");
                    let patches = [(path.to_owned(), Some(json!(lifetime)))];
                    assert_eq!(found.patches, patches, "{name}");
                    assert_eq!(found.warnings.len(), 1, "{name}");
                }
                _ => panic!("{name}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_mutation_never_sets_what_would_be_extended() {
        let settings =
            json!({ "maxExpirationSeconds": 3607, "apiServer": { "extendsTokens": false } });
        let tweak = json!({ "volumes": [token_volume("t", &json!("v"), &json!(3608))] });
        assert_eq!(check_pod(&RULE, &tweak, &settings)[0].patches[0].1, Some(json!(3606)));
    }

    #[test]
    fn only_an_author_is_warned() {
        for (name, volume, audience, seconds, warned) in [
            ("the API server's own volume", "kube-api-access-x7k2p", "", 3607, false),
            ("the same with an audience", "kube-api-access-x7k2p", "own", 3607, true),
            ("the same with a lifetime of a day", "kube-api-access-x7k2p", "", 86400, true),
            ("its own copy", "token", "", 3607, true),
        ] {
            let tweak =
                json!({ "volumes": [token_volume(volume, &json!(audience), &json!(seconds))] });
            let found = &check_pod(&RULE, &tweak, &json!({}))[0];
            assert_eq!(!found.warnings.is_empty(), warned, "{name}: {found:?}");
        }
    }

    #[test]
    fn the_lifetime_of_token_requests() {
        const KUBEADM: &str = "https://kubernetes.default.svc.cluster.local";
        let pod = json!({ "kind": "Pod" });
        let long = json!({ "maxExpirationSeconds": 86400 });
        let own = json!({ "maxExpirationSeconds": 86400, "apiServer": { "audiences": [KUBEADM] } });
        for (name, audiences, seconds, bound_to, settings, expected) in [
            ("the default", json!(null), json!(null), json!(null), json!({}), None),
            ("a day", json!([]), json!(86400), json!(null), json!({}), Some(3600)),
            ("3607 of a Pod", json!(null), json!(3607), pod.clone(), long.clone(), Some(86400)),
            (
                "3607 of a Pod as a validating policy sees it",
                json!([KUBEADM]),
                json!(3607),
                pod.clone(),
                long.clone(),
                Some(86400),
            ),
            (
                "the same with the audience named",
                json!([KUBEADM]),
                json!(3607),
                pod.clone(),
                own.clone(),
                Some(86400),
            ),
            (
                "3607 of a Pod for another audience",
                json!(["vault"]),
                json!(3607),
                pod.clone(),
                own.clone(),
                None,
            ),
            (
                "3607 of a Pod for two audiences",
                json!([KUBEADM, "vault"]),
                json!(3607),
                pod,
                own,
                None,
            ),
            ("3607 of no Pod", json!(null), json!(3607), json!(null), long.clone(), None),
            ("3607 of a Secret", json!(null), json!(3607), json!({ "kind": "Secret" }), long, None),
            (
                "the strictest of several audiences",
                json!(["a", "b"]),
                json!(3600),
                json!(null),
                json!({ "audiences": [{ "audience": "b", "maxExpirationSeconds": 900 }] }),
                Some(900),
            ),
        ] {
            let spec = json!({ "audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": bound_to });
            let kind = ("authentication.k8s.io", "TokenRequest", "token");
            let found = check(&RULE, kind, &json!({ "spec": spec }), &settings);
            let set = found.first().map(|found| found.patches[0].clone());
            let expected =
                expected.map(|it: i64| ("spec.expirationSeconds".to_owned(), Some(json!(it))));
            assert_eq!(set, expected, "{name}: {found:?}");
        }
    }

    #[test]
    fn the_lifetime_of_a_csi_drivers_tokens() {
        let tokens = json!([{ "audience": "a" }, { "audience": "b", "expirationSeconds": 86400 }]);
        let driver = json!({ "spec": { "tokenRequests": tokens } });
        let found = check(&RULE, ("storage.k8s.io", "CSIDriver", ""), &driver, &json!({}));
        let found: Vec<_> = found.iter().map(|it| (&*it.path, it.remedy)).collect();
        assert_eq!(found, [("spec.tokenRequests[1].expirationSeconds", "reject")]);
    }

    #[test]
    fn the_token_that_will_be_injected_into_a_templates_pods() {
        let at_token =
            json!({ "name": "t", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount" });
        let own = token_volume("kube-api-access-own", &json!(""), &json!(3600));
        for (name, tweak, expected) in [
            ("automount switched off", json!({}), false),
            ("automount not switched off", json!({ "automountServiceAccountToken": null }), true),
            (
                "a mount in its place",
                json!({ "automountServiceAccountToken": null, "containers": [{ "volumeMounts": [at_token] }] }),
                false,
            ),
            (
                "a volume with its name",
                json!({ "automountServiceAccountToken": true, "volumes": [own] }),
                false,
            ),
            (
                "a mount in its place, in one of two containers",
                json!({ "automountServiceAccountToken": true, "containers": [{ "volumeMounts": [at_token] }, {}] }),
                true,
            ),
        ] {
            let found = check_template(&RULE, &tweak, &json!({}));
            assert!(found.is_empty(), "{name}: each Pod is mutated");
            let found = check_template(&RULE, &tweak, &json!({ "mode": "reject" }));
            assert_eq!(found.len() == 1, expected, "{name}");
            for it in found {
                assert_eq!(it.path, "spec.template.spec.automountServiceAccountToken", "{name}");
                assert!(it.remedy == "notice" && it.patches.is_empty(), "{name}");
                assert!(it.message.ends_with(YEAR), "{name}: {}", it.message);
            }
            let honest = json!({ "mode": "reject", "apiServer": { "extendsTokens": false } });
            for it in check_template(&RULE, &tweak, &honest) {
                assert!(it.message.ends_with("3607 seconds injected"), "{name}: {}", it.message);
            }
            assert!(check_pod(&RULE, &tweak, &json!({})).is_empty(), "{name}, in a Pod");
        }
    }
}
