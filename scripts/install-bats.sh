#!/usr/bin/env bash
# Makes sure that `bats` is there: from the distribution's packages, or from npm.
set -euo pipefail
command -v bats >/dev/null && exit
root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
if command -v apt-get >/dev/null; then
  root apt-get update -qq && root apt-get install -y -qq --no-install-recommends bats >&2
elif command -v npm >/dev/null; then
  root npm install --global --silent bats >&2
else
  echo "install-bats: install bats, https://bats-core.readthedocs.io" >&2
  exit 1
fi
