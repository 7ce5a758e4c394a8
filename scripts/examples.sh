#!/usr/bin/env bash
# examples/ for people without Helm: what the chart renders for each chart/ci/*-values.yaml, into FOLDER
# (examples). Without hooks, and without the labels that only Helm reads. try.yml and namespace-strict.yml
# are written by hand: AdmissionPolicies, which the chart doesn't have.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-examples}
export PATH="$PWD/target/tools/bin:$PATH"
for values in chart/ci/*-values.yaml; do
  name=$(basename "$values" -values.yaml)
  {
    sed -n '/^[^#]/q; p' "$values"
    echo "#"
    echo "# Made by \`make examples\` of the chart and $values. Apply it to the namespace of"
    echo "# Kubewarden, kubewarden. Take validating policies, -final, out before the mutating ones."
    helm template bound-service-account-tokens chart --namespace kubewarden --no-hooks --values "$values" |
      grep -vE '^ *(helm\.sh/chart|app\.kubernetes\.io/managed-by): |^# Source: '
  } >"$folder/$name.yml"
done
