#!/usr/bin/env bash
# Builds the workspace's packages PACKAGE… for wasm32-unknown-unknown, release profile, with
# whatever this machine has, and says in one line what it took:
#   1. the active toolchain, when it has the wasm32 standard library;
#   2. else the same toolchain after `rustup target add`;
#   3. else, on Debian and Ubuntu, the distribution's compiler, which builds the standard library
#      from its source package. No rustup toolchain is touched;
#   4. else nothing: it says what to install.
set -euo pipefail
cd "$(dirname "$0")/.."
target=wasm32-unknown-unknown
packages=(); for package in "$@"; do packages+=(--package "$package"); done

# No path of this machine goes into the module: two builds anywhere give the same bytes.
remap="--remap-path-prefix=$PWD=/src --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"

has_std() { [ -d "$("${RUSTC:-rustc}" --print sysroot)/lib/rustlib/$target/lib" ]; }
root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
build() {
  echo "build-wasm: using $1" >&2; shift
  cargo build --locked --release --target "$target" "${packages[@]}" "$@"
}

distribution_packages() { # the newest compiler that comes with a wasm linker and the library's source
  command -v apt-get >/dev/null || return 1
  local need=(rustc-web rust-web-src lld-22 libllvm22)
  dpkg -s "${need[@]}" >/dev/null 2>&1 && return
  { root apt-get update -qq && root apt-get install -y -qq --no-install-recommends "${need[@]}"; } >&2
}

if has_std; then
  RUSTFLAGS="$remap" build "the installed target $target"
elif command -v rustup >/dev/null && rustup target add "$target" >/dev/null 2>&1 && has_std; then
  RUSTFLAGS="$remap" build "rustup target add $target"
elif distribution_packages; then
  export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld-22
  RUSTFLAGS="$remap --remap-path-prefix=$(/usr/bin/rustc --print sysroot)/lib/rustlib/src=/rust" \
    build "the distribution's rustc and -Zbuild-std" -Zbuild-std=std,panic_abort
else
  echo "build-wasm: no Rust compiler for $target here: install it with 'rustup target add $target'" >&2
  exit 1
fi
