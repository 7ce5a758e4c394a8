//! No Secret is made for a token that never expires.
//!
//! Fields: `type` of a Secret. Its data is never looked at.
//!
//! Allowed: any type but `kubernetes.io/service-account-token`, which the API server fills with a
//! token (`pkg/controller/serviceaccount/tokens_controller.go`) and accepts for ever.
//!
//! Mutation: none.

use crate::field_path::FieldPath;
use crate::message::of_account;
use crate::objects::TOKEN_SECRET;
use crate::review::Review;
use crate::rules::{Context, Remedy, Rule, Violation};
use crate::settings::LegacyRule;

pub const RULE: Rule = Rule { name: "legacy-token-secret", check };

fn check(review: &Review, context: &Context) -> Vec<Violation> {
    let is_allowed = context.settings.legacy_tokens.rule == LegacyRule::Allow;
    if is_allowed || review.secret_type != TOKEN_SECRET {
        return Vec::new();
    }
    let message = format!(
        "Forbidden: use a projected volume with a serviceAccountToken, or the token API (kubectl create \
         token): a Secret of type {TOKEN_SECRET} holds a token{} that never expires",
        of_account(review.service_account)
    );
    vec![Violation::new(FieldPath::new(&["type"]), message, Remedy::Reject)]
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::tests::check;
    use serde_json::json;

    #[test]
    fn secrets_for_tokens() {
        let token = "kubernetes.io/service-account-token";
        let allow = json!({ "legacyTokens": { "rule": "Allow" } });
        let annotations = json!({ "kubernetes.io/service-account.name": "builder" });
        for (name, object, settings, expected) in [
            ("another type", json!({ "type": "Opaque" }), json!({}), None),
            ("no type", json!({}), json!({}), None),
            ("allowed", json!({ "type": token }), allow, None),
            (
                "a token",
                json!({ "type": token }),
                json!({}),
                Some("holds a token that never expires"),
            ),
            (
                "a token of an account",
                json!({ "type": token, "metadata": { "annotations": annotations } }),
                json!({}),
                Some("holds a token of service account \"builder\" that never expires"),
            ),
        ] {
            let found = check(&RULE, ("", "Secret", ""), &object, &settings);
            match (&*found, expected) {
                ([], None) => {}
                ([found], Some(message)) => {
                    assert_eq!((&*found.path, found.remedy), ("type", "reject"), "{name}");
                    assert!(found.message.starts_with("Forbidden: "), "{name}: {found:?}");
                    assert!(found.message.ends_with(message), "{name}: {found:?}");
                }
                _ => panic!("{name}: {found:?}"),
            }
        }
    }
}
