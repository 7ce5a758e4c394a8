#!/usr/bin/env bash
# Licences, sources and bans (cargo-deny) and dependencies that nobody uses (cargo-machete), where
# these are installed: building cargo-deny takes longer than all tests.
set -euo pipefail
cd "$(dirname "$0")/.."
if command -v cargo-deny >/dev/null; then
  cargo deny check licenses bans sources
else
  echo "lint: cargo-deny is not installed, dependencies NOT checked: cargo install --locked cargo-deny" >&2
fi
if command -v cargo-machete >/dev/null; then
  cargo machete
else
  echo "lint: cargo-machete is not installed, dependencies NOT checked: cargo install --locked cargo-machete" >&2
fi
