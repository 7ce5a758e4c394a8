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

use crate::field_path::FieldPath;
use crate::lifetime::{
    DEFAULT_LIFETIME, YEAR, asked, effective, is_for_api_server, strictest_maximum, to_set,
};
use crate::message::{quote, quote_in_warning};
use crate::patch::new_value;
use crate::request::Subject;
use crate::review::{MOST_TOKEN_REQUESTS, RequestedToken, Review, TokenSource};
use crate::rules::{Context, Message, Remedy, Rule, Violation};
use crate::settings::Settings;

pub const RULE: Rule = Rule {
    name: "token-lifetime",
    check,
};

fn check<'r>(review: &'r Review, context: &'r Context) -> Vec<Violation<'r>> {
    if let Some(violation) = check_number(review) {
        return vec![violation];
    }
    let is_template = review.is_template();
    let tokens = review.tokens.iter();
    tokens
        .filter_map(|token| check_token(token, is_template, context.settings))
        .collect()
}

/// In a few bytes each, a CSI driver can ask for very many tokens.
fn check_number(review: &Review) -> Option<Violation<'static>> {
    let Subject::CSIDriver(driver) = review.subject else {
        return None;
    };
    let number = driver.spec.token_requests.len();
    (number > MOST_TOKEN_REQUESTS).then(|| {
        let path = FieldPath::new(&["spec", "tokenRequests"]);
        let message = format!("Too many: {number}: must have at most {MOST_TOKEN_REQUESTS} items");
        let why = "not-judged";
        Violation::new(path, message, Remedy::Undecided { why })
    })
}

fn check_token<'r>(
    token: &'r RequestedToken,
    is_template: bool,
    settings: &'r Settings,
) -> Option<Violation<'r>> {
    let (audience, maximum) = strictest_maximum(token, settings);
    if effective(token, settings) <= maximum {
        return None;
    }
    if token.source == TokenSource::Injected {
        return Some(report_injected(token, maximum, settings));
    }
    let path = token.path.child("expirationSeconds");
    let message = Message::lazy(move || {
        let limit = describe_limit(token, &quote(audience), maximum, settings);
        match token.expiration_seconds {
            Some(seconds) => format!("Invalid value: {seconds}: must not exceed {limit}"),
            None => format!(
                "Required value: must not exceed {limit}, and is {DEFAULT_LIFETIME} seconds when absent"
            ),
        }
    });
    if token.source == TokenSource::CSIDriver {
        return Some(Violation::new(path, message, Remedy::Reject));
    }
    let lifetime = to_set(token, maximum, settings);
    let warning = Message::lazy(move || {
        let limit = describe_limit(token, &quote_in_warning(audience), maximum, settings);
        let lowered = if is_template {
            "will be lowered in its Pods"
        } else {
            "are lowered"
        };
        format!(
            "{}.expirationSeconds: {} seconds {lowered} to {lifetime}; the maximum is {limit}",
            token.path,
            asked(token)
        )
    });
    let remedy = Remedy::Patch {
        warnings: Vec::from_iter(token.is_authored.then_some(warning)),
        patches: vec![(path.clone(), new_value(lifetime))],
    };
    Some(Violation::new(path, message, remedy))
}

/// What the API server will inject into the Pods of a template. Each is mutated when it is created.
fn report_injected(
    token: &RequestedToken,
    maximum: i64,
    settings: &Settings,
) -> Violation<'static> {
    let message = format!(
        "Required value: set it to false and mount a token of {maximum} seconds at most; the Pods get \
         one of {} seconds injected{}",
        asked(token),
        describe_extension(token, settings)
    );
    let remedy = Remedy::Patch {
        patches: Vec::new(),
        warnings: Vec::new(),
    };
    let violation = Violation::new(token.path.clone(), message, remedy);
    Violation {
        is_presumed: true,
        ..violation
    }
}

fn describe_limit(
    token: &RequestedToken,
    quoted_audience: &str,
    maximum: i64,
    settings: &Settings,
) -> String {
    let extension = describe_extension(token, settings);
    if token.audiences.is_empty() {
        return format!("{maximum} seconds for the API server's audience{extension}");
    }
    format!("{maximum} seconds for audience {quoted_audience}{extension}")
}

/// What the API server makes of the lifetime, if it extends that; and how an operator can tell it
/// that the audience isn't its own.
fn describe_extension(token: &RequestedToken, settings: &Settings) -> String {
    let asked = asked(token);
    if effective(token, settings) == asked {
        return String::new();
    }
    let if_own = if is_for_api_server(token, settings) {
        ""
    } else {
        " if the audience is its own, which apiServer.audiences would tell"
    };
    format!(
        ": the API server extends exactly {asked} seconds to up to a year ({YEAR} seconds){if_own}"
    )
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::tests::{check, check_pod, check_request, check_template, token_volume};
    use serde_json::{Value, json};

    const YEAR: &str =
        ": the API server extends exactly 3607 seconds to up to a year (31536000 seconds)";

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
                Some((format!("Invalid value: 3607: must not exceed 7200 seconds for audience \"vault\"{YEAR} if the audience is its own, which apiServer.audiences would tell"), 3600)),
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
        assert_eq!(
            check_pod(&RULE, &tweak, &settings)[0].patches[0].1,
            Some(json!(3606))
        );
    }

    #[test]
    fn only_an_author_is_warned() {
        for (name, volume, audience, seconds, warned) in [
            (
                "the API server's own volume",
                "kube-api-access-x7k2p",
                "",
                3607,
                false,
            ),
            (
                "the same with an audience",
                "kube-api-access-x7k2p",
                "own",
                3607,
                true,
            ),
            (
                "the same with a lifetime of a day",
                "kube-api-access-x7k2p",
                "",
                86400,
                true,
            ),
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
            (
                "the default",
                json!(null),
                json!(null),
                json!(null),
                json!({}),
                None,
            ),
            (
                "a day",
                json!([]),
                json!(86400),
                json!(null),
                json!({}),
                Some(3600),
            ),
            (
                "3607 of a Pod",
                json!(null),
                json!(3607),
                pod.clone(),
                long.clone(),
                Some(86400),
            ),
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
            (
                "3607 of no Pod",
                json!(null),
                json!(3607),
                json!(null),
                long.clone(),
                None,
            ),
            (
                "3607 of a Secret",
                json!(null),
                json!(3607),
                json!({ "kind": "Secret" }),
                long,
                None,
            ),
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

    /// Nobody reads what is said to a kubelet.
    #[test]
    fn who_is_told_of_a_lowered_token() {
        let node = json!({ "username": "system:node:worker", "groups": ["system:nodes"] });
        let person = json!({ "username": "alex", "groups": ["dev"] });
        for (user, expected) in [(node, 0), (person, 1)] {
            let request = json!({
                "kind": { "group": "authentication.k8s.io", "kind": "TokenRequest" },
                "subResource": "token", "operation": "CREATE", "userInfo": user,
                "object": { "spec": { "audiences": ["vault"], "expirationSeconds": 86400 } },
            });
            let found = check_request(&RULE, &request, &json!({}));
            assert_eq!(found[0].warnings.len(), expected, "{user}: {found:?}");
        }
    }

    #[test]
    fn the_lifetime_of_a_csi_drivers_tokens() {
        let tokens = json!([{ "audience": "a" }, { "audience": "b", "expirationSeconds": 86400 }]);
        let driver = json!({ "spec": { "tokenRequests": tokens } });
        let found = check(
            &RULE,
            ("storage.k8s.io", "CSIDriver", ""),
            &driver,
            &json!({}),
        );
        let found: Vec<_> = found.iter().map(|it| (&*it.path, it.remedy)).collect();
        assert_eq!(
            found,
            [("spec.tokenRequests[1].expirationSeconds", "reject")]
        );
    }

    #[test]
    fn a_driver_that_asks_for_too_many_tokens() {
        let day = json!({ "expirationSeconds": 86400 });
        for (number, expected, first) in [
            (100, 100, "spec.tokenRequests[0].expirationSeconds"),
            (101, 1, "spec.tokenRequests"),
        ] {
            let tokens = vec![day.clone(); number];
            let driver = json!({ "spec": { "tokenRequests": tokens } });
            let kind = ("storage.k8s.io", "CSIDriver", "");
            let found = check(&RULE, kind, &driver, &json!({}));
            assert_eq!(
                (found.len(), &*found[0].path),
                (expected, first),
                "{number}"
            );
            let is_judged = found[0].remedy != "not-judged";
            assert_eq!(is_judged, number == 100, "{number}: {found:?}");
        }
    }

    #[test]
    fn the_token_that_will_be_injected_into_a_templates_pods() {
        let at_token =
            json!({ "name": "t", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount" });
        let own = token_volume("kube-api-access-own", &json!(""), &json!(3600));
        for (name, tweak, expected) in [
            ("automount switched off", json!({}), false),
            (
                "automount not switched off",
                json!({ "automountServiceAccountToken": null }),
                true,
            ),
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
                assert_eq!(
                    it.path, "spec.template.spec.automountServiceAccountToken",
                    "{name}"
                );
                assert!(it.remedy == "notice" && it.patches.is_empty(), "{name}");
                assert!(it.message.ends_with(YEAR), "{name}: {}", it.message);
            }
            let honest = json!({ "mode": "reject", "apiServer": { "extendsTokens": false } });
            for it in check_template(&RULE, &tweak, &honest) {
                assert!(
                    it.message.ends_with("3607 seconds injected"),
                    "{name}: {}",
                    it.message
                );
            }
            assert!(
                check_pod(&RULE, &tweak, &json!({})).is_empty(),
                "{name}, in a Pod"
            );
        }
    }
}
