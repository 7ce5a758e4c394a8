//! `cargo xtask run`

use crate::admission::{AdmissionRequest, AdmissionResponse, Answer, SettingsAnswer};
use crate::check;
use crate::explain::explain;
use crate::host::Module;
use crate::replay::Replay;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Args {
    /// File with an AdmissionReview or a bare request, as JSON; with --explain also with manifests
    #[arg(short, long)]
    request_path: PathBuf,
    /// The policy's settings as JSON
    #[arg(long, conflicts_with = "settings_path")]
    settings_json: Option<String>,
    /// File with the policy's settings, as YAML or JSON, or with a policy resource that has them
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
    /// The settings, and the policy resource that they are of.
    fn settings(&self) -> Result<(Value, Option<String>)> {
        if let Some(json) = &self.settings_json {
            return Ok((
                serde_json::from_str(json).context("the settings are not JSON")?,
                None,
            ));
        }
        self.settings_path
            .as_deref()
            .map_or(Ok((json!({}), None)), check::settings)
    }

    /// The requests, each with what was made of a manifest.
    fn requests(&self) -> Result<Vec<(Option<String>, AdmissionRequest)>> {
        if self.explain {
            return check::requests(&self.request_path);
        }
        let json = std::fs::read_to_string(&self.request_path)
            .with_context(|| format!("cannot read {}", self.request_path.display()))?;
        Ok(vec![(None, AdmissionRequest::parse(&json)?)])
    }
}

pub fn run(args: &Args) -> Result<()> {
    let requests = args.requests()?;
    let (settings, policy) = args.settings()?;
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
    if let (true, Some(policy)) = (args.explain, policy) {
        println!("with the settings of {policy}\n");
    }
    for (index, (description, request)) in requests.iter().enumerate() {
        let answer: Answer = module.call("validate", &request.payload(&settings))?;
        let response = AdmissionResponse::new(request, answer)?;
        if !args.explain {
            println!("{}", serde_json::to_string(&response)?);
            continue;
        }
        if index > 0 {
            println!();
        }
        if let Some(description) = description {
            println!("{description}");
        }
        print!("{}", explain(request, &response)?);
    }
    Ok(())
}
