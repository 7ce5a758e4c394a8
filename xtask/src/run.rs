//! `cargo xtask run`

use crate::admission::{AdmissionRequest, AdmissionResponse, Answer, SettingsAnswer};
use crate::explain::explain;
use crate::host::Module;
use crate::replay::Replay;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Args {
    /// File with an AdmissionReview or a bare request, as JSON
    #[arg(short, long)]
    request_path: PathBuf,
    /// The policy's settings as JSON
    #[arg(long, conflicts_with = "settings_path")]
    settings_json: Option<String>,
    /// File with the policy's settings, as YAML or JSON
    #[arg(short, long)]
    settings_path: Option<PathBuf>,
    /// Lets the policy ask the cluster; here, the replayed one
    #[arg(long)]
    allow_context_aware: bool,
    /// File with the answers of the cluster
    #[arg(long)]
    replay_host_capabilities_interactions: Option<PathBuf>,
    /// Tells a person what happened, instead of what `kwctl run` prints
    #[arg(long)]
    explain: bool,
    /// The module
    policy: PathBuf,
}

impl Args {
    fn settings(&self) -> Result<Value> {
        if let Some(json) = &self.settings_json {
            return serde_json::from_str(json).context("the settings are not JSON");
        }
        let Some(path) = &self.settings_path else {
            return Ok(json!({}));
        };
        let yaml = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        yaml_serde::from_str(&yaml).with_context(|| format!("{} is not YAML", path.display()))
    }
}

pub fn run(args: &Args) -> Result<()> {
    let json = std::fs::read_to_string(&args.request_path)
        .with_context(|| format!("cannot read {}", args.request_path.display()))?;
    let request = AdmissionRequest::parse(&json)?;
    let settings = args.settings()?;
    let replay = args
        .replay_host_capabilities_interactions
        .as_deref()
        .map(Replay::load);
    let replay = replay.transpose()?.filter(|_| args.allow_context_aware);
    let module = Module::load(&args.policy, replay)?;

    let checked: SettingsAnswer = module.call("validate_settings", &settings.to_string())?;
    if !checked.valid {
        bail!(
            "Provided settings are not valid: {}",
            checked.message.unwrap_or_default()
        );
    }
    let answer: Answer = module.call("validate", &request.payload(&settings))?;
    let response = AdmissionResponse::new(&request, answer)?;
    if args.explain {
        print!("{}", explain(&request, &response)?);
    } else {
        println!("{}", serde_json::to_string(&response)?);
    }
    Ok(())
}
