//! Nobody makes a Secret for a token that never expires: the API server would fill it in
//! (`pkg/controller/serviceaccount/tokens_controller.go`) and accept it for ever.

use super::{Context, Finding, Remedy, legacy_token::RULE};
use crate::message::Quoted;
use crate::objects::Secret;
use crate::settings::LegacyRule;

/// Reports a Secret for a token. Its data is never looked at.
pub fn check(secret: &Secret, context: &Context, findings: &mut Vec<Finding>) {
    if context.settings.legacy_tokens.rule == LegacyRule::Allow
        || secret.kind.or_empty() != Secret::TOKEN
    {
        return;
    }
    let whose = context
        .service_account
        .map_or(String::new(), |account| format!(" of service account {}", Quoted(account)));
    findings.push(Finding {
        path: "type".to_owned(),
        rule: RULE,
        message: format!(
            "{} makes the API server put a token{whose} into the Secret that never expires; use a \
             projected volume with a serviceAccountToken, or the token API (kubectl create token)",
            Quoted(Secret::TOKEN),
        ),
        remedy: Remedy::Reject,
    });
}
