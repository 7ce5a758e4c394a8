#!/usr/bin/env bash
# All checks, and at the end how many tests ran, also when some fail.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p target
log=target/test.log

make --no-print-directory lint
ok=yes
{ cargo test --locked --no-fail-fast && make --no-print-directory e2e-tests; } 2>&1 | tee "$log" || ok=no

# cargo: "test result: ok. 8 passed; 0 failed; …"; bats: a line for each test.
passed=$(($(awk '/^test result:/ { sum += $4 } END { print sum + 0 }' "$log") + $(grep -cE '^ok [0-9]+' "$log" || true)))
failed=$(($(awk '/^test result:/ { sum += $6 } END { print sum + 0 }' "$log") + $(grep -cE '^not ok [0-9]+' "$log" || true)))
echo "$passed passed, $failed failed"
[ "$ok" = yes ] && [ "$passed" -gt 0 ] && [ "$failed" = 0 ]
