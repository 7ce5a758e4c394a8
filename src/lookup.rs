//! What the cluster says about a Secret: its type and whose it is, never its data.

use crate::json::Quoted;
use crate::objects::Secret;
use kubewarden_policy_sdk::host_capabilities::kubernetes::{GetResourceRequest, get_resource};
use serde_json::Value;

/// Who answers questions about the cluster.
pub trait Cluster {
    /// The members of an object that the request's field mask names.
    ///
    /// # Errors
    /// What the host says.
    fn get(&self, request: &GetResourceRequest) -> Result<Value, String>;
}

/// The policy-server, which asks the API server and keeps an answer for five seconds.
#[derive(Debug)]
pub struct Host;

impl Cluster for Host {
    fn get(&self, request: &GetResourceRequest) -> Result<Value, String> {
        get_resource(request).map_err(|e| e.to_string())
    }
}

/// What is known about a Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// It holds no token.
    NoToken,
    /// It holds a token of a service account, whose name may be unknown.
    Token(Option<String>),
    /// Nobody knows: why.
    Nothing(String),
}

/// Asks for a Secret.
pub fn secret(cluster: &dyn Cluster, namespace: &str, name: &str) -> Known {
    let masks = ["metadata.annotations", "metadata.name", "type"];
    let answer = cluster.get(&GetResourceRequest {
        api_version: "v1".to_owned(),
        kind: "Secret".to_owned(),
        name: name.to_owned(),
        namespace: Some(namespace.to_owned()),
        disable_cache: false,
        field_masks: Some(masks.into_iter().map(str::to_owned).collect()),
    });
    match answer {
        Ok(secret) => understand(&secret, name),
        // What the policy-server says of a Secret that isn't there
        // (`crates/policy-evaluator/src/callback_handler/kubernetes/client.rs`, `get_resource`).
        Err(why) if why.contains(&format!("Cannot find v1/Secret named '{name}'")) => {
            Known::NoToken
        }
        Err(why) => Known::Nothing(why),
    }
}

fn understand(secret: &Value, name: &str) -> Known {
    let named = secret["metadata"]["name"].as_str();
    if named != Some(name) || secret["kind"].as_str().is_some_and(|kind| kind != "Secret") {
        return Known::Nothing(format!("the answer is not about Secret {}", Quoted(name)));
    }
    match secret["type"].as_str() {
        Some(Secret::TOKEN) => Known::Token(
            secret["metadata"]["annotations"][Secret::OWNER].as_str().map(str::to_owned),
        ),
        Some(_) => Known::NoToken,
        None => Known::Nothing("the answer has no type".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    struct Says(Result<Value, &'static str>);

    impl Cluster for Says {
        fn get(&self, request: &GetResourceRequest) -> Result<Value, String> {
            let masks: Vec<_> = request.field_masks.iter().flatten().map(String::as_str).collect();
            assert_eq!(masks, ["metadata.annotations", "metadata.name", "type"]);
            assert_eq!(request.namespace.as_deref(), Some("payments"));
            self.0.clone().map_err(str::to_owned)
        }
    }

    #[test]
    fn what_the_cluster_says() {
        let nothing = |why: &str| Known::Nothing(why.to_owned());
        let other = nothing("the answer is not about Secret \"t\"");
        let named = |more: Value| {
            let mut secret = json!({ "metadata": { "name": "t" } });
            secret.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            Ok(secret)
        };
        let owned = json!({ "name": "t", "annotations": { Secret::OWNER: "builder" } });
        for (answer, expected) in [
            (named(json!({ "type": Secret::TOKEN })), Known::Token(None)),
            (
                named(json!({ "type": Secret::TOKEN, "metadata": owned })),
                Known::Token(Some("builder".to_owned())),
            ),
            (named(json!({ "type": "Opaque", "kind": "Secret" })), Known::NoToken),
            (Err("Host error: Cannot find v1/Secret named 't' inside of …"), Known::NoToken),
            (
                Err("Host error: Cannot find v1/Secret named 'tt' inside of …"),
                nothing("Host error: Cannot find v1/Secret named 'tt' inside of …"),
            ),
            (Err("Host error: not allowed"), nothing("Host error: not allowed")),
            (named(json!({})), nothing("the answer has no type")),
            (named(json!({ "type": 1 })), nothing("the answer has no type")),
            (named(json!({ "type": Secret::TOKEN, "kind": "ConfigMap" })), other.clone()),
            (Ok(json!({ "type": Secret::TOKEN, "metadata": { "name": "u" } })), other.clone()),
            (Ok(json!([])), other.clone()),
            (Ok(Value::Null), other),
        ] {
            assert_eq!(secret(&Says(answer.clone()), "payments", "t"), expected, "{answer:?}");
        }
    }
}
