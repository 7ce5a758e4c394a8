//! `cargo xtask bench`: wasm instructions on the compiled modules, in one run against a floor
//! (`bench/floor`: is it JSON?) and a baseline (`bench/typed`: k8s-openapi's types there and
//! back). Instructions don't depend on the machine, so `--check` can fail where a ratio is missed.

use crate::admission::AdmissionRequest;
use crate::fuel::{Cost, Counted};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// What a payload costs at most, as a multiple of the floor.
const ACCEPT: f64 = 1.5;
const MUTATE: f64 = 3.0;
const EXEMPT: f64 = 1.2;
/// How far instructions a byte may be apart as a Pod grows.
const FLAT: f64 = 1.3;
/// A thousand names in the settings, as a multiple of the baseline, which only parses them.
const SETTINGS: f64 = 1.0;
/// The module's size, in bytes.
const SIZE: usize = 200_000;
/// What the host needs to compile it, as a part of the baseline's.
const COMPILE: f64 = 0.2;
/// The linear memory, in bytes, beside what the payload and one copy of it need.
const MEMORY: usize = 256 * 1024;

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
    let load = |name: &str| Counted::load_timed(&args.modules.join(name));
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
    let all = |settings: &Value| pods.iter().map(|pod| payload(pod, settings)).collect::<Vec<_>>();
    let mut mutated = all(&settings);
    mutated.retain(|payload| is_mutated_twice(&modules, payload));
    table.row(&modules, "accept", &accepted, Some(ACCEPT))?;
    table.row(&modules, "mutate: token and fsGroup", &mutated, Some(MUTATE))?;
    let exempt = json!({ "exemptNamespaces": ["kube-*", "*"] });
    table.row(&modules, "exempt namespace", &all(&exempt), Some(EXEMPT))?;
    table.row(&modules, "reject", &all(&json!({ "mode": "reject" })), None)?;
    table.growth(&modules, "containers", &grown("containers", &pods[0]))?;
    table.growth(&modules, "volumes", &grown("volumes", &pods[0]))?;
    table.settings(&modules, &pods[0])?;
    table.module(&modules);
    table.memory(&modules, &pods[0])?;
    ensure!(!args.check || table.missed.is_empty(), "missed: {}", table.missed.join("; "));
    Ok(())
}

impl Table {
    fn check(&mut self, what: &str, ratio: f64, limit: f64) {
        if ratio > limit {
            self.missed.push(format!("{what}: {ratio:.2}, not {limit} at most"));
        }
    }

    fn row(
        &mut self,
        modules: &Modules,
        name: &str,
        payloads: &[String],
        limit: Option<f64>,
    ) -> Result<f64> {
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
        Ok(of_policy)
    }

    /// Instructions a byte must stay flat as a list grows.
    fn growth(
        &mut self,
        modules: &Modules,
        name: &str,
        payloads: &[(usize, String)],
    ) -> Result<()> {
        let mut costs = Vec::new();
        for (number, payload) in payloads {
            let name = format!("{number} {name}");
            let one = std::slice::from_ref(payload);
            costs.push(self.row(modules, &name, one, None)?);
        }
        let most = costs.iter().copied().fold(0.0, f64::max);
        let least = costs.iter().copied().fold(f64::INFINITY, f64::min);
        self.check(&format!("growth of {name}"), most / least, FLAT);
        Ok(())
    }

    /// A thousand names cost no more than reading them.
    fn settings(&mut self, modules: &Modules, pod: &AdmissionRequest) -> Result<()> {
        let names: Vec<_> = (0..1000).map(|i| format!("namespace-{i}")).collect();
        let overrides: Vec<_> =
            names.iter().map(|name| json!({ "namespaces": [name], "mode": "warn" })).collect();
        for (name, settings) in [
            ("1000 exempt namespaces", json!({ "exemptNamespaces": names })),
            ("1000 overrides", json!({ "overrides": overrides })),
        ] {
            let payloads = [payload(pod, &settings)];
            self.row(modules, name, &payloads, None)?;
            let policy = instructions(&modules.policy, &payloads)?;
            let typed = instructions(&modules.typed, &payloads)?;
            self.check(&format!("{name}, of the baseline"), ratio(policy, typed), SETTINGS);
        }
        Ok(())
    }

    fn module(&mut self, modules: &Modules) {
        println!("\n| module | bytes | time to compile | part of the baseline's |");
        println!("| --- | --- | --- | --- |");
        let part = |it: &Counted| it.compile_time.div_duration_f64(modules.typed.compile_time);
        for (name, it) in
            [("policy", &modules.policy), ("floor", &modules.floor), ("typed", &modules.typed)]
        {
            println!("| {name} | {} | {:.2?} | {:.2} |", it.size, it.compile_time, part(it));
        }
        self.check("size, of 200 kB", ratio(modules.policy.size, SIZE), 1.0);
        self.check("time to compile, of the baseline's", part(&modules.policy), COMPILE);
    }

    fn memory(&mut self, modules: &Modules, pod: &AdmissionRequest) -> Result<()> {
        println!("\n| linear memory | bytes of payload | policy | floor |");
        println!("| --- | --- | --- | --- |");
        for number in [1, 1000, 20_000] {
            let payload = payload(&with_containers(pod, number), &json!({}));
            let policy = modules.policy.validate(&payload)?.memory;
            let floor = modules.floor.validate(&payload)?.memory;
            println!("| {number} containers | {} | {policy} | {floor} |", payload.len());
            let allowed = floor + payload.len() + MEMORY;
            self.check(&format!("memory, {number} containers"), ratio(policy, allowed), 1.0);
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

fn payload(pod: &AdmissionRequest, settings: &Value) -> String {
    pod.payload(settings)
}

/// The Pod as the policy leaves it, if it has nothing more to say about it.
fn accepted(modules: &Modules, pod: &AdmissionRequest, settings: &Value) -> Result<Option<String>> {
    let mut pod = pod.clone();
    let answer = answer(&modules.policy.validate(&payload(&pod, settings))?)?;
    if !answer["mutated_object"].is_null() {
        pod.object = Some(answer["mutated_object"].clone());
    }
    Ok(answer["warnings"].is_null().then(|| payload(&pod, settings)))
}

fn is_mutated_twice(modules: &Modules, payload: &str) -> bool {
    let answer = modules.policy.validate(payload).and_then(|cost| answer(&cost));
    let rules = answer.map(|answer| answer["audit_annotations"]["rules"].clone());
    rules.is_ok_and(|rules| rules == "fs-group,token-lifetime")
}

fn answer(cost: &Cost) -> Result<Value> {
    Ok(serde_json::from_slice(&cost.answer)?)
}

/// A Pod with 1, 10, 100, 1000 elements in one of its lists.
fn grown(list: &str, pod: &AdmissionRequest) -> Vec<(usize, String)> {
    let numbers = [1, 10, 100, 1000];
    let of = |number| match list {
        "containers" => with_containers(pod, number),
        _ => with_volumes(pod, number),
    };
    numbers.map(|number| (number, payload(&of(number), &json!({})))).into()
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
    with_spec(pod, &json!({ "containers": containers, "securityContext": { "fsGroup": 1 } }))
}

fn with_volumes(pod: &AdmissionRequest, number: usize) -> AdmissionRequest {
    let volume = |i| {
        let token = json!({ "serviceAccountToken": { "path": "t", "expirationSeconds": 3600 } });
        let map = json!({ "configMap": { "name": "kube-root-ca.crt", "items": [
            { "key": "ca.crt", "path": "ca.crt" },
        ] } });
        let projected = json!({ "defaultMode": 420, "sources": [token, map] });
        json!({ "name": format!("volume-{i}"), "projected": projected })
    };
    let volumes: Vec<_> = (0..number).map(volume).collect();
    with_spec(pod, &json!({ "volumes": volumes, "securityContext": { "fsGroup": 1 } }))
}

fn with_spec(pod: &AdmissionRequest, spec: &Value) -> AdmissionRequest {
    let mut pod = pod.clone();
    pod.object = Some(json!({ "kind": "Pod", "metadata": { "name": "grown" }, "spec": spec }));
    pod
}

fn instructions(module: &Counted, payloads: &[String]) -> Result<u64> {
    payloads.iter().map(|payload| Ok(module.validate(payload)?.instructions)).sum()
}

#[expect(clippy::cast_precision_loss, reason = "these are for people to read")]
fn ratio<A: TryInto<u64>, B: TryInto<u64>>(a: A, b: B) -> f64 {
    let number = |it: Option<u64>| it.unwrap_or(u64::MAX) as f64;
    number(a.try_into().ok()) / number(b.try_into().ok())
}
