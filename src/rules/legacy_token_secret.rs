//! No Secret makes Kubernetes mint, or take again, a token that never expires.
//!
//! Fields: `type` of a Secret; on an update the annotations that name its service account, the label
//! `kubernetes.io/legacy-token-invalid-since`, and whether the key `token` changes. Of a Secret of
//! another type the claims of a JWT in the key `token`. What is read of the data goes nowhere.
//!
//! Allowed: any Secret that isn't of type `kubernetes.io/service-account-token`, unless it brings
//! back a legacy token: the API server compares such a token only with the Secret that its claims
//! name, whatever that Secret's type (`pkg/serviceaccount/legacy.go`). Of the type, any update that
//! leaves account, uid, token and that label as they are: the tokens controller mints a new token
//! whenever it finds none (`pkg/controller/serviceaccount/tokens_controller.go`). Its own updates,
//! which fill in what is absent, are allowed.
//!
//! Mutation: none.

use crate::field_path::FieldPath;
use crate::message::{name_owner, quote};
use crate::objects::{
    INVALID_SINCE, SERVICE_ACCOUNT_NAME, SERVICE_ACCOUNT_UID, Secret, TOKEN_SECRET,
};
use crate::request::Subject;
use crate::review::Review;
use crate::rules::{Context, Remedy, Rule, Violation};
use crate::settings::LegacyRule;

pub const RULE: Rule = Rule {
    name: "legacy-token-secret",
    check,
};

/// What people can do where an update is refused.
const WAY_OUT: &str = "apply the Secret instead of replacing it, or let the operator exempt the \
                       service account";

fn check<'r>(review: &'r Review, context: &'r Context) -> Vec<Violation<'r>> {
    let Subject::Secret { new, old } = review.subject else {
        return Vec::new();
    };
    if context.settings.legacy_tokens.rule == LegacyRule::Allow {
        return Vec::new();
    }
    match old {
        Some(old) if new.has_token_type() && old.has_token_type() => check_update(new, old),
        _ if new.has_token_type() => vec![forbid_type(review.service_account)],
        _ => Vec::from_iter(check_revival(new, old.as_ref(), review)),
    }
}

fn forbid_type(account: &str) -> Violation<'static> {
    let message = format!(
        "Forbidden: use a projected volume with a serviceAccountToken, or the token API (kubectl create \
         token): a Secret of type {TOKEN_SECRET} holds a token{} that never expires",
        name_owner(account)
    );
    Violation::new(FieldPath::new(&["type"]), message, Remedy::Reject)
}

/// The updates with which Kubernetes mints a token, or takes one again that it had refused.
fn check_update(new: &Secret, old: &Secret) -> Vec<Violation<'static>> {
    let checks = [
        check_account(new, old),
        check_uid(new, old),
        check_token(new, old),
    ];
    let label = check_label(new, old);
    checks.into_iter().chain([label]).flatten().collect()
}

fn check_account(new: &Secret, old: &Secret) -> Option<Violation<'static>> {
    let name_before = old.service_account();
    let name = new.service_account();
    if name == name_before {
        return None;
    }
    let path = FieldPath::new(&["metadata"])
        .child("annotations")
        .key(SERVICE_ACCOUNT_NAME);
    let message = format!(
        "Invalid value: {}: must not change from {}: Kubernetes mints a token that never expires for \
         the account that it names; {WAY_OUT}",
        quote(&name),
        quote(&name_before)
    );
    Some(Violation::new(path, message, Remedy::Reject))
}

/// The tokens controller sets the first uid.
fn check_uid(new: &Secret, old: &Secret) -> Option<Violation<'static>> {
    let uid_before = old
        .metadata
        .annotation(SERVICE_ACCOUNT_UID)
        .unwrap_or_default();
    let uid = new
        .metadata
        .annotation(SERVICE_ACCOUNT_UID)
        .unwrap_or_default();
    if uid_before.is_empty() || uid == uid_before {
        return None;
    }
    let path = FieldPath::new(&["metadata"])
        .child("annotations")
        .key(SERVICE_ACCOUNT_UID);
    let message = format!(
        "Invalid value: {}: must not change from {}: it binds the token to one account; {WAY_OUT}",
        quote(&uid),
        quote(&uid_before)
    );
    Some(Violation::new(path, message, Remedy::Reject))
}

/// The tokens controller fills in the first token.
fn check_token(new: &Secret, old: &Secret) -> Option<Violation<'static>> {
    if !old.has_token() || new.written_token() == old.written_token() {
        return None;
    }
    let path = FieldPath::new(&["data"]).key("token");
    let message = format!(
        "Forbidden: must not change: without it Kubernetes mints a new token that never expires, and \
         another one may be a token that was refused; {WAY_OUT}"
    );
    Some(Violation::new(path, message, Remedy::Reject))
}

/// Kubernetes' cleaner sets the label.
fn check_label(new: &Secret, old: &Secret) -> Option<Violation<'static>> {
    let is_invalid = |secret: &Secret| {
        secret
            .metadata
            .label(INVALID_SINCE)
            .is_some_and(|it| !it.is_empty())
    };
    if !is_invalid(old) || is_invalid(new) {
        return None;
    }
    let path = FieldPath::new(&["metadata"])
        .child("labels")
        .key(INVALID_SINCE);
    let message = "Forbidden: must not be taken off: with it Kubernetes refuses a token that nobody \
                   used for a year; delete the Secret, or let the operator exempt the service account";
    Some(Violation::new(path, message.to_owned(), Remedy::Reject))
}

/// A Secret of another type in which the API server would find a legacy token again.
fn check_revival(
    new: &Secret,
    old: Option<&Secret>,
    review: &Review,
) -> Option<Violation<'static>> {
    if old.is_some_and(|old| old.written_token() == new.written_token()) {
        return None;
    }
    let claims = new.legacy_claims()?;
    let request_name = &*review.request.name;
    let name = if request_name.is_empty() {
        &*new.metadata.name
    } else {
        request_name
    };
    if name.is_empty()
        || claims.secret_name != name
        || claims.namespace != *review.request.namespace
    {
        return None;
    }
    let message = format!(
        "Forbidden: it holds a token{} that never expires and that names Secret {}: with it the API \
         server accepts the token again; give the Secret another name, or use a token of the token API \
         (kubectl create token)",
        name_owner(&claims.service_account_name),
        quote(name)
    );
    Some(Violation::new(
        FieldPath::new(&["data"]).key("token"),
        message,
        Remedy::Reject,
    ))
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::tests::{Found, check_secret};
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use serde_json::{Value, json};

    const TYPE: &str = "kubernetes.io/service-account-token";
    const TOKEN: &str = "ZXlKaGJHY2k=";

    /// What the rule says: the paths of its violations, without what they have in common.
    fn paths(found: &[Found]) -> Vec<&str> {
        for it in found {
            assert_eq!(it.remedy, "reject", "{it:?}");
        }
        found.iter().map(|it| &*it.path).collect()
    }

    #[test]
    fn secrets_that_are_made_for_tokens() {
        let allow = json!({ "legacyTokens": { "rule": "Allow" } });
        let annotations = json!({ "kubernetes.io/service-account.name": "builder" });
        for (name, object, settings, expected) in [
            ("another type", json!({ "type": "Opaque" }), json!({}), None),
            ("no type", json!({}), json!({}), None),
            ("allowed", json!({ "type": TYPE }), allow, None),
            (
                "a token",
                json!({ "type": TYPE }),
                json!({}),
                Some("holds a token that never expires"),
            ),
            (
                "a token of an account",
                json!({ "type": TYPE, "metadata": { "annotations": annotations } }),
                json!({}),
                Some("holds a token of service account \"builder\" that never expires"),
            ),
        ] {
            let found = check_secret(&RULE, &object, &Value::Null, &settings);
            assert_eq!(
                paths(&found),
                Vec::from_iter(expected.map(|_| "type")),
                "{name}"
            );
            for (it, message) in found.iter().zip(expected) {
                assert!(it.message.starts_with("Forbidden: "), "{name}: {it:?}");
                assert!(it.message.ends_with(message), "{name}: {it:?}");
            }
        }
    }

    const NAME: &str = "kubernetes.io/service-account.name";
    const UID: &str = "kubernetes.io/service-account.uid";
    const INVALID: &str = "kubernetes.io/legacy-token-invalid-since";
    const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";

    /// A token Secret as Kubernetes keeps it, changed by a JSON merge patch.
    fn secret(tweak: &Value) -> Value {
        let mut secret = json!({
            "type": TYPE,
            "metadata": {
                "name": "ci-token", "labels": {},
                "annotations": { NAME: "builder", UID: "6f1c" },
            },
            "data": { "ca.crt": "Q0E=", "namespace": "c2hvcA==", "token": TOKEN },
        });
        json_patch::merge(&mut secret, tweak);
        secret
    }

    fn annotated(annotations: &Value) -> Value {
        json!({ "metadata": { "annotations": annotations } })
    }

    fn labelled(labels: &Value) -> Value {
        json!({ "metadata": { "labels": labels } })
    }

    #[test]
    fn updates_that_mint_or_revive_a_token() {
        const NAME_PATH: &str = "metadata.annotations[kubernetes.io/service-account.name]";
        const UID_PATH: &str = "metadata.annotations[kubernetes.io/service-account.uid]";
        const LABEL_PATH: &str = "metadata.labels[kubernetes.io/legacy-token-invalid-since]";
        let unchanged = json!({});
        let opaque = json!({ "type": "Opaque" });
        let invalid = labelled(&json!({ INVALID: "2026-01-01" }));
        let attack = json!({
            "metadata": { "annotations": { NAME: "admin", UID: null } }, "data": { "token": null },
        });
        for (name, old, new, expected) in [
            (
                "another account",
                &unchanged,
                annotated(&json!({ NAME: "admin" })),
                &[NAME_PATH][..],
            ),
            (
                "no account",
                &unchanged,
                annotated(&json!({ NAME: null })),
                &[NAME_PATH],
            ),
            (
                "an account that isn't text",
                &unchanged,
                annotated(&json!({ NAME: 1 })),
                &[NAME_PATH],
            ),
            (
                "another uid",
                &unchanged,
                annotated(&json!({ UID: "7" })),
                &[UID_PATH],
            ),
            (
                "no uid",
                &unchanged,
                annotated(&json!({ UID: null })),
                &[UID_PATH],
            ),
            (
                "an empty uid",
                &unchanged,
                annotated(&json!({ UID: "" })),
                &[UID_PATH],
            ),
            (
                "an empty token",
                &unchanged,
                json!({ "data": { "token": "" } }),
                &["data[token]"],
            ),
            (
                "no token",
                &unchanged,
                json!({ "data": { "token": null } }),
                &["data[token]"],
            ),
            (
                "no data",
                &unchanged,
                json!({ "data": null }),
                &["data[token]"],
            ),
            (
                "another token",
                &unchanged,
                json!({ "data": { "token": "eA==" } }),
                &["data[token]"],
            ),
            (
                "another token, as text",
                &unchanged,
                json!({ "stringData": { "token": "x" } }),
                &["data[token]"],
            ),
            (
                "the whole attack",
                &unchanged,
                attack,
                &["data[token]", NAME_PATH, UID_PATH],
            ),
            ("no label", &invalid, unchanged.clone(), &[LABEL_PATH]),
            (
                "another type before, which Kubernetes doesn't allow",
                &opaque,
                unchanged.clone(),
                &["type"],
            ),
            (
                "an empty label",
                &invalid,
                labelled(&json!({ INVALID: "" })),
                &[LABEL_PATH],
            ),
            (
                "kubectl replace, and what does the same",
                &unchanged,
                json!({ "metadata": { "annotations": { UID: null } }, "data": null }),
                &["data[token]", UID_PATH],
            ),
        ] {
            let found = check_secret(&RULE, &secret(&new), &secret(old), &json!({}));
            let mut found = paths(&found);
            found.sort_unstable();
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn updates_that_go_through() {
        let unfilled = json!({
            "metadata": { "annotations": { UID: null } },
            "data": { "token": null, "ca.crt": null, "namespace": null },
        });
        let empty = json!({ "data": { "token": "" } });
        let unchanged = json!({});
        for (name, old, new) in [
            (
                "nothing changes, as kubectl apply of a manifest does",
                &unchanged,
                json!({}),
            ),
            ("the controller fills in all", &unfilled, json!({})),
            ("the controller fills an empty token", &empty, json!({})),
            (
                "the controller renews the CA",
                &unchanged,
                json!({ "data": { "ca.crt": "WA==" } }),
            ),
            (
                "the API server's label",
                &unchanged,
                labelled(&json!({ LAST_USED: "2026-01-01" })),
            ),
            (
                "the cleaner's label",
                &unchanged,
                labelled(&json!({ INVALID: "2026-01-01" })),
            ),
            (
                "people's labels",
                &unchanged,
                labelled(&json!({ "team": "a" })),
            ),
            (
                "people's annotations",
                &unchanged,
                annotated(&json!({ "note": "a" })),
            ),
            (
                "people's data",
                &unchanged,
                json!({ "data": { "extra": "eA==" } }),
            ),
            (
                "server-side apply, which owns what it wrote",
                &unchanged,
                json!({ "metadata": { "managedFields": [{ "manager": "kubectl" }] } }),
            ),
        ] {
            let found = check_secret(&RULE, &secret(&new), &secret(old), &json!({}));
            assert!(found.is_empty(), "{name}: {found:?}");
        }
    }

    #[test]
    fn what_people_are_told_to_do_instead() {
        let replaced = json!({ "data": null });
        let found = check_secret(&RULE, &secret(&replaced), &secret(&json!({})), &json!({}));
        assert!(
            found[0]
                .message
                .contains("apply the Secret instead of replacing it"),
            "{found:?}"
        );
        assert!(
            found[0].message.contains("exempt the service account"),
            "{found:?}"
        );
    }

    /// An Opaque Secret with a legacy token that names this namespace and Secret.
    fn opaque(namespace: &str, secret: &str) -> Value {
        let claims = json!({
            "kubernetes.io/serviceaccount/namespace": namespace,
            "kubernetes.io/serviceaccount/secret.name": secret,
            "kubernetes.io/serviceaccount/service-account.name": "builder",
        });
        let token = format!("eyJ9.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let data = json!({ "token": STANDARD.encode(token) });
        json!({ "type": "Opaque", "metadata": { "name": "app" }, "data": data })
    }

    #[test]
    fn secrets_that_bring_a_token_back() {
        let own = || opaque("payments", "app");
        let plain = json!({ "type": "Opaque", "data": { "token": "eA==" } });
        let mut labelled = own();
        labelled["metadata"]["labels"] = json!({ "team": "a" });
        let mut legacy_type = own();
        legacy_type["type"] = json!("example.com/any");
        for (name, object, old, expected) in [
            ("its own name", own(), Value::Null, true),
            ("any type", legacy_type, Value::Null, true),
            ("by an update", own(), plain.clone(), true),
            ("it was there before", labelled, own(), false),
            (
                "another name",
                opaque("payments", "other"),
                Value::Null,
                false,
            ),
            (
                "another namespace",
                opaque("shop", "app"),
                Value::Null,
                false,
            ),
            ("no names", opaque("", ""), Value::Null, false),
            ("no token", plain, Value::Null, false),
        ] {
            let found = check_secret(&RULE, &object, &old, &json!({}));
            assert_eq!(
                paths(&found),
                if expected {
                    vec!["data[token]"]
                } else {
                    vec![]
                },
                "{name}"
            );
            for it in found {
                assert!(
                    it.message.contains("names Secret \"app\""),
                    "{name}: {it:?}"
                );
            }
        }
    }
}
