#!/usr/bin/env bash
# The chart's tests, with real helm and kubectl, and at the end how many ran. What is given goes to
# `cargo test`: a name, say.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/target/tools/bin:$PATH"
scripts/install-helm.sh
log=target/test-chart.log
ok=yes
cargo test --locked --package chart-tests --no-fail-fast "$@" 2>&1 | tee "$log" || ok=no
passed=$(awk '/^test result:/ { sum += $4 } END { print sum + 0 }' "$log")
failed=$(awk '/^test result:/ { sum += $6 } END { print sum + 0 }' "$log")
echo "the chart: $passed passed, $failed failed"
[ "$ok" = yes ] && [ "$passed" -gt 0 ] && [ "$failed" = 0 ]
