//! Any bytes as the payload: an answer each time, that policy-server can read; and the policy's
//! reader of JSON agrees with serde_json about what is JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/common/laws.rs"]
mod laws;

fuzz_target!(|payload: &[u8]| {
    laws::answers(payload);
    if let Ok(text) = std::str::from_utf8(payload) {
        laws::readers_agree(text);
    }
});
