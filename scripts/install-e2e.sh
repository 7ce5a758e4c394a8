#!/usr/bin/env bash
# Makes sure that `bats`, `jq` and a registry are there: from the distribution's packages, or `bats`
# from npm.
set -euo pipefail
root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
missing=()
for tool in bats jq docker-registry; do
  command -v "$tool" >/dev/null || missing+=("$tool")
done
[ ${#missing[@]} -eq 0 ] && exit
if command -v apt-get >/dev/null; then
  { root apt-get update -qq && root apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >&2
elif [ "${missing[*]}" = bats ] && command -v npm >/dev/null; then
  root npm install --global --silent bats >&2
else
  echo "install-e2e: install ${missing[*]}: https://bats-core.readthedocs.io, https://jqlang.org, https://distribution.github.io/distribution" >&2
  exit 1
fi
