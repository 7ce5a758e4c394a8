//! `cargo xtask push` and `cargo xtask pull`: an image as kwctl and policy-server push and pull it
//! (`crates/policy-fetcher/src/registry/mod.rs` in kubewarden/kubewarden-controller).

mod client;
mod failure;
mod image;
#[path = "../../src/section.rs"]
mod section;

use anyhow::{Context, Result};
use clap::Parser;
use client::Registry;
use oci_client::Reference;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
enum Command {
    /// Pushes the annotated module to an OCI registry; prints the image with its digest
    Push {
        /// The annotated module
        #[arg(long, default_value = "annotated-policy.wasm")]
        policy: PathBuf,
        #[command(flatten)]
        image: Image,
    },
    /// Pulls a module from an OCI registry; prints the image with its digest
    Pull {
        /// Where the module goes
        #[arg(short, long, default_value = "pulled-policy.wasm")]
        output_path: PathBuf,
        #[command(flatten)]
        image: Image,
    },
}

#[derive(clap::Args)]
struct Image {
    /// A registry, as HOST:PORT, that may be asked over plain http
    #[arg(long, value_name = "HOST:PORT")]
    insecure_registry: Vec<String>,
    /// The image, such as ghcr.io/owner/policies/name:v1.0.0; `registry://` may come before it
    image: String,
}

impl Image {
    fn reference(&self) -> Result<Reference> {
        let name = self
            .image
            .strip_prefix("registry://")
            .unwrap_or(&self.image);
        name.parse()
            .with_context(|| format!("'{name}' is no image"))
    }
}

fn main() -> ExitCode {
    match run(&Command::parse()) {
        Ok(image) => {
            println!("{image}");
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("Error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match command {
        Command::Push { policy, image } => {
            let wasm = std::fs::read(policy)
                .with_context(|| format!("cannot read {}", policy.display()))?;
            let annotations = image::annotations(&wasm)
                .with_context(|| format!("cannot push {}", policy.display()))?;
            let registry = Registry::new(image.reference()?, &image.insecure_registry)?;
            runtime.block_on(registry.push(wasm, annotations))
        }
        Command::Pull { output_path, image } => {
            let registry = Registry::new(image.reference()?, &image.insecure_registry)?;
            let (wasm, digest) = runtime.block_on(registry.pull())?;
            write(output_path, &wasm)
                .with_context(|| format!("cannot write {}", output_path.display()))?;
            Ok(digest)
        }
    }
}

/// Writes a file as a whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    std::io::Write::write_all(&mut file, bytes)?;
    file.persist(path)?;
    Ok(())
}
