//! Generated requests and settings: all invariants are kept.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/common/generator.rs"]
mod generator;
#[path = "../../tests/common/invariants.rs"]
mod invariants;

fuzz_target!(|choices: &[u8]| {
    let mut choices = generator::Choices::new(choices);
    let settings = choices.settings();
    let request = choices.request();
    invariants::check(&request, &settings);
});
