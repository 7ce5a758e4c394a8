#!/usr/bin/env bash
# Builds check-tokens, the command `cargo xtask check` with policy.wasm inside, for the machine that it
# is built on: check-tokens-linux-amd64, or -arm64. It is linked statically, and so runs on every Linux.
set -euo pipefail
cd "$(dirname "$0")/.."
case $(uname -m) in
  x86_64) platform=amd64 ;;
  aarch64) platform=arm64 ;;
  *) echo "build-check-tokens: not for $(uname -m)" >&2; exit 1 ;;
esac
[ -e policy.wasm ] || { echo "build-check-tokens: run 'make policy.wasm' first" >&2; exit 1; }
target=$(uname -m)-unknown-linux-gnu
remap="--remap-path-prefix=$PWD=/src --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
RUSTFLAGS="-C target-feature=+crt-static $remap" cargo build --locked --profile check-tokens \
  --target "$target" --package xtask --bin check-tokens --features embedded-module
cp "target/$target/check-tokens/check-tokens" "check-tokens-linux-$platform"
echo "check-tokens-linux-$platform"
