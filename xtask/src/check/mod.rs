//! `cargo xtask check`: what the policy would do to manifests, asked of the real module, without a
//! cluster.
//!
//! Data flows one way: input, units, judge, report. `units` knows what a cluster would be asked
//! about: `owners` whose a Pod is, `live` what a cluster added before, `workloads` which Pod is made,
//! and `cluster_defaults` what an API server adds. `policies` knows whom it would ask.

mod cluster_defaults;
mod conditions;
mod input;
mod judge;
mod live;
mod module;
mod objects;
mod owners;
mod policies;
mod report;
mod selectors;
mod tokens;
mod units;
mod workloads;

use crate::admission::AdmissionRequest;
use anyhow::{Result, bail, ensure};
use input::{Input, Unreadable};
use judge::{Judge, Judgement};
use policies::Policy;
pub use policies::settings;
use report::{Collector, InputReport, Report};
use serde_json::json;
use std::collections::BTreeSet;
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use units::{Plan, Unit};

#[derive(clap::Args)]
pub struct Args {
    /// File with the policy's settings, as YAML or JSON, or with a policy resource that has them
    #[arg(long, value_name = "FILE", conflicts_with = "policy")]
    settings: Option<PathBuf>,
    /// The mode to judge in: that of the settings, but `mutate` where they say nothing or `warn`
    #[arg(long, value_enum)]
    mode: Option<Mode>,
    /// File with policy resources. Can be given more than once
    #[arg(long, value_name = "FILE")]
    policy: Vec<PathBuf>,
    /// The namespace of objects that name none
    #[arg(long, value_name = "NAMESPACE", default_value = "default")]
    namespace: String,
    /// What to print
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
    /// The policy's module
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// Files and folders with manifests; - is standard input
    #[arg(required = true, value_name = "MANIFEST")]
    manifests: Vec<PathBuf>,
}

/// The policy's mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    Mutate,
    Reject,
    Warn,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Mutate => "mutate",
            Self::Reject => "reject",
            Self::Warn => "warn",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Table,
    Json,
}

/// Something would be rejected.
const REJECTED: u8 = 1;
/// Wrong use, or a file that can't be read.
const UNREADABLE: u8 = 2;

/// Judges manifests; `module` is the one that is in the program, if one is.
pub fn check(args: &Args, module: Option<&[u8]>) -> ExitCode {
    match run(args, module) {
        Err(error) => {
            eprintln!("Error: {error:#}");
            ExitCode::from(UNREADABLE)
        }
        Ok(report) => {
            for Unreadable {
                file,
                document,
                message,
            } in report.unreadable()
            {
                let document = document
                    .map(|it| format!(", document {it}"))
                    .unwrap_or_default();
                eprintln!("cannot read {file}{document}: {message}");
            }
            match report.unreadable() {
                [] if report.is_anything_rejected() => ExitCode::from(REJECTED),
                [] => ExitCode::SUCCESS,
                _ => ExitCode::from(UNREADABLE),
            }
        }
    }
}

fn run(args: &Args, embedded: Option<&[u8]>) -> Result<Report> {
    let mut notes = BTreeSet::new();
    let policies = policies(args, &mut notes)?;
    let mut input = Input::read(&args.manifests);
    let input_report = InputReport::take(&mut input);
    let plan = Plan::new(input, &args.namespace);
    let missing_secrets = Arc::default();
    let cluster = module::cluster(plan.secrets.clone(), &missing_secrets);
    let module = module::start(args.module.as_deref(), embedded, cluster)?;
    let mut judge = Judge::new(module, policies, plan.namespaces.clone())?;
    let mut collector = Collector::default();
    let mut progress = Progress::new(plan.units.iter().map(|unit| unit.requests.len()).sum());
    for unit in &plan.units {
        collector.add(unit, &judge_unit(&mut judge, unit)?);
        progress.advance(unit.requests.len());
    }
    notes.extend(judge.notes);
    for secret in missing_secrets
        .lock()
        .iter()
        .flat_map(|secrets| secrets.iter())
    {
        notes.insert(format!(
            "Secret {secret} is not in the input, and taken to hold no token"
        ));
    }
    let report = collector.finish(&plan, input_report, notes);
    let text = match args.output {
        Output::Json => serde_json::to_string_pretty(&report)? + "\n",
        Output::Table => report.table(),
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        // Whoever reads has seen enough, as `head` has.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        written => written?,
    }
    Ok(report)
}

/// The policies that are asked: those of policy resources, or one of settings alone.
fn policies(args: &Args, notes: &mut BTreeSet<String>) -> Result<Vec<Policy>> {
    Ok(match &args.settings {
        _ if !args.policy.is_empty() => policies::load(&args.policy, args.mode)?,
        Some(path) => {
            let (settings, policy) = policies::settings(path)?;
            notes.extend(policy.map(|policy| format!("the settings are those of {policy}")));
            vec![Policy::from_settings(settings, args.mode)?]
        }
        None => vec![Policy::from_settings(json!({}), args.mode)?],
    })
}

/// The requests that a cluster would get for a file: with each what was made of which document; none
/// for a request, which stays as it is.
pub fn requests(path: &Path) -> Result<Vec<(Option<String>, AdmissionRequest)>> {
    let input = Input::read(&[path.to_owned()]);
    if let Some(Unreadable {
        file,
        document,
        message,
    }) = input.unreadable.first()
    {
        let document = document
            .map(|it| format!(", document {it}"))
            .unwrap_or_default();
        bail!("cannot read {file}{document}: {message}");
    }
    let mut units = Plan::new(input, "default").units;
    units.sort_by(|a, b| a.sources.cmp(&b.sources));
    let requests: Vec<_> = units.into_iter().flat_map(Unit::described).collect();
    ensure!(
        !requests.is_empty(),
        "no rule is about what is in {}",
        path.display()
    );
    Ok(requests)
}

/// Judges the requests of a unit; with each whether it is about a Pod that the unit makes.
fn judge_unit(judge: &mut Judge, unit: &Unit) -> Result<Vec<(bool, Judgement)>> {
    let mut judgements: Vec<(bool, Judgement)> = Vec::new();
    for planned in unit.requests.iter().rev() {
        // What a Pod that is made will show, its template needn't.
        let is_shown = judgements
            .iter()
            .any(|(is_made, it)| *is_made && it.is_covered);
        let judgement = match &planned.without_fs_group {
            Some(pod) => judge.judge_again(&planned.request, pod)?,
            None => judge.judge(&planned.request, !is_shown)?,
        };
        judgements.push((planned.is_made, judgement));
    }
    Ok(judgements)
}

/// A line on standard error while a long input is judged.
struct Progress {
    total: usize,
    done: usize,
}

impl Progress {
    const STEP: usize = 500;

    fn new(total: usize) -> Self {
        Self { total, done: 0 }
    }

    fn advance(&mut self, requests: usize) {
        let steps = self.done / Self::STEP;
        self.done += requests;
        if self.total > Self::STEP && self.done / Self::STEP > steps {
            let end = if std::io::stderr().is_terminal() {
                '\r'
            } else {
                '\n'
            };
            eprint!("judged {} of {} requests{end}", self.done, self.total);
            _ = std::io::stderr().flush();
        }
    }
}
