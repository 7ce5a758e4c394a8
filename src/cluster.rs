//! What the cluster says about a Secret: its type and whose it is, never its data.

use crate::decode::decode_object;
use crate::message::quote;
use crate::objects::{LONGEST_NAME, Secret};
use kubewarden_policy_sdk::host_capabilities::kubernetes::{GetResourceRequest, get_resource};
use serde_json::value::RawValue;
use std::{cell::RefCell, collections::BTreeMap};

/// Gets an object's JSON, or says why not.
pub type GetResource = fn(&GetResourceRequest) -> Result<Box<RawValue>, String>;

/// Asks policy-server, which asks the API server and keeps an answer for five seconds.
pub fn from_policy_server(request: &GetResourceRequest) -> Result<Box<RawValue>, String> {
    get_resource(request).map_err(|e| e.to_string())
}

/// The most Secrets that are looked up for one request: far more than a Pod refers to, and few enough
/// for the API server.
const MOST_LOOK_UPS: usize = 200;

/// Why the cluster doesn't tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookUpError {
    Failed(String),
    /// There were too many before.
    TooMany {
        most: usize,
    },
}

/// The Secrets of a namespace, each looked up at most once.
pub struct Secrets<'c> {
    get_resource: GetResource,
    namespace: &'c str,
    known: RefCell<BTreeMap<String, Result<Option<String>, LookUpError>>>,
}

impl<'c> Secrets<'c> {
    pub fn new(get_resource: GetResource, namespace: &'c str) -> Self {
        Self {
            get_resource,
            namespace,
            known: RefCell::default(),
        }
    }

    /// The account whose token a Secret holds, empty where that isn't known; `None` for a Secret
    /// without a token, or that doesn't exist. Or why the cluster doesn't tell.
    pub fn look_up(&self, name: &str) -> Result<Option<String>, LookUpError> {
        if name.len() > LONGEST_NAME {
            return Ok(None); // No Secret has such a name, and it would be sent to the API server.
        }
        let mut known = self.known.borrow_mut();
        if let Some(answer) = known.get(name) {
            return answer.clone();
        }
        if known.len() >= MOST_LOOK_UPS {
            return Err(LookUpError::TooMany {
                most: MOST_LOOK_UPS,
            });
        }
        let answer = self.ask(name).map_err(LookUpError::Failed);
        known.insert(name.to_owned(), answer.clone());
        answer
    }

    fn ask(&self, name: &str) -> Result<Option<String>, String> {
        let fields = ["metadata.annotations", "metadata.name", "type"].map(str::to_owned);
        let request = GetResourceRequest {
            api_version: "v1".to_owned(),
            kind: "Secret".to_owned(),
            name: name.to_owned(),
            namespace: Some(self.namespace.to_owned()),
            disable_cache: false,
            field_masks: Some(fields.into()),
        };
        // What policy-server says of an object that doesn't exist
        // (`crates/policy-evaluator/src/callback_handler/kubernetes/client.rs`, `get_resource`, in
        // kubewarden/kubewarden-controller).
        let not_found = format!("Cannot find v1/Secret named '{name}'");
        let json = match (self.get_resource)(&request) {
            Err(error) if error.contains(&not_found) => return Ok(None),
            json => json?,
        };
        let secret: Secret = decode_object(json.get()).map_err(|e| e.message)?;
        if &*secret.metadata.name != name {
            return Err(format!("the answer is not about Secret {}", quote(name)));
        }
        if secret.r#type.is_empty() {
            return Err("the answer has no type".to_owned());
        }
        Ok(secret.has_token_type().then(|| secret.service_account()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::{SERVICE_ACCOUNT_NAME, TOKEN_SECRET};
    use serde_json::value::to_raw_value;
    use serde_json::{Value, json};

    /// A cluster with a Secret for each case, named after it.
    fn cluster(request: &GetResourceRequest) -> Result<Value, String> {
        let masks: Vec<_> = request.field_masks.iter().flatten().collect();
        assert_eq!(masks, ["metadata.annotations", "metadata.name", "type"]);
        assert_eq!(request.namespace.as_deref(), Some("payments"));
        let name = &*request.name;
        let secret = |secret_type: &str, annotations: Value| json!({ "type": secret_type, "metadata": { "name": name, "annotations": annotations } });
        match name {
            "token" => Ok(secret(TOKEN_SECRET, Value::Null)),
            "token-of-builder" => Ok(secret(
                TOKEN_SECRET,
                json!({ SERVICE_ACCOUNT_NAME: "builder" }),
            )),
            "opaque" => Ok(secret("Opaque", json!({}))),
            "missing" => {
                Err("Host error: Cannot find v1/Secret named 'missing' inside of …".to_owned())
            }
            "other-missing" => Err("Cannot find v1/Secret named 'other' inside of …".to_owned()),
            "no-type" => Ok(json!({ "metadata": { "name": name } })),
            "other" => Ok(json!({ "type": TOKEN_SECRET, "metadata": { "name": "another" } })),
            "list" => Ok(json!([])),
            _ => Err("not allowed".to_owned()),
        }
    }

    #[test]
    fn what_the_cluster_says() {
        let get_resource = |request: &_| Ok(to_raw_value(&cluster(request)?).unwrap());
        let secrets = Secrets::new(get_resource, "payments");
        for (name, expected) in [
            ("token", Ok(Some(String::new()))),
            ("token-of-builder", Ok(Some("builder".to_owned()))),
            ("opaque", Ok(None)),
            ("missing", Ok(None)),
            (
                "other-missing",
                Err("Cannot find v1/Secret named 'other' inside of …"),
            ),
            ("no-type", Err("the answer has no type")),
            ("other", Err("the answer is not about Secret \"other\"")),
            ("list", Err("invalid type: sequence, expected an object")),
            ("forbidden", Err("not allowed")),
        ] {
            let expected = expected.map_err(|error| LookUpError::Failed(error.to_owned()));
            assert_eq!(secrets.look_up(name), expected, "{name}");
            assert_eq!(secrets.look_up(name), expected, "{name}, the second time");
        }
    }

    #[test]
    fn names_that_no_secret_has_are_not_looked_up() {
        let secrets = Secrets::new(|_| Err("asked".to_owned()), "payments");
        for (length, expected) in [
            (253, Err(LookUpError::Failed("asked".to_owned()))),
            (254, Ok(None)),
            (100_000, Ok(None)),
        ] {
            assert_eq!(secrets.look_up(&"n".repeat(length)), expected, "{length}");
        }
    }

    #[test]
    fn there_is_a_limit_to_look_ups() {
        let get_resource = |request: &_| Ok(to_raw_value(&cluster(request)?).unwrap());
        let secrets = Secrets::new(get_resource, "payments");
        for i in 0..MOST_LOOK_UPS {
            let answer = secrets.look_up(&format!("forbidden-{i}"));
            assert_eq!(
                answer,
                Err(LookUpError::Failed("not allowed".to_owned())),
                "{i}"
            );
        }
        assert_eq!(
            secrets.look_up("opaque"),
            Err(LookUpError::TooMany { most: 200 })
        );
        let known = secrets.look_up("forbidden-0");
        assert_eq!(
            known,
            Err(LookUpError::Failed("not allowed".to_owned())),
            "a known one"
        );
    }
}
