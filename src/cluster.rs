//! What the cluster says about a Secret: its type and whose it is, never its data.

use crate::message::quoted;
use crate::objects::{SERVICE_ACCOUNT_NAME, TOKEN_SECRET};
use kubewarden_policy_sdk::host_capabilities::kubernetes::{GetResourceRequest, get_resource};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeSet;

/// Gets an object, or says why not.
pub type GetResource = fn(&GetResourceRequest) -> Result<Value, String>;

/// Asks policy-server, which asks the API server and keeps an answer for five seconds.
pub fn from_policy_server(request: &GetResourceRequest) -> Result<Value, String> {
    get_resource(request).map_err(|e| e.to_string())
}

/// Whether a Secret holds a service-account token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holds {
    /// It holds none, or doesn't exist.
    NoToken,
    /// It holds one, of an account whose name may be unknown.
    Token(Option<String>),
}

/// The Secrets of a namespace, each looked up at most once.
#[derive(Debug)]
pub struct Secrets<'c> {
    get_resource: GetResource,
    namespace: &'c str,
    known: RefCell<Vec<(String, Result<Holds, String>)>>,
}

impl<'c> Secrets<'c> {
    pub fn new(get_resource: GetResource, namespace: &'c str) -> Self {
        Self { get_resource, namespace, known: RefCell::default() }
    }

    /// Asks the cluster whether a Secret holds a token.
    ///
    /// # Errors
    /// Why that can't be known.
    pub fn look_up(&self, name: &str) -> Result<Holds, String> {
        let is_known = |it: &&(String, _)| it.0 == name;
        if let Some((_, known)) = self.known.borrow().iter().find(is_known) {
            return known.clone();
        }
        let answer = self.ask(name);
        self.known.borrow_mut().push((name.to_owned(), answer.clone()));
        answer
    }

    fn ask(&self, name: &str) -> Result<Holds, String> {
        let mut fields = BTreeSet::new();
        fields.extend(["metadata.annotations", "metadata.name", "type"].map(str::to_owned));
        let request = GetResourceRequest {
            api_version: "v1".to_owned(),
            kind: "Secret".to_owned(),
            name: name.to_owned(),
            namespace: Some(self.namespace.to_owned()),
            disable_cache: false,
            field_masks: Some(fields),
        };
        // What policy-server says of an object that doesn't exist
        // (`crates/policy-evaluator/src/callback_handler/kubernetes/client.rs`, `get_resource`, in
        // kubewarden/kubewarden-controller).
        let not_found = format!("Cannot find v1/Secret named '{name}'");
        match (self.get_resource)(&request) {
            Ok(secret) => holds(&secret, name),
            Err(error) if error.contains(&not_found) => Ok(Holds::NoToken),
            Err(error) => Err(error),
        }
    }
}

fn holds(secret: &Value, name: &str) -> Result<Holds, String> {
    let metadata = &secret["metadata"];
    if metadata["name"] != name {
        return Err(format!("the answer is not about Secret {}", quoted(name)));
    }
    match secret["type"].as_str() {
        None | Some("") => Err("the answer has no type".to_owned()),
        Some(TOKEN_SECRET) => {
            let account = metadata["annotations"][SERVICE_ACCOUNT_NAME].as_str();
            Ok(Holds::Token(account.map(str::to_owned)))
        }
        Some(_) => Ok(Holds::NoToken),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A cluster with a Secret for each case, named after it.
    fn cluster(request: &GetResourceRequest) -> Result<Value, String> {
        let masks: Vec<_> = request.field_masks.iter().flatten().collect();
        assert_eq!(masks, ["metadata.annotations", "metadata.name", "type"]);
        assert_eq!(request.namespace.as_deref(), Some("payments"));
        let name = &*request.name;
        let secret = |secret_type: &str, annotations: Value| json!({ "type": secret_type, "metadata": { "name": name, "annotations": annotations } });
        match name {
            "token" => Ok(secret(TOKEN_SECRET, Value::Null)),
            "token-of-builder" => {
                Ok(secret(TOKEN_SECRET, json!({ SERVICE_ACCOUNT_NAME: "builder" })))
            }
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
        let secrets = Secrets::new(cluster, "payments");
        for (name, expected) in [
            ("token", Ok(Holds::Token(None))),
            ("token-of-builder", Ok(Holds::Token(Some("builder".to_owned())))),
            ("opaque", Ok(Holds::NoToken)),
            ("missing", Ok(Holds::NoToken)),
            ("other-missing", Err("Cannot find v1/Secret named 'other' inside of …")),
            ("no-type", Err("the answer has no type")),
            ("other", Err("the answer is not about Secret \"other\"")),
            ("list", Err("the answer is not about Secret \"list\"")),
            ("forbidden", Err("not allowed")),
        ] {
            let expected = expected.map_err(str::to_owned);
            assert_eq!(secrets.look_up(name), expected, "{name}");
            assert_eq!(secrets.look_up(name), expected, "{name}, the second time");
        }
    }
}
