#!/usr/bin/env bats
# What only the real kwctl does: it evaluates policy resources. Its stand-in, `cargo xtask run`, has no
# part for that: .github/workflows/tests.yml runs this file, after `make e2e-tests`.

bats_require_minimum_version 1.5.0

# The policies of an example, with the module that was built here: kwctl reads no other resource. FILE
policies() {
  awk -v RS='(^|\n)---\n' -v ORS='\n---\n' '/\nkind: (Cluster)?AdmissionPolicy(\n|$)/' "$1" |
    sed -E "s#^( +module: ).*#\1file://$PWD/annotated-policy.wasm#; \$d"
}

@test "kwctl run evaluates each policy of the rendered examples" {
  for example in examples/*.yml; do
    policies "$example" >"$BATS_TEST_TMPDIR/policies.yml"
    number=$(grep -cE '^kind: (Cluster)?AdmissionPolicy$' "$example" || true)
    [ "$number" -gt 0 ] || continue
    echo "$example: $number policies"
    # With recorded answers of a cluster, as there is none.
    run --separate-stderr kwctl run --request-path tests/data/special/pod-create-plain.json \
      --replay-host-capabilities-interactions tests/data/lookup/token.yml "$BATS_TEST_TMPDIR/policies.yml"
    echo "$stderr"
    [ "$status" -eq 0 ]
    jq --slurp --exit-status --argjson number "$number" \
      'length == $number and all(.allowed or (.status.message | startswith("spec.")))' <<<"$output"
  done
}
