//! Any bytes as settings: an answer that people can read.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/common/invariants.rs"]
mod invariants;

fuzz_target!(|settings: &[u8]| invariants::settings_are_answered(settings));
