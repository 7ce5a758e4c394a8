//! The file of `kwctl run --replay-host-capabilities-interactions`: what a policy asked of the
//! cluster, and what it was told.

use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::{BTreeSet, VecDeque};
use std::path::Path;

#[derive(Deserialize)]
struct Exchange {
    request: String,
    response: Response,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Response {
    Success { payload: String },
    Error { message: String },
}

/// What a policy asks of the cluster.
#[derive(Debug, PartialEq, Eq, Deserialize)]
enum Request {
    KubernetesGetResource(GetResource),
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct GetResource {
    api_version: String,
    kind: String,
    name: String,
    namespace: Option<String>,
    disable_cache: bool,
    field_masks: Option<BTreeSet<String>>,
}

/// Recorded exchanges, in the order in which they have to come.
pub struct Replay(VecDeque<Exchange>);

impl Replay {
    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self> {
        let file = std::fs::File::open(path).with_context(|| {
            format!(
                "Cannot open host capabilities interactions file {}",
                path.display()
            )
        })?;
        let exchanges = yaml_serde::from_reader(file)
            .with_context(|| format!("cannot deserialize contents of {}", path.display()))?;
        Ok(Self(exchanges))
    }

    /// What the host answered when it was recorded.
    pub fn answer(
        &mut self,
        namespace: &str,
        operation: &str,
        payload: &[u8],
    ) -> Result<Vec<u8>, String> {
        if (namespace, operation) != ("kubernetes", "get_resource") {
            return Err(format!("{namespace}/{operation} is not replayed"));
        }
        let asked = serde_json::from_slice(payload).map_err(|e| e.to_string())?;
        let asked = Request::KubernetesGetResource(asked);
        let exchange = self
            .0
            .pop_front()
            .ok_or("the list of recorded responses is empty")?;
        let recorded = yaml_serde::from_str(&exchange.request).map_err(|e| e.to_string())?;
        if asked != recorded {
            return Err(format!(
                "Replay error: unexpected request. Was expecting {recorded:?}, got {asked:?} instead"
            ));
        }
        match exchange.response {
            Response::Success { payload } => Ok(payload.into_bytes()),
            Response::Error { message } => Err(message),
        }
    }
}
