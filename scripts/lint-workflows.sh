#!/usr/bin/env bash
# The workflows, with zizmor: syntax, permissions, pins, injections. Installs it from PyPI into
# target/tools; without pip they can't be checked here, and it says so.
set -euo pipefail
cd "$(dirname "$0")/.."
tool=target/tools/python
if [ ! -x $tool/bin/zizmor ] && ! python3 -m pip install --quiet --target $tool zizmor==1.32.0 2>/dev/null; then
  echo "lint: NOT CHECKED: the workflows, as pip cannot install zizmor here" >&2
  exit
fi
$tool/bin/zizmor --quiet --offline .github/workflows
