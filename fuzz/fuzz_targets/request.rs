//! Generated requests and settings: the invariant that the input chooses is kept.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/common/generator.rs"]
mod generator;
#[path = "../../tests/common/invariants.rs"]
mod invariants;

fuzz_target!(|choices: &[u8]| {
    let [kind, invariant, choices @ ..] = choices else {
        return;
    };
    // Without values of wrong types, more of the requests get as far as the rules.
    let mut choices = match kind % 2 {
        0 => generator::Choices::new(choices),
        _ => generator::Choices::typed(choices),
    };
    let settings = choices.settings();
    let request = choices.request();
    invariants::check_one(*invariant, &request, &settings);
});
