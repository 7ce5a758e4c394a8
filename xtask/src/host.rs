//! Hosts a module natively, with the crates that policy-server uses.

use crate::replay::Replay;
use anyhow::{Context, Result, anyhow};
use serde::de::DeserializeOwned;
use std::path::Path;
use std::sync::Mutex;
use wapc::WapcHost;
use wasmtime::{Cache, CacheConfig, Config, Engine, OptLevel};
use wasmtime_provider::WasmtimeEngineProviderBuilder;

/// Where compiled modules are kept, so that only the first run of a module compiles it.
const CACHE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/wasmtime-cache");

/// An engine that compiles fast: a module is called a few times only, and this helper's own compiler
/// is built without optimisation.
pub fn config() -> Result<Config> {
    let mut config = Config::new();
    config.cranelift_opt_level(OptLevel::None);
    let mut cache = CacheConfig::new();
    cache.with_directory(CACHE);
    config.cache(Some(Cache::new(cache)?));
    Ok(config)
}

/// A module, instantiated.
pub struct Module(WapcHost);

impl Module {
    /// Compiles and instantiates a module. Its log lines go to stderr, its questions about the
    /// cluster to `replay`.
    pub fn load(path: &Path, replay: Option<Replay>) -> Result<Self> {
        let bytes =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let engine = WasmtimeEngineProviderBuilder::new()
            .engine(Engine::new(&config()?)?)
            .module_bytes(&bytes)
            .build()
            .with_context(|| format!("{} is not a module we can run", path.display()))?;
        let replay = Mutex::new(replay);
        let callback = move |_, binding: &str, namespace: &str, operation: &str, payload: &[u8]| {
            if (binding, namespace) == ("kubewarden", "tracing") {
                eprintln!("{}", String::from_utf8_lossy(payload));
                return Ok(Vec::new());
            }
            let mut replay = replay.lock().map_err(|e| e.to_string())?;
            let replay = replay
                .as_mut()
                .ok_or("access to the cluster is not allowed")?;
            Ok(replay.answer(namespace, operation, payload)?)
        };
        let host = WapcHost::new(Box::new(engine), Some(Box::new(callback)));
        Ok(Self(host.map_err(|e| {
            anyhow!("the module cannot be started: {e}")
        })?))
    }

    /// Calls a function of the module with a JSON payload and reads its JSON answer.
    pub fn call<T: DeserializeOwned>(&self, function: &str, payload: &str) -> Result<T> {
        let answer = self.0.call(function, payload.as_bytes())?;
        serde_json::from_slice(&answer).with_context(|| format!("the answer of {function}"))
    }
}
