//! Any bytes as settings: an answer that people can read, and the same one when they are judged
//! with a request.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/common/laws.rs"]
mod laws;

fuzz_target!(|settings: &[u8]| laws::settings_are_answered(settings));
