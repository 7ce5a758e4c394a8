#!/usr/bin/env bash
# All tests, and at the end how many ran, also when some fail, and which took longest.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p target
log=target/test.log

# What guards main asks the same of each commit. `cargo test` alone generates others each time.
export PROPTEST_RNG_SEED=${PROPTEST_RNG_SEED:-7}

# One package at a time: Cargo builds the dependencies of the packages that it is given with the
# features of all of them, so that together they would build wasmtime once more than alone.
tests() {
  cargo test --locked --no-fail-fast --package bound-service-account-tokens &&
    cargo test --locked --no-fail-fast --package xtask &&
    make --no-print-directory e2e-tests
}

make --no-print-directory lint
ok=yes
tests 2>&1 | tee "$log" || ok=no

# cargo: "test result: ok. 8 passed; 0 failed; …"; bats: a line for each test.
passed=$(($(awk '/^test result:/ { sum += $4 } END { print sum + 0 }' "$log") + $(grep -cE '^ok [0-9]+' "$log" || true)))
failed=$(($(awk '/^test result:/ { sum += $6 } END { print sum + 0 }' "$log") + $(grep -cE '^not ok [0-9]+' "$log" || true)))

# Stable Cargo has no time for a single test, but one for each file of tests; bats has both.
echo "the slowest, in seconds:"
awk '/^ +Running / { file = $2 == "unittests" ? $3 : $2 }
  /^ +Doc-tests / { file = "Doc-tests of " $2 }
  /^test result:.* finished in / { printf "%8.1f  %s, %d tests\n", $NF, file, $4 + $6 }
  /^(not )?ok [0-9]+ .* in [0-9]+ms$/ { ms = $NF; sub(/^(not )?ok [0-9]+ /, ""); sub(/ in [0-9]+ms$/, ""); printf "%8.1f  %s\n", ms / 1000, $0 }' "$log" |
  sort -rn | sed 10q
echo "$passed passed, $failed failed"
[ "$ok" = yes ] && [ "$passed" -gt 0 ] && [ "$failed" = 0 ]
