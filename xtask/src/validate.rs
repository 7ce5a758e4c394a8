//! `cargo xtask validate` and `cargo xtask imports`: the module as it is, with nothing of kwctl
//! around it.

use crate::fuel::Counted;
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;

/// What policy-server lets a request take (`--policy-timeout`) is 2 s; a wasm instruction takes
/// less than a nanosecond on average.
const MOST_INSTRUCTIONS: u64 = 2_000_000_000;

#[derive(clap::Args)]
pub struct Args {
    /// File with the payload: request and settings
    #[arg(long)]
    payload_path: PathBuf,
    /// The module
    policy: PathBuf,
}

/// Prints the module's answer to a payload, whatever is in it.
pub fn validate(args: &Args) -> Result<()> {
    let payload = std::fs::read_to_string(&args.payload_path)
        .with_context(|| format!("cannot read {}", args.payload_path.display()))?;
    let cost = Counted::load(&args.policy)?.validate(&payload)?;
    ensure!(
        cost.instructions < MOST_INSTRUCTIONS,
        "{} instructions",
        cost.instructions
    );
    println!("{}", String::from_utf8_lossy(&cost.answer));
    Ok(())
}

#[derive(clap::Args)]
pub struct Imports {
    /// The module
    policy: PathBuf,
}

/// Prints what the module imports, sorted.
pub fn imports(args: &Imports) -> Result<()> {
    let wasm = std::fs::read(&args.policy)
        .with_context(|| format!("cannot read {}", args.policy.display()))?;
    let mut imports = Vec::new();
    for payload in wasmparser::Parser::new(0).parse_all(&wasm) {
        if let wasmparser::Payload::ImportSection(section) = payload? {
            for import in section.into_imports() {
                let import = import?;
                imports.push(format!("{}.{}", import.module, import.name));
            }
        }
    }
    imports.sort();
    println!("{}", imports.join("\n"));
    Ok(())
}
