//! The project's native helper: `cargo xtask COMMAND`; and one of its commands, `check`, as a program
//! of its own.

mod admission;
mod annotate;
mod artifacthub;
mod bench;
mod check;
mod explain;
pub mod fuel;
pub mod growth;
mod host;
mod replay;
mod run;
mod section;
mod validate;

use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::process::ExitCode;

#[derive(Parser)]
#[command(about = "Runs and annotates the policy's module, as kwctl does")]
#[command(version = concat!(env!("CARGO_PKG_VERSION"), ", the project's stand-in for kwctl"))]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Asks a module about one request; prints what `kwctl run` prints
    Run(run::Args),
    /// Judges manifests with the real module, without a cluster
    Check(check::Args),
    /// Prints a module's own answer to a payload
    Validate(validate::Args),
    /// Prints what a module imports
    Imports(validate::Imports),
    /// Adds the metadata section to a module, as `kwctl annotate` does
    Annotate(annotate::Args),
    /// Writes artifacthub-pkg.yml, as `kwctl scaffold artifacthub` does
    Artifacthub(artifacthub::Args),
    /// Counts the instructions of the module, against a floor and a baseline
    Bench(bench::Args),
    /// Pushes the annotated module to an OCI registry
    #[command(disable_help_flag = true)]
    Push(Rest),
    /// Pulls a module from an OCI registry
    #[command(disable_help_flag = true)]
    Pull(Rest),
}

/// Arguments for another program.
#[derive(clap::Args)]
struct Rest {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

impl Rest {
    /// Runs `xtask-registry`, which is a program of its own: its dependencies take a minute to build,
    /// and trying the policy needs none of them.
    fn run(self, command: &str) -> anyhow::Result<ExitCode> {
        let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
        let status = std::process::Command::new(cargo)
            .args([
                "run",
                "--quiet",
                "--locked",
                "--package",
                "xtask-registry",
                "--",
                command,
            ])
            .args(self.arguments)
            .status()?;
        Ok(if status.success() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

/// `cargo xtask`
pub fn main() -> ExitCode {
    run(Cli::parse().command).unwrap_or_else(|e| {
        eprintln!("Error: {e:#}");
        ExitCode::FAILURE
    })
}

#[derive(Parser)]
#[command(name = "check-tokens", version)]
#[command(about = "Says what the policy bound-service-account-tokens would do to manifests")]
struct CheckTokens {
    #[command(flatten)]
    args: check::Args,
}

/// `cargo xtask check` with a module that is in the program.
pub fn check_tokens(module: &[u8]) -> ExitCode {
    check::check(&CheckTokens::parse().args, Some(module))
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Push(rest) => return rest.run("push"),
        Command::Pull(rest) => return rest.run("pull"),
        Command::Check(args) => return Ok(check::check(&args, None)),
        Command::Run(args) => run::run(&args),
        Command::Artifacthub(args) => artifacthub::artifacthub(&args),
        Command::Bench(args) => bench::bench(&args),
        Command::Validate(args) => validate::validate(&args),
        Command::Imports(args) => validate::imports(&args),
        Command::Annotate(args) => annotate::annotate(&args),
    }?;
    Ok(ExitCode::SUCCESS)
}
