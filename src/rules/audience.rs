//! Tokens are asked for only the audiences that the operator allows.
//!
//! Fields: `volumes[*].projected.sources[*].serviceAccountToken.audience` of Pods and templates,
//! `spec.audiences[*]` of a TokenRequest, `spec.tokenRequests[*].audience` of a CSIDriver.
//!
//! Allowed: none, which means the API server's own; what `apiServer.audiences` names, or else what
//! looks like the API server's own, since a validating policy sees a TokenRequest with these filled
//! in (`pkg/registry/core/serviceaccount/storage/token.go`, `Create`); and `allowedAudiences`.
//!
//! Mutation: none, only the author knows who the token is for.

use crate::message::quote;
use crate::review::{RequestedToken, Review, TokenSource};
use crate::rules::{Context, Message, Remedy, Rule, Violation};
use crate::settings::Settings;

pub const RULE: Rule = Rule {
    name: "audience",
    check,
};

fn check<'r>(review: &'r Review, context: &'r Context) -> Vec<Violation<'r>> {
    let tokens = review.tokens.iter();
    tokens
        .filter_map(|token| check_token(token, context.settings))
        .collect()
}

/// One violation for all audiences of a token, at the first that isn't allowed.
fn check_token<'r>(token: &'r RequestedToken, settings: &'r Settings) -> Option<Violation<'r>> {
    let audiences = token.audiences.iter().enumerate();
    let mut refused = audiences.filter(|(_, audience)| !settings.allows_audience(audience));
    let (i, audience) = refused.next()?;
    let more = refused.count();
    let path = match token.source {
        TokenSource::TokenRequest => token.path.element("audiences", i),
        _ => token.path.child("audience"),
    };
    let message = Message::lazy(move || describe(audience, more, settings));
    Some(Violation::new(path, message, Remedy::Reject))
}

fn describe(audience: &str, more: usize, settings: &Settings) -> String {
    let allowed = settings.allowed_audiences.iter().flatten();
    let allowed = allowed.map(|pattern| quote(pattern.as_str()));
    let own = std::iter::once("the API server's own".to_owned());
    let supported = own.chain(allowed).collect::<Vec<_>>().join(", ");
    let more = match more {
        0 => String::new(),
        more => format!("; {more} more of its audiences are not supported"),
    };
    // Where the operator names none, nobody knows that this isn't one of them.
    let hint = if settings.api_server.audiences.is_empty() {
        "; if it is the API server's own, the operator names it in apiServer.audiences"
    } else {
        ""
    };
    format!(
        "Unsupported value: {}: supported values: {supported}{more}{hint}",
        quote(audience)
    )
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::tests::{
        check, check_pod, check_template, check_token_request, token_volume,
    };
    use serde_json::{Value, json};

    /// The settings' own tests have the table of which audience is allowed.
    #[test]
    fn audiences_that_are_not_allowed() {
        let settings = json!({ "allowedAudiences": ["sts.*"] });
        let token = |audience: &str| json!({ "audience": audience, "expirationSeconds": 3600 });
        let volumes = json!({ "volumes": [
            token_volume("a", &json!("sts.amazonaws.com"), &json!(3600)),
            token_volume("b", &json!("vault"), &json!(3600)),
            token_volume("c", &Value::Null, &json!(3600)),
        ] });
        let request =
            json!({ "spec": { "audiences": ["https://kubernetes.default.svc", "vault"] } });
        let driver = json!({ "spec": { "tokenRequests": [token("vault"), token("sts.x")] } });
        for (name, found, path) in [
            (
                "a Pod",
                check_pod(&RULE, &volumes, &settings),
                "spec.volumes[1].projected.sources[0].serviceAccountToken.audience",
            ),
            (
                "a template",
                check_template(&RULE, &volumes, &settings),
                "spec.template.spec.volumes[1].projected.sources[0].serviceAccountToken.audience",
            ),
            (
                "a TokenRequest",
                check(
                    &RULE,
                    ("authentication.k8s.io", "TokenRequest", "token"),
                    &request,
                    &settings,
                ),
                "spec.audiences[1]",
            ),
            (
                "a CSIDriver",
                check(
                    &RULE,
                    ("storage.k8s.io", "CSIDriver", ""),
                    &driver,
                    &settings,
                ),
                "spec.tokenRequests[0].audience",
            ),
        ] {
            let [found] = &*found else {
                panic!("{name}: {found:?}")
            };
            let message = "Unsupported value: \"vault\": supported values: the API server's own, \
                 \"sts.*\"; if it is the API server's own, the operator names it in \
                 apiServer.audiences";
            assert_eq!(
                (&*found.path, found.remedy, &*found.message),
                (path, "reject", message),
                "{name}"
            );
        }
        assert!(
            check_pod(&RULE, &volumes, &json!({})).is_empty(),
            "any audience is allowed"
        );
    }

    #[test]
    fn audiences_of_one_token_are_one_violation() {
        let kind = ("authentication.k8s.io", "TokenRequest", "token");
        let named = json!({ "allowedAudiences": ["a"], "apiServer": { "audiences": ["own"] } });
        let spec = json!({ "spec": { "audiences": ["a", "b", "own", "c", "d"] } });
        let found = check(&RULE, kind, &spec, &named);
        let [found] = &*found else {
            panic!("{found:?}")
        };
        assert_eq!(found.path, "spec.audiences[1]");
        assert_eq!(
            found.message,
            "Unsupported value: \"b\": supported values: the API server's own, \"a\"; 2 more of its \
             audiences are not supported"
        );
    }

    /// k3s and RKE2 have two audiences of their own, which their API server fills in.
    #[test]
    fn a_nodes_list_is_the_api_servers_own() {
        let node = json!({ "username": "system:node:a", "groups": ["system:nodes"] });
        let by_name = json!({ "username": "system:node:a", "groups": ["dev"] });
        let by_group = json!({ "username": "alex", "groups": ["system:nodes"] });
        let two = json!(["https://kubernetes.default.svc.cluster.local", "k3s"]);
        let settings = json!({ "allowedAudiences": ["vault"] });
        for (name, user, audiences, expected) in [
            ("a node with two", &node, &two, 0),
            ("a node with another one", &node, &json!(["k3s"]), 1),
            ("a person with two", &json!({ "username": "alex" }), &two, 1),
            ("who is called like a node", &by_name, &two, 1),
            ("who is in the nodes' group", &by_group, &two, 1),
        ] {
            let object = json!({ "spec": { "audiences": audiences } });
            let found = check_token_request(&RULE, &object, user, &settings);
            assert_eq!(found.len(), expected, "{name}: {found:?}");
        }
    }
}
