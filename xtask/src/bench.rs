//! `cargo xtask bench`: wasm instructions on the compiled modules, in one run against a floor
//! (`bench/floor`: is it JSON?) and a baseline (`bench/typed`: k8s-openapi's types there and
//! back). Instructions don't depend on the machine, so `--check` can fail where a ratio is missed.

use crate::admission::AdmissionRequest;
use crate::fuel::Counted;
use crate::growth;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// What a payload costs at most, as a multiple of the floor.
const ACCEPT: f64 = 2.9;
const MUTATE: f64 = 5.2;
const EXEMPT: f64 = 1.4;
/// What a further byte costs in a list of 1000, as a multiple of what it costs in a list of 30: 1
/// where each element costs the same, 30 where each is compared with all the others.
const GROWTH: f64 = 1.1;
/// A thousand entries in the settings, as a multiple of the floor: policy-server sends the settings
/// with every request, so every request pays for them.
const SETTINGS: f64 = 12.0;
/// The module's size, in bytes: what policy-server downloads and compiles when it starts.
const SIZE: usize = 600_000;
/// The linear memory, as a multiple of the payload, beside what an empty request needs: a
/// policy-server holds one such memory for each request that it answers at a time.
const MEMORY: f64 = 4.0;
/// The same where each volume is changed, with a violation, a warning and a patch of its own.
const MUTATION_MEMORY: f64 = 24.0;

#[derive(clap::Args)]
pub struct Args {
    /// Fails when a ratio is missed
    #[arg(long)]
    check: bool,
    /// The folder of the compiled modules
    #[arg(long, default_value = "target/wasm32-unknown-unknown/release")]
    modules: PathBuf,
    /// The folder of captured requests
    #[arg(long, default_value = "tests/data/requests")]
    requests: PathBuf,
    /// The folder of hostile requests
    #[arg(long, default_value = "tests/data/hostile")]
    hostile: PathBuf,
    /// The folder of examples, whose settings are tried as well
    #[arg(long, default_value = "examples")]
    examples: PathBuf,
}

/// The three modules.
struct Modules {
    policy: Counted,
    floor: Counted,
    typed: Counted,
}

/// A row of the table: a ratio and its limit, and what was missed so far.
struct Table {
    missed: Vec<String>,
}

pub fn bench(args: &Args) -> Result<()> {
    let load = |name: &str| Counted::load(&args.modules.join(name));
    let modules = Modules {
        policy: load("bound_service_account_tokens.wasm")?,
        floor: load("bench_floor.wasm")?,
        typed: load("bench_typed.wasm")?,
    };
    let mut table = Table { missed: Vec::new() };
    println!(
        "| requests | number | bytes each | policy, instructions a byte | typed baseline | policy / floor | limit |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    let pods = pods(&args.requests)?;
    let settings = json!({});
    let accepted: Vec<_> = pods
        .iter()
        .map(|pod| accepted(&modules, pod, &settings))
        .filter_map(Result::transpose)
        .collect::<Result<_>>()?;
    let all = |settings: &Value| {
        pods.iter()
            .map(|pod| pod.payload(settings))
            .collect::<Vec<_>>()
    };
    let mut mutated = all(&settings);
    mutated.retain(|payload| has_both_mutations(&modules, payload));
    table.row(&modules, "accept", &accepted, Some(ACCEPT))?;
    table.row(
        &modules,
        "mutate: token and fsGroup",
        &mutated,
        Some(MUTATE),
    )?;
    let exempt = json!({ "exemptNamespaces": ["kube-*", "*"] });
    table.row(&modules, "exempt namespace", &all(&exempt), Some(EXEMPT))?;
    table.row(&modules, "reject", &all(&json!({ "mode": "reject" })), None)?;
    let pod = &pods[0];
    table.growth(&modules, "containers", |number| {
        with_containers(pod, number)
    })?;
    table.growth(&modules, "volumes", |number| {
        with_volumes(pod, number, 3600)
    })?;
    table.growth(&modules, "mutated volumes", |number| {
        with_volumes(pod, number, 86400)
    })?;
    table.settings(&modules, pod)?;
    table.size(&modules);
    table.memory(&modules, pod)?;
    table
        .missed
        .extend(growth::check(&modules.policy, &args.examples)?);
    table
        .missed
        .extend(growth::check_cases(&modules.policy, &args.hostile)?);
    ensure!(
        !args.check || table.missed.is_empty(),
        "missed: {}",
        table.missed.join("; ")
    );
    Ok(())
}

impl Table {
    fn check(&mut self, what: &str, ratio: f64, limit: f64) {
        if ratio > limit {
            self.missed
                .push(format!("{what}: {ratio:.2}, not {limit} at most"));
        }
    }

    fn row(
        &mut self,
        modules: &Modules,
        name: &str,
        payloads: &[String],
        limit: Option<f64>,
    ) -> Result<()> {
        ensure!(!payloads.is_empty(), "{name}: no request");
        let bytes: usize = payloads.iter().map(String::len).sum();
        let policy = instructions(&modules.policy, payloads)?;
        let floor = instructions(&modules.floor, payloads)?;
        let typed = instructions(&modules.typed, payloads)?;
        let (number, each) = (payloads.len(), bytes / payloads.len());
        let (of_policy, of_typed) = (ratio(policy, bytes), ratio(typed, bytes));
        let over_floor = ratio(policy, floor);
        let shown = limit.map_or(String::new(), |limit| limit.to_string());
        println!(
            "| {name} | {number} | {each} | {of_policy:.1} | {of_typed:.1} | {over_floor:.2} | {shown} |"
        );
        self.check(name, over_floor, limit.unwrap_or(f64::INFINITY));
        Ok(())
    }

    /// What a byte costs doesn't grow with a list, from 1 to 1000 elements.
    fn growth(
        &mut self,
        modules: &Modules,
        name: &str,
        pod: impl Fn(usize) -> AdmissionRequest,
    ) -> Result<()> {
        let mut cost = |number| -> Result<_> {
            let payload = pod(number).payload(&json!({}));
            let bytes = payload.len();
            let of_policy = modules.policy.validate(&payload)?.instructions;
            self.row(modules, &format!("{number} {name}"), &[payload], None)?;
            Ok((of_policy, bytes))
        };
        let (first, second, third) = (cost(1)?, cost(30)?, cost(1000)?);
        let further =
            |(i, bytes): (u64, usize), (j, more): (u64, usize)| ratio(j - i, more - bytes);
        let growth = further(second, third) / further(first, second);
        self.check(&format!("growth of {name}"), growth, GROWTH);
        Ok(())
    }

    fn settings(&mut self, modules: &Modules, pod: &AdmissionRequest) -> Result<()> {
        let names: Vec<_> = (0..1000).map(|i| format!("namespace-{i}")).collect();
        let overrides: Vec<_> = names
            .iter()
            .map(|name| json!({ "namespaces": [name], "mode": "warn" }))
            .collect();
        for (name, settings) in [
            (
                "1000 exempt namespaces",
                json!({ "exemptNamespaces": names }),
            ),
            ("1000 overrides", json!({ "overrides": overrides })),
        ] {
            self.row(modules, name, &[pod.payload(&settings)], Some(SETTINGS))?;
        }
        Ok(())
    }

    fn size(&mut self, modules: &Modules) {
        println!("\n| module | bytes | limit |\n| --- | --- | --- |");
        println!("| policy | {} | {SIZE} |", modules.policy.size);
        println!("| floor | {} | |", modules.floor.size);
        println!("| typed | {} | |", modules.typed.size);
        self.check("size, of the limit", ratio(modules.policy.size, SIZE), 1.0);
    }

    fn memory(&mut self, modules: &Modules, pod: &AdmissionRequest) -> Result<()> {
        println!(
            "\n| linear memory | bytes of payload | policy | floor | policy / payload | limit |"
        );
        println!("| --- | --- | --- | --- | --- | --- |");
        let empty = modules
            .policy
            .validate(&with_containers(pod, 0).payload(&json!({})))?
            .memory;
        for (name, pod, limit) in [
            ("1000 containers", with_containers(pod, 1000), MEMORY),
            ("10000 containers", with_containers(pod, 10_000), MEMORY),
            (
                "10000 mutated volumes",
                with_volumes(pod, 10_000, 86400),
                MUTATION_MEMORY,
            ),
        ] {
            let payload = pod.payload(&json!({}));
            let bytes = payload.len();
            let policy = modules.policy.validate(&payload)?.memory;
            let floor = modules.floor.validate(&payload)?.memory;
            let more = ratio(policy.saturating_sub(empty), bytes);
            println!("| {name} | {bytes} | {policy} | {floor} | {more:.1} | {limit} |");
            self.check(&format!("memory, {name}"), more, limit);
        }
        Ok(())
    }
}

/// The captured Pods.
fn pods(folder: &Path) -> Result<Vec<AdmissionRequest>> {
    let mut files = Vec::new();
    for source in std::fs::read_dir(folder)? {
        for file in std::fs::read_dir(source?.path())? {
            files.push(file?.path());
        }
    }
    files.sort();
    let read = |file: &PathBuf| -> Result<AdmissionRequest> {
        let json = std::fs::read_to_string(file)?;
        AdmissionRequest::parse(&json).with_context(|| file.display().to_string())
    };
    let mut requests = files.iter().map(read).collect::<Result<Vec<_>>>()?;
    requests.retain(|request| request.kind() == "Pod");
    ensure!(!requests.is_empty(), "no Pod in {}", folder.display());
    Ok(requests)
}

/// The Pod as the policy leaves it, if it then accepts it without a change.
fn accepted(modules: &Modules, pod: &AdmissionRequest, settings: &Value) -> Result<Option<String>> {
    let mut pod = pod.clone();
    let answer = answer(modules, &pod.payload(settings))?;
    if !answer["mutated_object"].is_null() {
        pod.object = Some(answer["mutated_object"].clone());
    }
    let payload = pod.payload(settings);
    let again = self::answer(modules, &payload)?;
    let is_left = again["accepted"] == true && again["mutated_object"].is_null();
    Ok(is_left.then_some(payload))
}

/// Whether the policy changes a token's lifetime and adds the fsGroup.
fn has_both_mutations(modules: &Modules, payload: &str) -> bool {
    answer(modules, payload).is_ok_and(|answer| {
        let rules = &answer["audit_annotations"]["rules"];
        answer["mutated_object"].is_object() && rules == "fs-group,token-lifetime"
    })
}

fn answer(modules: &Modules, payload: &str) -> Result<Value> {
    Ok(serde_json::from_slice(
        &modules.policy.validate(payload)?.answer,
    )?)
}

fn with_containers(pod: &AdmissionRequest, number: usize) -> AdmissionRequest {
    let container = |i| {
        json!({
            "name": format!("container-{i}"), "image": "registry.k8s.io/pause:3.10",
            "env": [
                { "name": "A", "value": "a value" },
                { "name": "B", "valueFrom": { "secretKeyRef": { "name": "s", "key": "k" } } },
            ],
            "resources": { "limits": { "cpu": "100m", "memory": "64Mi" } },
            "volumeMounts": [{ "name": "v", "mountPath": "/v", "readOnly": true }],
            "terminationMessagePath": "/dev/termination-log", "imagePullPolicy": "Always",
        })
    };
    let containers: Vec<_> = (0..number).map(container).collect();
    with_spec(
        pod,
        &json!({ "containers": containers, "securityContext": { "fsGroup": 1 } }),
    )
}

/// Volumes with a token of so many seconds each.
fn with_volumes(pod: &AdmissionRequest, number: usize, seconds: u32) -> AdmissionRequest {
    let volume = |i| {
        let token = json!({ "serviceAccountToken": { "path": "t", "expirationSeconds": seconds } });
        let map = json!({ "configMap": { "name": "kube-root-ca.crt", "items": [
            { "key": "ca.crt", "path": "ca.crt" },
        ] } });
        let projected = json!({ "defaultMode": 420, "sources": [token, map] });
        json!({ "name": format!("volume-{i}"), "projected": projected })
    };
    let volumes: Vec<_> = (0..number).map(volume).collect();
    with_spec(
        pod,
        &json!({ "volumes": volumes, "securityContext": { "fsGroup": 1 } }),
    )
}

fn with_spec(pod: &AdmissionRequest, spec: &Value) -> AdmissionRequest {
    let mut pod = pod.clone();
    pod.object = Some(json!({ "kind": "Pod", "metadata": { "name": "grown" }, "spec": spec }));
    pod
}

fn instructions(module: &Counted, payloads: &[String]) -> Result<u64> {
    payloads
        .iter()
        .map(|payload| Ok(module.validate(payload)?.instructions))
        .sum()
}

#[expect(clippy::cast_precision_loss, reason = "these are for people to read")]
pub(crate) fn ratio<A: TryInto<u64>, B: TryInto<u64>>(a: A, b: B) -> f64 {
    let number = |it: Option<u64>| it.unwrap_or(u64::MAX) as f64;
    number(a.try_into().ok()) / number(b.try_into().ok())
}
