//! What a legacy token says of itself. It is never verified, and goes nowhere.

use crate::decode::decode_object;
use crate::objects::{SERVICE_ACCOUNT_NAME, Secret};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;

/// The private claims of a token in a Secret (`pkg/serviceaccount/legacy.go`,
/// `legacyPrivateClaims`).
#[derive(Debug, Default, Deserialize)]
pub struct LegacyClaims {
    #[serde(rename = "kubernetes.io/serviceaccount/namespace", default)]
    pub namespace: String,
    #[serde(rename = "kubernetes.io/serviceaccount/secret.name", default)]
    pub secret_name: String,
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.name", default)]
    pub service_account_name: String,
}

impl Secret<'_> {
    /// The service account whose token the Secret holds: of one of Kubernetes' type the annotation
    /// says it, else the token's own claims. Empty where none does.
    pub fn service_account(&self) -> String {
        if self.has_token_type() {
            let name = self.metadata.annotation(SERVICE_ACCOUNT_NAME);
            return name.unwrap_or_default();
        }
        let claims = self.legacy_claims();
        claims.map_or(String::new(), |claims| claims.service_account_name)
    }

    /// The claims of the token in the Secret; `None` for what isn't a JWT.
    pub fn legacy_claims(&self) -> Option<LegacyClaims> {
        let decoded;
        let token = match self.written_token() {
            (data, "") => {
                decoded = STANDARD.decode(data).ok()?;
                std::str::from_utf8(&decoded).ok()?
            }
            // The API server lets `stringData` overwrite `data`
            // (`pkg/apis/core/v1/conversion.go`, `Convert_v1_Secret_To_core_Secret`).
            (_, string_data) => string_data,
        };
        let claims = token.split('.').nth(1)?;
        // Go's decoder skips line breaks (`encoding/base64`), and so the API server does.
        let claims: String = claims
            .chars()
            .filter(|c| !c.is_ascii_whitespace())
            .collect();
        let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
        decode_object(std::str::from_utf8(&claims).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Object;
    use serde_json::{Value, json};

    /// A token with these claims; nobody signed it.
    pub fn token(claims: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!(
            "{}.{}.c2ln",
            encode(&json!({ "alg": "RS256" })),
            encode(claims)
        )
    }

    fn claims_of(secret: &Value) -> Option<(String, String, String)> {
        let secret = secret.to_string();
        let secret: Object<Secret> = serde_json::from_str(&secret).unwrap();
        let claims = secret.legacy_claims()?;
        Some((
            claims.namespace,
            claims.secret_name,
            claims.service_account_name,
        ))
    }

    #[test]
    fn claims_of_a_token_in_a_secret() {
        let claims = json!({
            "iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:shop:builder",
            "kubernetes.io/serviceaccount/namespace": "shop",
            "kubernetes.io/serviceaccount/secret.name": "ci-token",
            "kubernetes.io/serviceaccount/service-account.name": "builder",
        });
        let token = token(&claims);
        let broken_line = format!("{}\n{}", &token[..40], &token[40..]);
        let encode = |token: &str| STANDARD.encode(token);
        let all = ["shop", "ci-token", "builder"];
        for (name, secret, expected) in [
            (
                "in data",
                json!({ "data": { "token": encode(&token) } }),
                Some(all),
            ),
            (
                "in stringData",
                json!({ "stringData": { "token": token } }),
                Some(all),
            ),
            (
                "in stringData, which counts",
                json!({ "data": { "token": "eA==" }, "stringData": { "token": token } }),
                Some(all),
            ),
            (
                "with a line break",
                json!({ "data": { "token": encode(&broken_line) } }),
                Some(all),
            ),
            (
                "other claims",
                json!({ "stringData": { "token": "a.e30.c" } }),
                Some([""; 3]),
            ),
            (
                "under another key",
                json!({ "data": { "jwt": encode(&token) } }),
                None,
            ),
            ("no base64", json!({ "data": { "token": "%" } }), None),
            (
                "not UTF-8",
                json!({ "data": { "token": STANDARD.encode([255, 46, 255]) } }),
                None,
            ),
            (
                "no JWT",
                json!({ "data": { "token": encode("secret") } }),
                None,
            ),
            (
                "claims that are no JSON",
                json!({ "stringData": { "token": "a.eA.c" } }),
                None,
            ),
            (
                "claims that are no text",
                json!({ "stringData": { "token": "a.W10.c" } }),
                None,
            ),
        ] {
            let expected = expected.map(|all| all.map(str::to_owned).into());
            assert_eq!(claims_of(&secret), expected, "{name}");
        }
    }
}
