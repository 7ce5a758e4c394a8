//! Requests and settings from a grammar: the laws that hold for every one of them.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/common/grammar.rs"]
mod grammar;
#[path = "../../tests/common/laws.rs"]
mod laws;

fuzz_target!(|choices: &[u8]| {
    let mut choices = grammar::Choices::new(choices);
    let settings = choices.settings();
    let request = choices.request();
    laws::hold(&request, &settings);
});
