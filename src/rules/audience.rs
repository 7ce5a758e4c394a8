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

use crate::message::quoted;
use crate::request::Subject;
use crate::review::Review;
use crate::rules::{Context, Remedy, Rule, Violation};

pub const RULE: Rule = Rule { name: "audience", check };

fn check(review: &Review, context: &Context) -> Vec<Violation> {
    let settings = context.settings;
    let mut violations = Vec::new();
    for token in &review.tokens {
        let audiences = token.audiences.iter().enumerate();
        for (i, audience) in audiences.filter(|(_, it)| !settings.allows_audience(it)) {
            let path = match review.subject {
                Subject::TokenRequest => token.path.element("audiences", i),
                _ => token.path.child("audience"),
            };
            let allowed = settings.allowed_audiences.iter().flatten().map(|it| format!(", {it:?}"));
            let (asked, allowed) = (quoted(audience), allowed.collect::<String>());
            let message = format!(
                "Unsupported value: {asked}: supported values: the API server's own{allowed}"
            );
            violations.push(Violation::new(path, message, Remedy::Reject));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::tests::{check, check_pod, check_template, token_volume};
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
                check(&RULE, ("storage.k8s.io", "CSIDriver", ""), &driver, &settings),
                "spec.tokenRequests[0].audience",
            ),
        ] {
            let [found] = &*found else { panic!("{name}: {found:?}") };
            let message =
                "Unsupported value: \"vault\": supported values: the API server's own, \"sts.*\"";
            assert_eq!(
                (&*found.path, found.remedy, &*found.message),
                (path, "reject", message),
                "{name}"
            );
        }
        assert!(check_pod(&RULE, &volumes, &json!({})).is_empty(), "any audience is allowed");
    }
}
