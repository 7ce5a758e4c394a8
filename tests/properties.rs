//! Laws that hold for generated requests, on the stable toolchain. `make fuzz` drives the same
//! laws with a fuzzer.

#[path = "common/grammar.rs"]
mod grammar;
#[path = "common/laws.rs"]
mod laws;

use grammar::Choices;
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn requests_and_settings_keep_the_laws(choices in vec(any::<u8>(), 0..400)) {
        let mut choices = Choices::new(&choices);
        let settings = choices.settings();
        laws::hold(&choices.request(), &settings);
    }

    #[test]
    fn any_bytes_get_an_answer(payload in vec(any::<u8>(), 0..200)) {
        laws::answers(&payload);
        laws::settings_are_answered(&payload);
    }

    #[test]
    fn any_json_gets_an_answer(payload in r#"([\[\]{}:,"\\ntu0-9eE.+\-]|"[a-z]{0,9}"|true|null|\\u[0-9a-f]{4}){0,40}"#) {
        laws::answers(payload.as_bytes());
        laws::settings_are_answered(payload.as_bytes());
        laws::readers_agree(&payload);
    }

    /// Most of these are strings with escapes, halves of surrogate pairs among them.
    #[test]
    fn escapes_are_decoded_alike(text in r#"([a-zé ]|\\[\\/"bfnrtx]|\\u(d[89cdef]|[0-9a-f]{2})[0-9a-fA-F]{2}){0,12}"#) {
        laws::readers_agree(&text);
    }

    /// A request with one byte changed, or cut off: mostly no JSON any more, and never a panic.
    #[test]
    fn damaged_requests_get_an_answer(choices in vec(any::<u8>(), 0..200), at: usize, byte: u8) {
        let mut choices = Choices::new(&choices);
        let (settings, request) = (choices.settings(), choices.request());
        let mut payload =
            serde_json::json!({ "request": request, "settings": settings }).to_string().into_bytes();
        let at = at % payload.len();
        payload[at] = byte;
        laws::answers(&payload);
        laws::answers(&payload[..at]);
        if let Ok(text) = std::str::from_utf8(&payload) {
            laws::readers_agree(text);
        }
    }
}
