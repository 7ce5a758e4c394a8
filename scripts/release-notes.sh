#!/usr/bin/env bash
# The notes of a release: VERSION's section of CHANGELOG.md, and the compiler that it takes to make
# the same bytes.
set -euo pipefail
cd "$(dirname "$0")/.."
notes=$(awk -v heading="## [$1]" 'index($0, "## [") == 1 { on = index($0, heading) == 1; next } /^\[.*\]: / { next } on' CHANGELOG.md)
if [ -z "${notes//[[:space:]]/}" ]; then
  echo "release-notes: CHANGELOG.md has no section for $1" >&2
  exit 1
fi
echo "$notes"
echo
echo "Built with $(rustc --version): docs/releases.md says how to build the same bytes."
