//! `cargo xtask bench`
use crate::fuel::Counted;
use anyhow::Result;
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Args {
    modules: Vec<PathBuf>,
}

pub fn bench(args: &Args) -> Result<()> {
    let mut payloads = Vec::new();
    for file in glob()? {
        let json = std::fs::read_to_string(&file)?;
        let request = crate::admission::AdmissionRequest::parse(&json)?;
        payloads.push((file, request.payload(&serde_json::json!({}))?));
    }
    let ours = Counted::load(args.modules.last().unwrap())?;
    let mut accepted = vec![];
    for (f, p) in &payloads {
        let a: serde_json::Value = serde_json::from_slice(&ours.validate(p)?.answer)?;
        let mut v: serde_json::Value = serde_json::from_str(p)?;
        if !a["mutated_object"].is_null() {
            v["request"]["object"] = a["mutated_object"].clone();
        }
        accepted.push((f.clone(), v.to_string()));
    }
    let tiny: Vec<_> = [
        r#"{}"#,
        r#"{"request":{"kind":{"group":"","kind":"Pod"},"operation":"DELETE"},"settings":{}}"#,
        r#"{"request":{"kind":{"group":"","kind":"Pod"},"object":{"spec":{}},"operation":"CREATE"},"settings":{}}"#,
        r#"{"request":{"kind":{"group":"","kind":"Pod"},"object":{"spec":{}},"operation":"CREATE"},"settings":{"mode":"mutate","exemptNamespaces":["a"]}}"#,
        r#"{"request":{"kind":{"group":"","kind":"Pod"},"object":{"spec":{"volumes":[{"name":"a","projected":{"sources":[{"serviceAccountToken":{"expirationSeconds":3600}}]}}],"securityContext":{"fsGroup":1}}},"operation":"CREATE"},"settings":{}}"#,
    ].iter().map(|p| (PathBuf::from("/tiny"), p.to_string())).collect();
    if std::env::var("V").is_ok() {
        for module in &args.modules {
            let c = Counted::load(module)?;
            for (_, p) in &tiny {
                println!("tiny {} {}", p.len(), c.validate(p)?.instructions);
            }
        }
    }
    for (name, payloads) in [("mutate", &payloads), ("accept", &accepted)] {
        println!("== {name}");
        for module in &args.modules {
            let counted = Counted::load(module)?;
            println!("{} {} {:?}", module.display(), counted.size, counted.compile_time);
            let mut total = 0;
            let mut bytes = 0;
            for (file, payload) in payloads {
                let cost = counted.validate(payload)?;
                total += cost.instructions;
                bytes += payload.len();
                if std::env::var("V").is_ok() {
                    println!(
                        "  {:?} {} {:.1} {}",
                        file.file_name().unwrap(),
                        payload.len(),
                        cost.instructions as f64 / payload.len() as f64,
                        cost.memory
                    );
                }
            }
            println!("  total {:.2}", total as f64 / bytes as f64);
        }
    }
    Ok(())
}
fn glob() -> Result<Vec<PathBuf>> {
    let mut v = vec![];
    for d in std::fs::read_dir("tests/data/requests")? {
        for f in std::fs::read_dir(d?.path())? {
            let p = f?.path();
            if p.to_string_lossy().contains("pod") {
                v.push(p);
            }
        }
    }
    v.sort();
    Ok(v)
}
