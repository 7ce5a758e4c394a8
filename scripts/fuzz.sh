#!/usr/bin/env bash
# Fuzzes each target for SECONDS (600), or only those that are named: scripts/fuzz.sh SECONDS [TARGET…]
#   request: whole requests and settings from the generator of the property tests, and one of its invariants;
#   cost: the same requests, made long in two places, and the module's instructions for them;
#   payload: any bytes as the payload;
#   settings: any bytes as the settings.
# Needs the nightly toolchain, cargo-fuzz and jq. What lies in tests/data is the first input of the
# last two. The first build of `cost` takes a quarter of an hour.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-600}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(request cost payload settings)

# Payloads as policy-server would send them, and the settings of the test cases.
seed() {
  local file name
  mkdir -p fuzz/corpus/payload fuzz/corpus/settings
  while read -r file; do
    name=${file#tests/data/}
    name=${name//\//-}
    jq --compact-output 'select(.request?) | {request, settings: (.settings // {})}' "$file" >"fuzz/corpus/payload/$name"
    jq --compact-output '.settings? // empty' "$file" >"fuzz/corpus/settings/$name"
  done < <(find tests/data -name '*.json')
  find fuzz/corpus/payload fuzz/corpus/settings -empty -type f -delete
}

seed
for target in "${targets[@]}"; do
  options=()
  if [ "$target" = cost ]; then
    make policy.wasm
    # The module has memory of its own, which the address sanitizer doesn't see.
    options=(--sanitizer none --features cost)
  fi
  cargo +nightly fuzz run "${options[@]}" "$target" -- -max_total_time="$seconds" -len_control=0 -entropic=0 -timeout=30 -max_len=16384 -close_fd_mask=1
done
