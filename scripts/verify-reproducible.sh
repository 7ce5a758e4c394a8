#!/usr/bin/env bash
# Builds the module twice, in two other folders, and compares the bytes.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for folder in one another/folder; do
  mkdir -p "$work/$folder"
  git archive HEAD | tar -x -C "$work/$folder"
  make --no-print-directory -C "$work/$folder" policy.wasm >&2
  sha256sum <"$work/$folder/policy.wasm"
done | uniq | { read -r sum _; if read -r other _; then echo "different: $sum $other"; exit 1; fi; echo "the same bytes, twice: sha256 $sum"; }
