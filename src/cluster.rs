//! What the cluster says about a Secret: its type and whose it is, never its data.

use crate::decode::Object;
use crate::message::quoted;
use crate::objects::{KubernetesObject, SERVICE_ACCOUNT_NAME, TOKEN_SECRET};
use kubewarden_policy_sdk::host_capabilities::kubernetes::{GetResourceRequest, get_resource};
use serde_json::value::RawValue;
use std::{cell::RefCell, collections::BTreeMap};

/// Gets an object's JSON, or says why not.
pub type GetResource = fn(&GetResourceRequest) -> Result<Box<RawValue>, String>;

/// Asks policy-server, which asks the API server and keeps an answer for five seconds.
pub fn from_policy_server(request: &GetResourceRequest) -> Result<Box<RawValue>, String> {
    get_resource(request).map_err(|e| e.to_string())
}

/// The Secrets of a namespace, each looked up at most once.
pub struct Secrets<'c> {
    get_resource: GetResource,
    namespace: &'c str,
    known: RefCell<BTreeMap<String, Result<Option<String>, String>>>,
}

impl<'c> Secrets<'c> {
    pub fn new(get_resource: GetResource, namespace: &'c str) -> Self {
        Self { get_resource, namespace, known: RefCell::default() }
    }

    /// The account whose token a Secret holds, empty where that isn't known; `None` for a Secret
    /// without a token, or that doesn't exist. Or why the cluster doesn't tell.
    pub fn look_up(&self, name: &str) -> Result<Option<String>, String> {
        let mut known = self.known.borrow_mut();
        known.entry(name.to_owned()).or_insert_with(|| self.ask(name)).clone()
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
        let secret: Object<KubernetesObject> =
            serde_json::from_str(json.get()).map_err(|e| e.to_string())?;
        match &*secret.secret_type {
            _ if &*secret.metadata.name != name => {
                Err(format!("the answer is not about Secret {}", quoted(name)))
            }
            "" => Err("the answer has no type".to_owned()),
            TOKEN_SECRET => Ok(Some(secret.annotation(SERVICE_ACCOUNT_NAME).unwrap_or_default())),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let get_resource = |request: &_| Ok(to_raw_value(&cluster(request)?).unwrap());
        let secrets = Secrets::new(get_resource, "payments");
        for (name, expected) in [
            ("token", Ok(Some(String::new()))),
            ("token-of-builder", Ok(Some("builder".to_owned()))),
            ("opaque", Ok(None)),
            ("missing", Ok(None)),
            ("other-missing", Err("Cannot find v1/Secret named 'other' inside of …")),
            ("no-type", Err("the answer has no type")),
            ("other", Err("the answer is not about Secret \"other\"")),
            ("list", Err("invalid type: sequence, expected an object at line 1 column 0")),
            ("forbidden", Err("not allowed")),
        ] {
            let expected = expected.map_err(str::to_owned);
            assert_eq!(secrets.look_up(name), expected, "{name}");
            assert_eq!(secrets.look_up(name), expected, "{name}, the second time");
        }
    }
}
