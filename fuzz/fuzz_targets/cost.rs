//! Generated requests in which two places are made long: what the module needs to judge them.
//! `cargo xtask bench` measures the shapes that somebody thought of; this looks for the others.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::LazyLock;
use xtask::fuel::Counted;
use xtask::growth::Measured;

#[path = "../../tests/common/generator.rs"]
mod generator;

/// Bytes of each place that is made long: so many that the rest of the request hardly counts, and ten
/// times as many.
const SIZES: [usize; 2] = [10_000, 100_000];

/// How much of the limit for growth is allowed: the lists are shorter than those of the benchmark's
/// table, where what sorting them costs grows less. A product of two lists would be at 8.
const SORTED: f64 = 2.0;

const MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../policy.wasm");

static POLICY: LazyLock<Counted> = LazyLock::new(|| {
    Counted::load(Path::new(MODULE)).expect("the module, which `make policy.wasm` builds")
});

fuzz_target!(|choices: &[u8]| {
    let [first, second, names, choices @ ..] = choices else {
        return;
    };
    let mut choices = generator::Choices::typed(choices);
    let settings = choices.settings();
    let request = choices.request();
    // The fuzzer sees the native code that it reaches, but not the module's.
    let short = json!({ "request": request, "settings": settings }).to_string();
    bound_service_account_tokens::validate(short.as_bytes()).expect("an answer");

    let places = places(&request);
    let Some(last) = places.len().checked_sub(1) else {
        return;
    };
    let both = [first, second].map(|choice| &places[usize::from(*choice).min(last)]);
    let names = Names::new(*names);
    let mut before = None;
    for bytes in SIZES {
        let mut request = request.clone();
        for place in both {
            if let Some(value) = request.pointer_mut(place) {
                lengthen(value, bytes, names);
            }
        }
        let payload = json!({ "request": request, "settings": settings }).to_string();
        let measured = Measured::new(&POLICY, &payload, before.as_ref())
            .unwrap_or_else(|e| panic!("{e}\nwith {both:?} made long in {short}"));
        assert!(
            measured.share <= 1.0 && measured.growth <= SORTED,
            "{measured}\nwith {both:?} made long in {short}"
        );
        before = Some(measured);
    }
});

/// How the elements of a list that was made long differ.
#[derive(Clone, Copy)]
enum Names {
    /// Not at all.
    Same,
    /// By `name`, as Kubernetes wants it of most lists.
    Numbered,
    /// By each of their texts.
    AllNumbered,
}

impl Names {
    fn new(choice: u8) -> Self {
        match choice % 3 {
            0 => Self::Same,
            1 => Self::Numbered,
            _ => Self::AllNumbered,
        }
    }

    fn number(self, element: &mut Value, number: usize) {
        match (self, element) {
            (Self::Same, _) => {}
            (_, Value::String(text)) => *text = format!("{text}{number}"),
            (_, Value::Object(members)) => {
                for (key, member) in members {
                    if let Value::String(text) = member
                        && (key == "name" || matches!(self, Self::AllNumbered))
                    {
                        *text = format!("{text}{number}");
                    }
                }
            }
            _ => {}
        }
    }
}

/// Where the objects of a request can be made long, as JSON pointers.
fn places(request: &Value) -> Vec<String> {
    let mut places = Vec::new();
    for object in ["object", "oldObject"] {
        add_places(&request[object], &format!("/{object}"), &mut places);
    }
    places
}

fn add_places(value: &Value, pointer: &str, places: &mut Vec<String>) {
    match value {
        Value::String(_) => places.push(pointer.to_owned()),
        Value::Array(elements) if !elements.is_empty() => {
            places.push(pointer.to_owned());
            for (i, element) in elements.iter().enumerate() {
                add_places(element, &format!("{pointer}/{i}"), places);
            }
        }
        Value::Object(members) => {
            // Such as annotations.
            if !members.is_empty() && members.values().all(Value::is_string) {
                places.push(pointer.to_owned());
            }
            for (key, member) in members {
                let key = key.replace('~', "~0").replace('/', "~1");
                add_places(member, &format!("{pointer}/{key}"), places);
            }
        }
        _ => {}
    }
}

/// Repeats what a value has until it takes so many bytes.
fn lengthen(value: &mut Value, bytes: usize, names: Names) {
    let times = bytes / value.to_string().len().max(1);
    match value {
        Value::String(text) => *text = text.repeat(times.max(1)),
        Value::Array(elements) => {
            let once = elements.clone();
            for number in 1..times {
                let mut elements_again = once.clone();
                for element in &mut elements_again {
                    names.number(element, number);
                }
                elements.append(&mut elements_again);
            }
        }
        Value::Object(members) => {
            let once = members.clone();
            for number in 1..times {
                members.extend(
                    once.iter()
                        .map(|(key, member)| (format!("{key}{number}"), member.clone())),
                );
            }
        }
        _ => {}
    }
}
