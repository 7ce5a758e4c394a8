#!/usr/bin/env bash
# Fuzzes each target for SECONDS (600), or only those that are named: scripts/fuzz.sh SECONDS [TARGET…]
# Needs the nightly toolchain and cargo-fuzz. The captured requests are the first inputs.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-600}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(payload request settings)

seed() { # from the captured requests, as policy-server would send them
  mkdir -p fuzz/corpus/payload fuzz/corpus/settings
  for file in tests/data/special/*.json tests/data/requests/*/*.json; do
    name=$(sed 's#/#-#g' <<<"${file#tests/data/}")
    sed -E 's/^.*("request":\{"uid")/{\1/; s/\}$/,"settings":{}}/' "$file" >"fuzz/corpus/payload/$name"
  done
  grep -ho "'{.*}'" e2e.bats | tr -d "'" | split -l 1 - fuzz/corpus/settings/e2e-
}

seed
for target in "${targets[@]}"; do
  cargo +nightly fuzz run "$target" -- -max_total_time="$seconds" -timeout=10 -max_len=16384 -close_fd_mask=1
done
