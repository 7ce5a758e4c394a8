//! Any bytes as the payload: an answer each time, that policy-server can decode.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/common/invariants.rs"]
mod invariants;

fuzz_target!(|payload: &[u8]| {
    invariants::answer(payload);
});
