//! What a request costs at worst: each pair of lists that somebody can make long, at three sizes.
//! Judging is linear in the payload, so that nobody stops policy-server with a few kilobytes.

use crate::bench::ratio;
use crate::fuel::{Cost, Counted};
use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};
use std::fmt;
use std::path::Path;

/// The most instructions for a payload: so many a byte, and so many for any.
const A_BYTE: u64 = 500;
const FOR_ANY: u64 = 5_000_000;
/// Ten times the bytes cost at most so many times as much.
const GROWTH: f64 = 12.0;
/// The longest answer beside the object, and the longest log line, in bytes.
const ANSWER: usize = 64 * 1024;
const SIZES: [usize; 3] = [10_000, 100_000, 2_000_000];
/// How many rows are shown.
const SHOWN: usize = 5;

const FOLDER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The parts of a request that grow.
#[derive(Default)]
struct Parts {
    volumes: Vec<Value>,
    /// Of a Secret volume that holds a token of the Pod's own account.
    items: Vec<Value>,
    /// Of a projected volume.
    sources: Vec<Value>,
    mounts: Vec<Value>,
    containers: Map<String, Value>,
    capabilities: Vec<Value>,
    env: Vec<Value>,
    env_from: Vec<Value>,
    claims: Vec<Value>,
    terms: Vec<Value>,
    annotations: Map<String, Value>,
    audiences: Vec<Value>,
    token_requests: Vec<Value>,
}

/// A list that can be made long, and how it takes so many bytes.
type Dimension = (&'static str, fn(&mut Parts, usize));

/// Elements, each made of its number, until they take so many bytes.
fn fill(bytes: usize, element: impl Fn(usize) -> Value) -> Vec<Value> {
    let mut elements = Vec::new();
    let mut length = 0;
    while length < bytes {
        let element = element(elements.len());
        length += element.to_string().len() + 1;
        elements.push(element);
    }
    elements
}

/// Members of one value, such as labels, until they take so many bytes.
fn fill_map(bytes: usize, value: &str) -> Value {
    let member = |i: usize| (format!("member {i}"), json!(value));
    let number = bytes / "\"member 10000\":\"value\",".len();
    Value::Object((0..number).map(member).collect())
}

fn long_path(bytes: usize) -> String {
    "a/".repeat(bytes / 2) + "token"
}

const DIMENSIONS: [Dimension; 31] = [
    ("volumes", |parts, bytes| {
        let own = "app-token-x7k2p";
        parts.volumes.extend(fill(
            bytes,
            |i| json!({ "name": format!("v{i}"), "secret": { "secretName": own } }),
        ));
    }),
    ("volumes of tokens", |parts, bytes| {
        parts.volumes.extend(fill(bytes, |i| {
            let token =
                json!({ "serviceAccountToken": { "path": "t", "expirationSeconds": 86400 } });
            json!({ "name": format!("v{i}"), "projected": { "sources": [token] } })
        }));
    }),
    ("disks", |parts, bytes| {
        parts.volumes.extend(fill(
            bytes,
            |i| json!({ "name": format!("v{i}"), "persistentVolumeClaim": { "claimName": "c" } }),
        ));
    }),
    ("volumes of one name", |parts, bytes| {
        parts.volumes.extend(fill(
            bytes,
            |_| json!({ "name": "secret", "secret": { "secretName": "app-token-x7k2p" } }),
        ));
    }),
    ("volumes with names of up to 10 kB", |parts, bytes| {
        let name = "n".repeat(10_000.min(bytes / 4));
        parts.volumes.extend(fill(
            bytes,
            |i| json!({ "name": format!("{name}{i}"), "secret": { "secretName": "x" } }),
        ));
    }),
    ("sources", |parts, bytes| {
        parts
            .sources
            .extend(fill(bytes, |_| json!({ "configMap": { "name": "c" } })));
    }),
    ("sources that are Secrets", |parts, bytes| {
        parts.sources.extend(fill(bytes, |i| {
            json!({ "secret": { "name": format!("s{i}"), "items": [{ "key": "k", "path": "token" }] } })
        }));
    }),
    ("tokens", |parts, bytes| {
        parts.sources.extend(fill(bytes, |i| {
            json!({ "serviceAccountToken": { "path": format!("t{i}"), "expirationSeconds": 86400 } })
        }));
    }),
    ("tokens for other audiences", |parts, bytes| {
        parts.sources.extend(fill(bytes, |i| {
            json!({ "serviceAccountToken": { "path": format!("t{i}"), "audience": format!("a{i}") } })
        }));
    }),
    ("items", |parts, bytes| {
        parts.items.extend(fill(
            bytes,
            |i| json!({ "key": "token", "path": format!("p{i}/token") }),
        ));
    }),
    ("items of one path", |parts, bytes| {
        parts
            .items
            .extend(fill(bytes, |_| json!({ "key": "token", "path": "token" })));
    }),
    ("segments of an item's path", |parts, bytes| {
        parts
            .items
            .push(json!({ "key": "token", "path": long_path(bytes) }));
    }),
    ("segments of a token's path", |parts, bytes| {
        let token = json!({ "path": long_path(bytes), "expirationSeconds": 3600 });
        parts.sources.push(json!({ "serviceAccountToken": token }));
    }),
    ("segments of a mount path", |parts, bytes| {
        let path = format!("/{}/../..", "b/".repeat(bytes / 2));
        parts
            .mounts
            .push(json!({ "name": "secret", "mountPath": path }));
    }),
    ("segments of a subPath", |parts, bytes| {
        let mount =
            json!({ "name": "projected", "mountPath": FOLDER, "subPath": long_path(bytes) });
        parts.mounts.push(mount);
    }),
    ("mounts of one volume", |parts, bytes| {
        parts.mounts.extend(fill(
            bytes,
            |i| json!({ "name": "secret", "mountPath": format!("/m{i}") }),
        ));
    }),
    ("mounts where clients look", |parts, bytes| {
        parts.mounts.extend(fill(
            bytes,
            |_| json!({ "name": "secret", "mountPath": FOLDER }),
        ));
    }),
    ("mounts with a subPath", |parts, bytes| {
        parts.mounts.extend(fill(
            bytes,
            |i| json!({ "name": "projected", "mountPath": "/t", "subPath": format!("t{i}") }),
        ));
    }),
    ("mounts with an expression", |parts, bytes| {
        let names = ["secret", "projected"];
        parts.mounts.extend(fill(
            bytes,
            |i| json!({ "name": names[i % 2], "mountPath": FOLDER, "subPathExpr": "$(X)" }),
        ));
    }),
    ("mounts of many volumes", |parts, bytes| {
        parts.mounts.extend(fill(
            bytes,
            |i| json!({ "name": format!("v{i}"), "mountPath": FOLDER }),
        ));
    }),
    ("containers", |parts, bytes| {
        add_containers(parts, "containers", bytes);
    }),
    ("initContainers", |parts, bytes| {
        add_containers(parts, "initContainers", bytes);
    }),
    ("ephemeralContainers", |parts, bytes| {
        add_containers(parts, "ephemeralContainers", bytes);
    }),
    ("capabilities", |parts, bytes| {
        parts
            .capabilities
            .extend(fill(bytes, |i| json!(format!("C{i}"))));
    }),
    ("env", |parts, bytes| {
        let secret = json!({ "secretKeyRef": { "name": "app-token-x7k2p", "key": "token" } });
        parts.env.extend(fill(
            bytes,
            |i| json!({ "name": format!("E{i}"), "valueFrom": secret }),
        ));
    }),
    ("envFrom", |parts, bytes| {
        let source = json!({ "secretRef": { "name": "app-token-x7k2p" } });
        parts.env_from.extend(fill(bytes, |_| source.clone()));
    }),
    ("volumeClaimTemplates", |parts, bytes| {
        parts.claims.extend(fill(
            bytes,
            |i| json!({ "metadata": { "name": format!("v{i}") } }),
        ));
    }),
    ("node selector terms", |parts, bytes| {
        let windows = json!({ "key": "kubernetes.io/os", "operator": "In", "values": ["windows"] });
        parts
            .terms
            .extend(fill(bytes, |_| json!({ "matchExpressions": [windows] })));
    }),
    ("annotations", |parts, bytes| {
        for (i, value) in fill(bytes, |i| json!(format!("annotation {i}")))
            .into_iter()
            .enumerate()
        {
            parts.annotations.insert(format!("a{i}"), value);
        }
    }),
    ("audiences", |parts, bytes| {
        parts
            .audiences
            .extend(fill(bytes, |i| json!(format!("{i:x}"))));
    }),
    ("tokenRequests", |parts, bytes| {
        parts.token_requests.extend(fill(
            bytes,
            |i| json!({ "audience": format!("{i:x}"), "expirationSeconds": 86400 }),
        ));
    }),
];

fn add_containers(parts: &mut Parts, list: &str, bytes: usize) {
    let containers = fill(bytes, |i| {
        let mounts = json!([
            { "name": "secret", "mountPath": FOLDER }, { "name": "projected", "mountPath": "/t" },
        ]);
        json!({ "name": format!("c{i}"), "volumeMounts": mounts })
    });
    parts.containers.insert(list.to_owned(), json!(containers));
}

impl Parts {
    /// Half of the bytes for each of two dimensions.
    fn of_pair(dimensions: [&Dimension; 2], bytes: usize) -> Self {
        let mut parts = Self::default();
        for (_, grow) in dimensions {
            grow(&mut parts, bytes / 2);
        }
        parts
    }

    fn pod_spec(&self) -> Value {
        let mut volumes = self.volumes.clone();
        let secret = json!({ "secretName": "app-token-x7k2p", "items": self.items });
        volumes.push(json!({ "name": "secret", "secret": secret }));
        volumes.push(json!({ "name": "projected", "projected": { "sources": self.sources } }));
        let mut spec = json!({ "serviceAccountName": "app", "volumes": volumes });
        for (list, containers) in &self.containers {
            spec[list] = containers.clone();
        }
        let first = json!({
            "name": "first", "volumeMounts": self.mounts, "env": self.env, "envFrom": self.env_from,
            "securityContext": { "capabilities": { "add": self.capabilities } },
        });
        match spec["containers"].as_array_mut() {
            Some(containers) => containers.push(first),
            None => spec["containers"] = json!([first]),
        }
        let selector = json!({ "nodeSelectorTerms": self.terms });
        let when = "requiredDuringSchedulingIgnoredDuringExecution";
        spec["affinity"] = json!({ "nodeAffinity": { when: selector } });
        spec
    }

    /// Group, kind, subresource and object of the request that has these parts.
    fn object(&self) -> (&'static str, &'static str, &'static str, Value) {
        let metadata = json!({ "name": "app", "annotations": self.annotations });
        if !self.audiences.is_empty() {
            let spec = json!({ "audiences": self.audiences, "expirationSeconds": 86400 });
            let object = json!({ "metadata": metadata, "spec": spec });
            return ("authentication.k8s.io", "TokenRequest", "token", object);
        }
        if !self.token_requests.is_empty() {
            let spec = json!({ "tokenRequests": self.token_requests });
            let object = json!({ "metadata": metadata, "spec": spec });
            return ("storage.k8s.io", "CSIDriver", "", object);
        }
        let pod = json!({ "metadata": metadata, "spec": self.pod_spec() });
        if self.claims.is_empty() {
            return ("", "Pod", "", pod);
        }
        let spec = json!({ "template": pod, "volumeClaimTemplates": self.claims });
        (
            "apps",
            "StatefulSet",
            "",
            json!({ "metadata": { "name": "app" }, "spec": spec }),
        )
    }

    fn payload(&self, settings: &Value) -> String {
        let (group, kind, sub_resource, object) = self.object();
        let mut request = create((group, kind), &object);
        request["subResource"] = json!(sub_resource);
        payload(&request, settings)
    }
}

fn payload(request: &Value, settings: &Value) -> String {
    json!({ "request": request, "settings": settings }).to_string()
}

/// A request of so many bytes.
type Shape = (&'static str, fn(usize) -> Value);

/// What no pair of dimensions is, and what fuzzing found to be too expensive once.
const SHAPES: [Shape; 4] = [
    ("annotations of a token Secret that is updated", |bytes| {
        let secret = |value: &str| {
            let annotations = fill_map(bytes / 2, value);
            let metadata = json!({ "name": "app-token-x7k2p", "annotations": annotations });
            json!({ "type": "kubernetes.io/service-account-token", "metadata": metadata })
        };
        update(("", "Secret"), &secret("old"), &secret("new"))
    }),
    ("labels of a template that is updated", |bytes| {
        let deployment = |value: &str| {
            let labels = fill_map(bytes / 2, value);
            json!({ "spec": { "template": { "metadata": { "labels": labels }, "spec": {} } } })
        };
        update(
            ("apps", "Deployment"),
            &deployment("old"),
            &deployment("new"),
        )
    }),
    ("an account's name, and envFrom", |bytes| {
        let source = json!({ "secretRef": { "name": "app-token-x7k2p" } });
        let container = json!({ "name": "c", "envFrom": fill(bytes / 2, |_| source.clone()) });
        let account = "a".repeat(bytes / 2);
        let spec = json!({ "serviceAccountName": account, "containers": [container] });
        create(("", "Pod"), &json!({ "spec": spec }))
    }),
    ("tokenRequests that say nothing", |bytes| {
        let tokens = fill(bytes / 2, |_| json!({}));
        let driver = json!({ "spec": { "tokenRequests": tokens } });
        update(("storage.k8s.io", "CSIDriver"), &json!({}), &driver)
    }),
];

fn create((group, kind): (&str, &str), object: &Value) -> Value {
    json!({
        "uid": "1", "kind": { "group": group, "version": "v1", "kind": kind },
        "operation": "CREATE", "namespace": "payments", "name": "app",
        "userInfo": { "username": "alex", "groups": ["dev"] }, "object": object,
    })
}

fn update(group_and_kind: (&str, &str), old: &Value, new: &Value) -> Value {
    let mut request = create(group_and_kind, new);
    request["operation"] = json!("UPDATE");
    request["oldObject"] = old.clone();
    request
}

/// What judging a payload costs, against the limits.
pub struct Measured {
    bytes: usize,
    instructions: u64,
    /// Of the limit for so many bytes: 1 at most.
    pub share: f64,
    /// Of the limit for growth from the size before: 1 at most.
    pub growth: f64,
}

impl Measured {
    /// Has the module judge a payload; `before` is what a shorter one of the same shape cost.
    ///
    /// # Errors
    ///
    /// When the module doesn't answer, and when its answer or a log line is too long.
    pub fn new(policy: &Counted, payload: &str, before: Option<&Self>) -> Result<Self> {
        let Cost {
            instructions,
            answer,
            longest_log_line,
            ..
        } = policy.validate(payload)?;
        check_length(&answer, longest_log_line)?;
        let bytes = payload.len();
        let limit = A_BYTE * u64::try_from(bytes)? + FOR_ANY;
        Ok(Self {
            bytes,
            instructions,
            share: ratio(instructions, limit),
            growth: before.map_or(0.0, |before| {
                let tenfolds = ratio(bytes, before.bytes).log10();
                ratio(instructions, before.instructions) / GROWTH.powf(tenfolds)
            }),
        })
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            bytes,
            instructions,
            share,
            growth,
        } = self;
        write!(
            f,
            "{instructions} instructions for {bytes} bytes: {share:.2} of the limit, and its growth {growth:.2}"
        )
    }
}

/// Two dimensions, or a shape, and what judging them cost.
struct Row {
    name: String,
    measured: Measured,
}

/// What was measured, and what of it is above a limit.
struct Growth<'p> {
    policy: &'p Counted,
    rows: Vec<Row>,
    missed: Vec<String>,
}

impl Growth<'_> {
    /// Has the module judge payloads of each size.
    fn measure(
        &mut self,
        name: &str,
        sizes: &[usize],
        payload: impl Fn(usize) -> String,
    ) -> Result<()> {
        let first_row = self.rows.len();
        for size in sizes {
            let before = self.rows[first_row..].last().map(|row| &row.measured);
            let measured = Measured::new(self.policy, &payload(*size), before)
                .with_context(|| name.to_owned())?;
            if measured.share > 1.0 || measured.growth > 1.0 {
                self.missed.push(format!("{name}: {measured}"));
            }
            let name = name.to_owned();
            self.rows.push(Row { name, measured });
        }
        Ok(())
    }
}

/// Prints the worst of all pairs, and what is above the limits.
pub(crate) fn check(policy: &Counted, examples: &Path) -> Result<Vec<String>> {
    let mut growth = Growth {
        policy,
        rows: Vec::new(),
        missed: Vec::new(),
    };
    let settings = settings_of(examples)?;
    for (i, first) in DIMENSIONS.iter().enumerate() {
        for second in &DIMENSIONS[i..] {
            let name = format!("{}, {}", first.0, second.0);
            let pair = |size| Parts::of_pair([first, second], size);
            growth.measure(&name, &SIZES, |size| pair(size).payload(&json!({})))?;
            for settings in &settings {
                growth.measure(&name, &SIZES[..1], |size| pair(size).payload(settings))?;
            }
        }
    }
    for (name, request) in SHAPES {
        growth.measure(name, &SIZES, |size| payload(&request(size), &json!({})))?;
    }
    let mut rows = growth.rows;
    let worst = format!("worst of {} requests", rows.len());
    print_highest(&worst, &mut rows, |measured| measured.share);
    print_highest("fastest growth", &mut rows, |measured| measured.growth);
    Ok(growth.missed)
}

/// A table of the rows with the highest measure.
fn print_highest(title: &str, rows: &mut [Row], measure: fn(&Measured) -> f64) {
    rows.sort_by(|a, b| measure(&b.measured).total_cmp(&measure(&a.measured)));
    println!("\n| {title} | bytes | instructions | of the limit |");
    println!("| --- | --- | --- | --- |");
    for row in rows.iter().take(SHOWN) {
        let Row { name, measured } = row;
        let Measured {
            bytes,
            instructions,
            ..
        } = measured;
        let of_the_limit = measure(measured);
        println!("| {name} | {bytes} | {instructions} | {of_the_limit:.2} |");
    }
}

/// The cases of hostile requests that say what judging them may cost.
pub(crate) fn check_cases(policy: &Counted, folder: &Path) -> Result<Vec<String>> {
    let mut missed = Vec::new();
    let mut checked = 0;
    for file in std::fs::read_dir(folder)? {
        let path = file?.path();
        let case: Value = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
        let Some(limit) = case["expect"]["instructions"].as_u64() else {
            continue;
        };
        let payload = payload(&case["request"], &case["settings"]);
        let instructions = policy.validate(&payload)?.instructions;
        println!(
            "{}: {instructions} instructions, of {limit} at most",
            path.display()
        );
        if instructions > limit {
            missed.push(format!("{}: {instructions} instructions", path.display()));
        }
        checked += 1;
    }
    ensure!(
        checked > 0,
        "no case in {} says what it may cost",
        folder.display()
    );
    Ok(missed)
}

/// An answer is short, whatever comes.
fn check_length(answer: &[u8], longest_log_line: usize) -> Result<()> {
    let mut answer: Value = serde_json::from_slice(answer)?;
    answer["mutated_object"].take();
    let length = answer.to_string().len();
    ensure!(length <= ANSWER, "an answer of {length} bytes");
    ensure!(
        longest_log_line <= ANSWER,
        "a log line of {longest_log_line} bytes"
    );
    Ok(())
}

/// The settings of all policies in the examples.
fn settings_of(examples: &Path) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    for file in std::fs::read_dir(examples)? {
        let text = std::fs::read_to_string(file?.path())?;
        for document in text.split("\n---\n") {
            let policy: Value = yaml_serde::from_str(document)?;
            let settings = &policy["spec"]["settings"];
            if settings.is_object() && !all.contains(settings) {
                all.push(settings.clone());
            }
        }
    }
    ensure!(
        all.len() > 3,
        "only {} settings in {}",
        all.len(),
        examples.display()
    );
    Ok(all)
}
