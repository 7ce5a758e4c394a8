//! `cargo xtask artifacthub`: the file that Artifact Hub reads, as `kwctl scaffold artifacthub` makes
//! it of metadata and questions
//! (`crates/policy-evaluator/src/policy_artifacthub.rs` in kubewarden/kubewarden-controller), but for
//! `install`: kwctl's leads to a policy with `settings: {}` for the whole cluster, ours to the chart.

use crate::annotate::Metadata;
use anyhow::{Context, Result, bail, ensure};
use humantime::format_rfc3339_seconds;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;
use yaml_serde::Value;

/// The comment that kwctl writes first, the blank at its end included.
const HEADER: &str = "# Kubewarden Artifacthub Package config
#
# Use this config to submit the policy to https://artifacthub.io.
#
# This config can be saved to its default location with:
#   kwctl scaffold artifacthub > artifacthub-pkg.yml ";

#[derive(clap::Args)]
pub struct Args {
    /// The policy's metadata, as YAML
    #[arg(short, long, default_value = "policy-metadata.yml")]
    metadata_path: PathBuf,
    /// The questions of Rancher's form, as YAML
    #[arg(short, long, default_value = "questions-ui.yml")]
    questions_path: PathBuf,
    /// Where the file goes
    #[arg(short, long, default_value = "artifacthub-pkg.yml")]
    output_path: PathBuf,
    /// Writes nothing, and fails when the file would change
    #[arg(long)]
    check: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Package {
    version: String,
    name: String,
    display_name: String,
    created_at: String,
    description: String,
    license: String,
    #[serde(rename = "homeURL")]
    home_url: String,
    containers_images: Vec<Image>,
    keywords: Vec<String>,
    links: Vec<Named>,
    install: String,
    maintainers: Vec<Maintainer>,
    provider: BTreeMap<&'static str, &'static str>,
    recommendations: Vec<BTreeMap<&'static str, &'static str>>,
    annotations: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
struct Image {
    name: &'static str,
    image: String,
}

#[derive(Serialize)]
struct Named {
    name: &'static str,
    url: String,
}

#[derive(Serialize)]
struct Maintainer {
    name: String,
    email: String,
}

pub fn artifacthub(args: &Args) -> Result<()> {
    let metadata = Metadata::load(&args.metadata_path)?;
    let questions = std::fs::read_to_string(&args.questions_path)
        .with_context(|| format!("cannot read {}", args.questions_path.display()))?;
    let old = std::fs::read_to_string(&args.output_path).unwrap_or_default();
    // A new date alone is no change.
    let date = created_at(&old).unwrap_or_default();
    if file(&metadata, &questions, date)? == old {
        return Ok(());
    }
    ensure!(
        !args.check,
        "{} is stale: run 'cargo xtask artifacthub'",
        args.output_path.display()
    );
    let now = format_rfc3339_seconds(SystemTime::now()).to_string();
    let new = file(&metadata, &questions, now)?;
    std::fs::write(&args.output_path, new)
        .with_context(|| format!("cannot write {}", args.output_path.display()))
}

fn created_at(file: &str) -> Option<String> {
    let file: Value = yaml_serde::from_str(file).ok()?;
    Some(file.get("createdAt")?.as_str()?.to_owned())
}

fn file(metadata: &Metadata, questions: &str, created_at: String) -> Result<String> {
    let yaml = yaml_serde::to_string(&package(metadata, questions, created_at)?)?;
    Ok(format!("{HEADER}\n{yaml}"))
}

fn package(metadata: &Metadata, questions: &str, created_at: String) -> Result<Package> {
    let annotation = |key: &str| {
        let value = metadata.annotation(key);
        value
            .with_context(|| format!("annotations: without {key}"))
            .map(str::to_owned)
    };
    let policy = |key: &str| annotation(&format!("io.kubewarden.policy.{key}"));
    let (version, source) = (policy("version")?, policy("source")?);
    let image = format!("{}:v{version}", policy("ociUrl")?);
    let release = format!("{source}/releases/download/v{version}/policy.wasm");
    Ok(Package {
        name: policy("title")?,
        display_name: annotation("io.artifacthub.displayName")?,
        created_at,
        description: policy("description")?,
        license: policy("license")?,
        home_url: policy("url")?,
        containers_images: vec![Image {
            name: "policy",
            image: image.clone(),
        }],
        keywords: words(&annotation("io.artifacthub.keywords")?)?,
        links: vec![
            Named {
                name: "policy",
                url: release,
            },
            Named {
                name: "source",
                url: source,
            },
        ],
        install: install(&annotation("io.artifacthub.install")?, &image),
        maintainers: maintainers(&policy("author")?)?,
        provider: BTreeMap::from([("name", "kubewarden")]),
        recommendations: vec![BTreeMap::from([(
            "url",
            "https://artifacthub.io/packages/helm/kubewarden/kubewarden-controller",
        )])],
        annotations: annotations(metadata, questions)?,
        version,
    })
}

fn annotations(metadata: &Metadata, questions: &str) -> Result<BTreeMap<&'static str, String>> {
    let mut annotations = BTreeMap::from([
        ("kubewarden/mutation", metadata.mutating.to_string()),
        ("kubewarden/questions-ui", questions.to_owned()),
        ("kubewarden/rules", yaml_serde::to_string(&metadata.rules)?),
    ]);
    if !metadata.context_aware_resources.is_empty() {
        let resources = yaml_serde::to_string(&metadata.context_aware_resources)?;
        annotations.insert("kubewarden/contextAwareResources", resources);
    }
    if let Some(resources) = metadata.annotation("io.artifacthub.resources") {
        annotations.insert("kubewarden/resources", words(resources)?.join(", "));
    }
    Ok(annotations)
}

fn words(list: &str) -> Result<Vec<String>> {
    let words: Vec<_> = list
        .split(',')
        .map(|word| word.trim_matches(' ').to_owned())
        .collect();
    ensure!(
        words.iter().all(|word| !word.is_empty()),
        "an empty word in '{list}'"
    );
    Ok(words)
}

/// Comma-separated `name <email>` entries.
fn maintainers(authors: &str) -> Result<Vec<Maintainer>> {
    let author = |entry: &String| {
        let Some((name, email)) = entry.split_once(" <") else {
            bail!("no address in '{entry}'")
        };
        let email = email
            .strip_suffix('>')
            .with_context(|| format!("no address in '{entry}'"))?;
        ensure!(email.contains('@'), "no address in '{entry}'");
        Ok(Maintainer {
            name: name.trim().to_owned(),
            email: email.to_owned(),
        })
    };
    words(authors)?.iter().map(author).collect()
}

/// How to install the policy, in the metadata's words; then how to get the module alone.
fn install(text: &str, image: &str) -> String {
    format!(
        "{text}
The module alone can be obtained using [kwctl](https://docs.kubewarden.io/howtos/install-kwctl):
```console
kwctl pull {image}
```
"
    )
}
