#!/usr/bin/env bash
# Prints a document with what its commands print today: those of its console blocks that begin with
# `check-tokens`, `make check` or `make run`. Write it over the document to bring that up to date.
set -euo pipefail
cd "$(dirname "$0")/.."
make --no-print-directory policy.wasm >&2
check-tokens() { cargo xtask check "$@"; }

is_console=no
is_shown=no
while IFS= read -r line; do
  case $line in
    '```console') is_console=yes ;;
    '```') is_console=no is_shown=no ;;
    '$ '*)
      is_shown=no
      if [ $is_console = yes ] && [[ $line =~ ^\$\ (check-tokens|make\ check|make\ run)\  ]]; then
        is_shown=yes
        printf '%s\n' "$line"
        # Without the module's log lines, and without what make says of an exit code.
        { eval "${line#\$ }" 2>&1 || true; } | grep -v '^{"column"\|^make: ' || true
        continue
      fi
      ;;
  esac
  [ $is_shown = yes ] || printf '%s\n' "$line"
done <"$1"
