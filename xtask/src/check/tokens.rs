//! The tokens that an object asks for.

use super::cluster_defaults::is_token_volume;
use super::objects::elements;
use crate::admission::AdmissionRequest;
use serde_json::Value;

/// A token: what is asked for, and what comes out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token {
    /// None: the API server's own.
    pub audience: Option<String>,
    pub seconds: i64,
    /// None where nothing comes out, or nobody knows.
    pub granted: Option<i64>,
}

/// The default of each `expirationSeconds`.
const DEFAULT_SECONDS: i64 = 3600;

/// The tokens of a request's object, with their lifetimes in the object that came out.
pub fn of(request: &AdmissionRequest, result: Option<&AdmissionRequest>) -> Vec<Token> {
    let tokens = |request: &AdmissionRequest| {
        let object = request.object.as_ref().unwrap_or(&Value::Null);
        match &*request.kind.kind {
            "Pod" => pod_tokens(object),
            "CSIDriver" => elements(&object["spec"], "tokenRequests")
                .map(token)
                .collect(),
            "TokenRequest" => {
                let mut token = token(&object["spec"]);
                token.audience = object.pointer("/spec/audiences/0").and_then(text);
                vec![token]
            }
            _ => Vec::new(),
        }
    };
    let mut asked = tokens(request);
    let granted = result.map(tokens).unwrap_or_default();
    for (token, granted) in asked.iter_mut().zip(granted) {
        token.granted = Some(granted.seconds);
    }
    asked
}

fn pod_tokens(pod: &Value) -> Vec<Token> {
    let volumes = elements(&pod["spec"], "volumes");
    volumes.flat_map(volume_tokens).collect()
}

fn volume_tokens(volume: &Value) -> impl Iterator<Item = Token> {
    let sources = elements(&volume["projected"], "sources");
    sources
        .filter_map(|source| source.get("serviceAccountToken"))
        .map(token)
}

/// The tokens of a running Pod that its workload doesn't have: a webhook injected them.
pub fn injected(pod: &Value, of_its_workload: &[Token]) -> Vec<Token> {
    let volumes = elements(&pod["spec"], "volumes").filter(|volume| !is_token_volume(volume));
    let tokens = volumes.flat_map(volume_tokens);
    let is_known = |token: &Token| {
        of_its_workload
            .iter()
            .any(|known| known.audience == token.audience)
    };
    tokens.filter(|token| !is_known(token)).collect()
}

fn token(source: &Value) -> Token {
    let seconds = source["expirationSeconds"]
        .as_i64()
        .unwrap_or(DEFAULT_SECONDS);
    Token {
        audience: text(&source["audience"]),
        seconds,
        granted: None,
    }
}

fn text(value: &Value) -> Option<String> {
    value
        .as_str()
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::super::objects::POD;
    use super::super::workloads::author;
    use super::*;
    use serde_json::json;

    #[test]
    fn tokens() {
        let volume = |name: &str, token: Value| {
            json!({ "name": name, "projected": { "sources": [
                { "configMap": {} }, { "serviceAccountToken": token },
            ] } })
        };
        let pod = |seconds: i64| {
            let vault = json!({ "audience": "vault", "expirationSeconds": seconds });
            json!({ "spec": { "volumes": [
                volume("a", json!({ "audience": "" })), volume("b", vault), { "name": "c" },
            ] } })
        };
        let request =
            |object| AdmissionRequest::create(&POD.resource, Some("n"), &author(), object);
        let token = |audience: Option<&str>, seconds, granted| Token {
            audience: audience.map(str::to_owned),
            seconds,
            granted,
        };
        assert_eq!(
            of(&request(pod(86400)), Some(&request(pod(3600)))),
            [
                token(None, 3600, Some(3600)),
                token(Some("vault"), 86400, Some(3600))
            ]
        );
        assert_eq!(
            of(&request(pod(86400)), None),
            [token(None, 3600, None), token(Some("vault"), 86400, None)]
        );
        assert_eq!(
            injected(&pod(7200), &[token(None, 3600, None)]),
            [token(Some("vault"), 7200, None)]
        );
        for odd in [
            json!(1),
            json!({ "spec": 1 }),
            json!({ "spec": { "volumes": [1, {}] } }),
        ] {
            assert_eq!(of(&request(odd), None), []);
        }
    }
}
