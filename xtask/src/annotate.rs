//! `cargo xtask annotate`: the metadata section that kwctl and policy-server read
//! (`crates/policy-evaluator/src/policy_metadata.rs` in kubewarden/kubewarden-controller).

use crate::host::Module;
use crate::section::{SECTION, section};
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use wasm_encoder::Encode;

/// The annotations without which a policy can't be presented.
const REQUIRED: [&str; 9] = [
    "io.kubewarden.policy.title",
    "io.kubewarden.policy.version",
    "io.kubewarden.policy.description",
    "io.kubewarden.policy.author",
    "io.kubewarden.policy.url",
    "io.kubewarden.policy.source",
    "io.kubewarden.policy.ociUrl",
    "io.kubewarden.policy.license",
    "io.artifacthub.displayName",
];

#[derive(clap::Args)]
pub struct Args {
    /// The policy's metadata, as YAML
    #[arg(short, long)]
    metadata_path: PathBuf,
    /// The policy's documentation, which `kwctl inspect` shows
    #[arg(short, long)]
    usage_path: Option<PathBuf>,
    /// Where the annotated module goes
    #[arg(short, long)]
    output_path: PathBuf,
    /// The module
    policy: PathBuf,
}

/// What a policy says about itself.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    protocol_version: Option<String>,
    pub rules: Vec<Rule>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    pub mutating: bool,
    #[serde(default = "yes")]
    background_audit: bool,
    execution_mode: ExecutionMode,
    #[serde(default)]
    policy_type: PolicyType,
    #[serde(default)]
    pub context_aware_resources: BTreeSet<ContextAwareResource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host_capabilities: Option<BTreeSet<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    minimum_kubewarden_version: Option<String>,
}

const fn yes() -> bool {
    true
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    api_groups: Vec<String>,
    api_versions: Vec<String>,
    resources: Vec<String>,
    operations: Vec<Operation>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Operation {
    Create,
    Update,
    Delete,
    Connect,
    #[serde(rename = "*")]
    All,
}

/// The modes of a waPC policy: one.
#[derive(Debug, Serialize, Deserialize)]
enum ExecutionMode {
    #[serde(rename = "kubewarden-wapc")]
    KubewardenWapc,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PolicyType {
    #[default]
    Kubernetes,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContextAwareResource {
    api_version: String,
    kind: String,
}

impl Metadata {
    /// Reads the file that `kwctl annotate` reads.
    ///
    /// # Errors
    /// What is missing or malformed.
    pub fn load(path: &Path) -> Result<Self> {
        let yaml = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let metadata: Self = yaml_serde::from_str(&yaml)
            .with_context(|| format!("{} is no metadata", path.display()))?;
        metadata
            .check()
            .with_context(|| format!("{} is incomplete", path.display()))?;
        Ok(metadata)
    }

    /// An annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key).map(String::as_str)
    }

    fn check(&self) -> Result<()> {
        ensure!(!self.rules.is_empty(), "rules: there is none");
        for (i, rule) in self.rules.iter().enumerate() {
            let operations = rule.operations.len();
            for (key, length, alone) in [
                (
                    "apiGroups",
                    rule.api_groups.len(),
                    rule.api_groups.iter().any(|it| it == "*"),
                ),
                (
                    "apiVersions",
                    rule.api_versions.len(),
                    rule.api_versions.iter().any(|it| it == "*"),
                ),
                (
                    "resources",
                    rule.resources.len(),
                    rule.resources.iter().any(|it| it == "*/*"),
                ),
                (
                    "operations",
                    operations,
                    rule.operations.contains(&Operation::All),
                ),
            ] {
                ensure!(length > 0, "rules[{i}].{key}: is empty");
                ensure!(
                    length == 1 || !alone,
                    "rules[{i}].{key}: '*' stands alone or not at all"
                );
            }
        }
        let missing: Vec<_> = REQUIRED
            .into_iter()
            .filter(|key| {
                self.annotations
                    .get(*key)
                    .is_none_or(|text| text.trim().is_empty())
            })
            .collect();
        ensure!(
            missing.is_empty(),
            "annotations: without {}",
            missing.join(", ")
        );
        Ok(())
    }
}

pub fn annotate(args: &Args) -> Result<()> {
    let mut metadata = Metadata::load(&args.metadata_path)?;
    let module = Module::load(&args.policy, None)?;
    metadata.protocol_version = Some(module.call("protocol_version", "")?);
    if let Some(path) = &args.usage_path {
        let usage = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        metadata
            .annotations
            .insert("io.kubewarden.policy.usage".to_owned(), usage);
    }
    let wasm = std::fs::read(&args.policy)?;
    if section(&wasm)?.is_some() {
        bail!("{} is annotated already", args.policy.display());
    }
    std::fs::write(&args.output_path, annotated(wasm, &metadata)?)
        .with_context(|| format!("cannot write {}", args.output_path.display()))
}

/// The module with its metadata in it.
fn annotated(mut wasm: Vec<u8>, metadata: &Metadata) -> Result<Vec<u8>> {
    let data = serde_json::to_vec(metadata)?;
    wasm_encoder::SectionId::Custom.encode(&mut wasm);
    wasm_encoder::CustomSection {
        name: SECTION.into(),
        data: data.into(),
    }
    .encode(&mut wasm);
    Ok(wasm)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn every_field_of_the_metadata_is_in_the_module() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy-metadata.yml");
        let mut metadata = Metadata::load(&file).unwrap();
        let usage = metadata
            .annotations
            .insert("usage".to_owned(), "# a\n\"b\"".to_owned());
        assert_eq!(usage, None);
        let empty = b"\0asm\x01\0\0\0".to_vec();
        let wasm = annotated(empty.clone(), &metadata).unwrap();
        assert!(wasm.starts_with(&empty));
        wasmparser::validate(&wasm).unwrap();

        let written: Value = serde_json::from_slice(section(&wasm).unwrap().unwrap()).unwrap();
        let yaml = std::fs::read_to_string(&file).unwrap();
        let mut expected: Value = yaml_serde::from_str(&yaml).unwrap();
        expected["annotations"]["usage"] = "# a\n\"b\"".into();
        // The module says which protocol it speaks; no module is asked here.
        expected["protocolVersion"] = Value::Null;
        assert_eq!(written, expected);
    }

    #[test]
    fn metadata_that_is_incomplete() {
        let yaml = |rules: &str, annotations: &str| {
            format!(
                "{{rules: [{rules}], mutating: true, executionMode: kubewarden-wapc, annotations: {{{annotations}}}}}"
            )
        };
        let rule = "{apiGroups: [''], apiVersions: [v1], resources: [pods], operations: [CREATE]}";
        let all = REQUIRED.map(|key| format!("{key}: x")).join(", ");
        for (yaml, expected) in [
            (yaml("", &all), "rules: there is none"),
            (
                yaml(&rule.replace("''", ""), &all),
                "rules[0].apiGroups: is empty",
            ),
            (
                yaml(&rule.replace("CREATE", "CREATE, '*'"), &all),
                "rules[0].operations: '*' stands",
            ),
            (
                yaml(rule, &all.replace("io.artifacthub", "io")),
                "without io.artifacthub.displayName",
            ),
            (
                yaml(rule, ""),
                "annotations: without io.kubewarden.policy.title, ",
            ),
        ] {
            let metadata: Metadata = yaml_serde::from_str(&yaml).unwrap();
            let error = metadata.check().unwrap_err().to_string();
            assert!(error.contains(expected), "{yaml}: {error}");
        }
        let complete: Metadata = yaml_serde::from_str(&yaml(rule, &all)).unwrap();
        complete.check().unwrap();
        assert!(
            yaml_serde::from_str::<Metadata>(&yaml(rule, &all).replace("mutating", "mutates"))
                .is_err()
        );
    }
}
