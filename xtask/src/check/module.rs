//! The module that is asked, and what it is told of a cluster that isn't there.

use crate::host::{self, Host, Module};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Secrets by namespace and name.
type Secrets = BTreeMap<(String, String), Value>;

/// Starts the module of a file; else the one in this program, if there is one; else the project's own.
pub fn start(file: Option<&Path>, embedded: Option<&[u8]>, cluster: impl Host) -> Result<Module> {
    let config = match embedded {
        Some(_) => host::uncached_config(),
        None => host::config()?,
    };
    match (file, embedded) {
        (Some(path), _) => Module::start(&read_module(path)?, &config, cluster),
        (None, Some(module)) => Module::start(module, &config, cluster),
        (None, None) => Module::start(&read_module(&built_module()?)?, &config, cluster),
    }
}

fn read_module(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The project's own module, built where it isn't there yet.
fn built_module() -> Result<PathBuf> {
    const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let module = Path::new(ROOT).join("policy.wasm");
    if !module.exists() {
        eprintln!("building the module");
        let make = std::process::Command::new("make")
            .args(["--no-print-directory", "--directory", ROOT, "policy.wasm"])
            .stdout(std::io::stderr())
            .status()?;
        ensure!(make.success(), "policy.wasm could not be built");
    }
    Ok(module)
}

/// What the module is told: of Secrets those of the input. Its log lines go nowhere.
pub fn cluster(secrets: Secrets, missing: &Arc<Mutex<BTreeSet<String>>>) -> impl Host + use<> {
    let missing = missing.clone();
    move |namespace: &str, operation: &str, payload: &[u8]| match (namespace, operation) {
        ("tracing", _) => Ok(Vec::new()),
        ("kubernetes", "get_resource") => look_up(&secrets, &missing, payload),
        _ => Err(format!(
            "{namespace}/{operation} is not there without a cluster"
        )),
    }
}

/// What policy-server answers to the look-up of a Secret. Those that aren't there are noted.
fn look_up(
    secrets: &Secrets,
    missing: &Mutex<BTreeSet<String>>,
    payload: &[u8],
) -> Result<Vec<u8>, String> {
    let asked: Value = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
    let text = |field: &str| asked[field].as_str().unwrap_or_default().to_owned();
    let key = (text("namespace"), text("name"));
    if let Some(secret) = secrets.get(&key) {
        return serde_json::to_vec(secret).map_err(|error| error.to_string());
    }
    let (namespace, name) = key;
    let error = format!("Cannot find v1/Secret named '{name}' inside of namespace '{namespace}'");
    missing
        .lock()
        .map_err(|error| error.to_string())?
        .insert(format!("{namespace}/{name}"));
    Err(error)
}
