#!/usr/bin/env bash
# The module's bill of materials, in CycloneDX, as policy-sbom.cdx.json. Installs cargo-cyclonedx into
# target/tools, unless it is there.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/target/tools/bin:$PATH"
if ! command -v cargo-cyclonedx >/dev/null; then
  echo "sbom: installing cargo-cyclonedx into target/tools" >&2
  cargo install --quiet --locked --root target/tools cargo-cyclonedx@0.5.9
fi
# It writes one for each member of the workspace, beside its Cargo.toml: only the first is of use.
cargo cyclonedx --quiet --format json --spec-version 1.5 --describe binaries \
  --target wasm32-unknown-unknown --no-build-deps
mv bound_service_account_tokens_cdylib-rlib.cdx.json policy-sbom.cdx.json
rm -f {bench,chart-tests,xtask}/*.cdx.json {bench,xtask}/*/*.cdx.json
