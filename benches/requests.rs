//! How long the policy takes natively over the captured Pods, beside the floor and the baseline of
//! `bench/`. Wasm instructions, which don't depend on the machine, are counted by
//! `cargo xtask bench`.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kubewarden_policy_sdk::response::ValidationResponse;
use serde_json::{Value, json};
use std::hint::black_box;
use std::time::Duration;
use wapc_guest::CallResult;

#[path = "../tests/common/mod.rs"]
mod common;

type Validate = fn(&[u8]) -> CallResult;

const MODULES: [(&str, Validate); 3] = [
    ("policy", bound_service_account_tokens::validate),
    ("floor", bench_floor::validate),
    ("typed", bench_typed::validate),
];

fn payloads(pods: &[Value], settings: &Value) -> Vec<String> {
    pods.iter()
        .map(|pod| common::payload(pod, settings))
        .collect()
}

/// The Pod as the policy leaves it, if it then accepts it without a change.
fn accepted(pod: &Value) -> Option<Value> {
    let mut pod = pod.clone();
    if let Some(object) = common::ask(&pod, &json!({})).mutated_object {
        pod["object"] = object;
    }
    let ValidationResponse {
        accepted,
        mutated_object,
        ..
    } = common::ask(&pod, &json!({}));
    (accepted && mutated_object.is_none()).then_some(pod)
}

fn is_mutated(pod: &Value) -> bool {
    common::ask(pod, &json!({})).mutated_object.is_some()
}

fn requests(criterion: &mut Criterion) {
    let pods: Vec<_> = common::Captured::corpus()
        .into_iter()
        .filter(|captured| captured.kind() == "Pod")
        .map(|captured| captured.request)
        .collect();
    let accepted: Vec<_> = pods.iter().filter_map(accepted).collect();
    let mutated: Vec<_> = pods.iter().filter(|pod| is_mutated(pod)).cloned().collect();
    for (name, payloads) in [
        ("accept", payloads(&accepted, &json!({}))),
        ("mutate", payloads(&mutated, &json!({}))),
        (
            "exempt",
            payloads(&pods, &json!({ "exemptNamespaces": ["*"] })),
        ),
        ("reject", payloads(&pods, &json!({ "mode": "reject" }))),
    ] {
        assert!(!payloads.is_empty(), "{name}: no request");
        let mut group = criterion.benchmark_group(name);
        let bytes = payloads.iter().map(String::len).sum::<usize>();
        group.throughput(Throughput::Bytes(bytes.try_into().expect("fits")));
        for (module, validate) in MODULES {
            group.bench_with_input(BenchmarkId::from_parameter(module), &payloads, |b, all| {
                b.iter(|| {
                    for payload in all {
                        let answer = validate(black_box(payload.as_bytes()));
                        assert!(black_box(answer).is_ok());
                    }
                });
            });
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20);
    targets = requests
}
criterion_main!(benches);
