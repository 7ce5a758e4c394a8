//! What the cluster says about a Secret: its type and whose it is, never its data.

use crate::json::{self, Lazy, Read, Text, view};
use crate::message::Quoted;
use crate::objects::Secret;
use serde::Serialize;

/// `GetResourceRequest` of the SDK, without the maps in it.
#[derive(Debug, Serialize)]
pub struct GetResource<'r> {
    api_version: &'static str,
    kind: &'static str,
    name: &'r str,
    namespace: &'r str,
    disable_cache: bool,
    field_masks: [&'static str; 3],
}

/// Who answers questions about the cluster.
pub trait Cluster {
    /// The members of an object that the request's field mask names, as JSON.
    ///
    /// # Errors
    /// What the host says.
    fn get(&self, request: &GetResource) -> Result<Vec<u8>, String>;
}

/// The policy-server, which asks the API server and keeps an answer for five seconds.
#[derive(Debug)]
pub struct Host;

impl Cluster for Host {
    /// What the SDK's `get_resource` does, but that it leaves the answer to our own reader.
    fn get(&self, request: &GetResource) -> Result<Vec<u8>, String> {
        let request = serde_json::to_vec(request).map_err(|e| e.to_string())?;
        let answer = wapc_guest::host_call("kubewarden", "kubernetes", "get_resource", &request);
        answer.map_err(|e| e.to_string())
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
    let answer = cluster.get(&GetResource {
        api_version: "v1",
        kind: "Secret",
        name,
        namespace,
        disable_cache: false,
        field_masks: ["metadata.annotations", "metadata.name", "type"],
    });
    match answer {
        Ok(secret) => understand(&secret, name),
        Err(why) if says_missing(&why, name) => Known::NoToken,
        Err(why) => Known::Nothing(why),
    }
}

/// True for what the policy-server says of a Secret that isn't there
/// (`crates/policy-evaluator/src/callback_handler/kubernetes/client.rs`, `get_resource`).
fn says_missing(why: &str, name: &str) -> bool {
    let missing = format!("Cannot find v1/Secret named '{name}'");
    why.char_indices().any(|(at, _)| why.get(at..).is_some_and(|rest| rest.starts_with(&missing)))
}

view! {
    /// A Secret in an answer.
    Answer<'a> {
        /// `Secret`, where the host says so.
        "kind" => kind: Text<'a>,
        /// The name, the annotations.
        "metadata" => metadata: Read<AnswerMetadata<'a>>,
        /// What the Secret is for.
        "type" => secret_type: Text<'a>,
    }
}

view! {
    /// `ObjectMeta` in an answer.
    AnswerMetadata<'a> {
        /// The name.
        "name" => name: Text<'a>,
        /// The annotation that names the service account.
        "annotations" => annotations: Lazy<'a>,
    }
}

fn understand(answer: &[u8], name: &str) -> Known {
    let other = || Known::Nothing(format!("the answer is not about Secret {}", Quoted(name)));
    let Ok(answer) = std::str::from_utf8(answer) else { return other() };
    let Ok(Read::Is(secret)) = json::read::<Read<Answer>>(answer) else { return other() };
    let Some(metadata) = secret.metadata.get() else { return other() };
    let is_secret = secret.kind.is_absent() || secret.kind.or_empty() == "Secret";
    if metadata.name.or_empty() != name || !is_secret {
        return other();
    }
    match secret.secret_type.or_empty() {
        "" => Known::Nothing("the answer has no type".to_owned()),
        Secret::TOKEN => Known::Token(metadata.annotations.text_at(Secret::OWNER)),
        _ => Known::NoToken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kubewarden_policy_sdk::host_capabilities::kubernetes::GetResourceRequest;
    use serde_json::{Value, json};

    struct Says(Result<Value, &'static str>);

    impl Cluster for Says {
        fn get(&self, request: &GetResource) -> Result<Vec<u8>, String> {
            // What the host would read.
            let ours = serde_json::to_value(request).unwrap();
            let sdk: GetResourceRequest = serde_json::from_value(ours.clone()).unwrap();
            assert_eq!(serde_json::to_value(&sdk).unwrap(), ours);
            let masks: Vec<_> = sdk.field_masks.iter().flatten().map(String::as_str).collect();
            assert_eq!(masks, ["metadata.annotations", "metadata.name", "type"]);
            assert_eq!(sdk.namespace.as_deref(), Some("payments"));
            self.0.as_ref().map(|it| it.to_string().into_bytes()).map_err(|e| (*e).to_owned())
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
