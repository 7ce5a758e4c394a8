#!/usr/bin/env bash
# Licences, sources and bans of all dependencies (cargo-deny), and unused dependencies
# (cargo-machete). Installs the two into target/tools, unless they are there.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/target/tools/bin:$PATH"
if ! { command -v cargo-deny && command -v cargo-machete; } >/dev/null; then
  echo "lint: installing cargo-deny and cargo-machete into target/tools, which takes minutes" >&2
  cargo install --quiet --debug --locked --root target/tools cargo-deny@0.20.2 cargo-machete@0.9.2
fi
cargo deny --workspace --log-level error check licenses bans sources
cargo machete
