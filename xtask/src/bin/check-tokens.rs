//! `cargo xtask check` as one file with the module inside, for those who have no Rust.

use std::process::ExitCode;

fn main() -> ExitCode {
    xtask::check_tokens(include_bytes!("../../../policy.wasm"))
}
