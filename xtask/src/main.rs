//! The project's native helper: `cargo xtask COMMAND`.

mod admission;
mod annotate;
mod artifacthub;
mod bench;
mod explain;
mod fuel;
mod host;
mod replay;
mod run;
mod validate;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Runs and annotates the policy's module, as kwctl does")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Asks a module about one request; prints what `kwctl run` prints
    Run(run::Args),
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
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Artifacthub(args) => artifacthub::artifacthub(&args),
        Command::Bench(args) => bench::bench(&args),
        Command::Validate(args) => validate::validate(&args),
        Command::Imports(args) => validate::imports(&args),
        Command::Annotate(args) => annotate::annotate(&args),
    }
}
