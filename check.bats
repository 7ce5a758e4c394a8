#!/usr/bin/env bats
# `cargo xtask check`: manifests in, verdicts out. What it makes of an object is tested natively, in
# xtask/src/check.

bats_require_minimum_version 1.5.0

# These tests may run under make, which would then say in which folder it is.
export MAKEFLAGS=--no-print-directory

manifests=tests/data/manifests

# Judges; the report is JSON.
check() { run --separate-stderr cargo xtask check --module policy.wasm --output json "$@"; }

# The report is as a jq expression says.
report() { jq --exit-status "$1" <<<"$output"; }

# The verdict on an object: NAME VERDICT
verdict() {
  [ "$(jq --raw-output --arg name "$1" '.objects[] | select(.name == $name) | .verdict' <<<"$output")" = "$2" ]
}

# A Pod with one container, changed by a jq expression: NAME [CHANGE]
pod() {
  jq --null-input --compact-output --arg name "$1" '{apiVersion: "v1", kind: "Pod", metadata: {name: $name},
    spec: {securityContext: {runAsUser: 1000}, containers: [{name: "a", image: "a"}]}} | '"${2:-.}"
}

# One policy of an example: FILE NAME
policy_of() { awk -v name="$2" 'BEGIN { RS = "\n---\n" } /kind: ClusterAdmissionPolicy/ && index($0, "\n  name: " name "\n")' "$1"; }

@test "the document shows what the commands print" {
  scripts/show-outputs.sh docs/before-you-install.md >"$BATS_TEST_TMPDIR/before-you-install.md"
  diff docs/before-you-install.md "$BATS_TEST_TMPDIR/before-you-install.md"
  [ "$(grep -cE '^\$ (check-tokens|make (check|run)) ' docs/before-you-install.md)" -ge 5 ]
}

@test "exit code 0: nothing would be rejected" {
  check $manifests/shop/frontend.yml
  [ "$status" -eq 0 ]
  [ -z "$stderr" ]
  report '.summary == {rejected: 0, leftAlone: 0, changedWithWarning: 0, changedSilently: 1, fine: 1}'
  verdict frontend changedSilently
  verdict cache fine
}

@test "exit code 1: something would be rejected" {
  check $manifests/shop
  [ "$status" -eq 1 ]
  verdict report rejected
  verdict database leftAlone
  verdict migrate changedWithWarning
  report '.objects[] | select(.name == "report") | .rejections[0] | .kind == "CronJob" and (.message | startswith("spec.jobTemplate.spec.template.spec.containers[0].env[0]"))'
  report '.audiences | any(.audience == "vault" and .expirationSeconds == 86400 and .grantedSeconds == 3600 and .objects == 1)'
}

@test "exit code 2: a document that can't be read is named, the others are judged" {
  { pod a; printf -- '---\na: [1\n---\n'; pod b; } >"$BATS_TEST_TMPDIR/pods.yml"
  check "$BATS_TEST_TMPDIR/pods.yml"
  [ "$status" -eq 2 ]
  [[ "$stderr" == "cannot read $BATS_TEST_TMPDIR/pods.yml, document 2: line "* ]]
  report '.unreadable[0].document == 2 and (.objects | length == 2)'
}

@test "exit code 2: wrong use" {
  touch "$BATS_TEST_TMPDIR/empty.yml"
  mkdir "$BATS_TEST_TMPDIR/folder"
  echo 'mode: wrong' >"$BATS_TEST_TMPDIR/settings.yml"
  for arguments in "" "--mode nonsense $manifests" "$BATS_TEST_TMPDIR/missing.yml" "$BATS_TEST_TMPDIR/empty.yml" \
    "$BATS_TEST_TMPDIR/folder" "--settings $BATS_TEST_TMPDIR/settings.yml $manifests" \
    "--policy $manifests/shop/frontend.yml $manifests" "--policy examples/try.yml --settings examples/try.yml $manifests"; do
    # shellcheck disable=SC2086
    check $arguments
    [ "$status" -eq 2 ]
    [ -n "$stderr" ]
  done
}

@test "standard input, a list, an AdmissionReview" {
  pod a | jq '{apiVersion: "v1", kind: "List", items: [.]}' >"$BATS_TEST_TMPDIR/list.json"
  run --separate-stderr bash -c "cargo xtask check --module policy.wasm --output json - <$BATS_TEST_TMPDIR/list.json"
  [ "$status" -eq 0 ]
  report '.objects[0].sources == ["standard input, document 1, item 1"]'
  check tests/data/special/pod-create-legacy-secret-env.json
  [ "$status" -eq 1 ]
}

@test "kwctl scaffold of a list: each object of it is judged" {
  pod a '.spec.containers[0].env = [{name: "T", valueFrom: {secretKeyRef: {name: "default-token-x7k2p", key: "token"}}}]' |
    jq '{uid: "1", kind: {group: "", version: "v1", kind: "List"}, resource: {group: "", version: "v1", resource: ""}, operation: "CREATE",
      userInfo: {}, object: {apiVersion: "v1", kind: "List", items: [.]}}' >"$BATS_TEST_TMPDIR/r.json"
  check "$BATS_TEST_TMPDIR/r.json"
  [ "$status" -eq 1 ]
}

@test "the mode is mutate, also where the settings say warn, unless another is asked for" {
  pod a '.spec.volumes = [{name: "t", projected: {sources: [{serviceAccountToken: {path: "t", audience: "v", expirationSeconds: 86400}}]}}]' >"$BATS_TEST_TMPDIR/pod.json"
  echo 'mode: warn' >"$BATS_TEST_TMPDIR/warn.yml"
  echo 'mode: reject' >"$BATS_TEST_TMPDIR/reject.yml"
  while read -r arguments expected; do
    # shellcheck disable=SC2086
    check ${arguments//,/ } "$BATS_TEST_TMPDIR/pod.json"
    verdict a "$expected"
  done <<EOF
--mode,mutate changedWithWarning
--settings,$BATS_TEST_TMPDIR/warn.yml changedWithWarning
--policy,examples/warn-first.yml changedWithWarning
--settings,$BATS_TEST_TMPDIR/warn.yml,--mode,warn leftAlone
--settings,$BATS_TEST_TMPDIR/reject.yml rejected
--settings,$BATS_TEST_TMPDIR/reject.yml,--mode,mutate changedWithWarning
--mode,reject rejected
EOF
}

@test "what is exempt, has opted out or isn't selected is left alone, and the reason is told" {
  pod a '.metadata.annotations = {"tokens.example.com/exempt": "true"}' >"$BATS_TEST_TMPDIR/pod.json"
  echo 'exemptNamespaces: [default]' >"$BATS_TEST_TMPDIR/namespace.yml"
  echo 'exemptServiceAccounts: [default/default]' >"$BATS_TEST_TMPDIR/account.yml"
  echo 'optOutAnnotation: tokens.example.com/exempt' >"$BATS_TEST_TMPDIR/annotation.yml"
  jq --null-input '{apiVersion: "policies.kubewarden.io/v1", kind: "ClusterAdmissionPolicy", metadata: {name: "p"},
    spec: {module: "m", mutating: true, mode: "monitor", settings: {},
    rules: [{apiGroups: [""], apiVersions: ["v1"], resources: ["pods"], operations: ["CREATE"]}]}}' >"$BATS_TEST_TMPDIR/monitor.yml"
  while IFS=: read -r arguments reason; do
    # shellcheck disable=SC2086
    check $arguments "$BATS_TEST_TMPDIR/pod.json"
    [ "$status" -eq 0 ]
    verdict a leftAlone
    report ".objects[0].leftAlone | length > 0 and all(.reason | contains(\"$reason\"))"
  done <<EOF
--settings $BATS_TEST_TMPDIR/namespace.yml:exempt
--settings $BATS_TEST_TMPDIR/account.yml:exempt
--settings $BATS_TEST_TMPDIR/annotation.yml:tokens.example.com/exempt
--policy examples/production.yml --namespace kube-system:namespaceSelector
--policy examples/try.yml:namespaceSelector
--policy examples/managed-cluster.yml --namespace gke-managed-system:namespaceSelector
--policy $BATS_TEST_TMPDIR/monitor.yml:monitor
EOF
}

@test "what has nothing to be left alone is fine, exempt or not" {
  pod a '.spec.automountServiceAccountToken = false' >"$BATS_TEST_TMPDIR/pod.json"
  check --policy examples/production.yml --namespace kube-system "$BATS_TEST_TMPDIR/pod.json"
  verdict a fine
}

@test "kinds that no rule is about are counted" {
  check --policy examples/try.yml --namespace try-tokens $manifests/shop/frontend.yml
  report '.notJudged == [{apiVersion: "v1", kind: "Service", count: 1}]'
  policy_of examples/secrets-and-drivers.yml bound-service-account-tokens-secrets >"$BATS_TEST_TMPDIR/secrets.yml"
  check --policy "$BATS_TEST_TMPDIR/secrets.yml" $manifests/shop/frontend.yml
  report '.summary.fine == 0 and (.notJudged | map(.count) | add == 3)'
}

@test "the second policy judges what came out of the first" {
  pod a '.spec.volumes = [{name: "t", projected: {sources: [{serviceAccountToken: {path: "t", audience: "vault", expirationSeconds: 86400}}]}}]' >"$BATS_TEST_TMPDIR/pod.json"
  check --policy examples/production.yml "$BATS_TEST_TMPDIR/pod.json"
  [ "$status" -eq 0 ]
  # Without the first, nobody lowers the token.
  policy_of examples/production.yml bound-service-account-tokens-final >"$BATS_TEST_TMPDIR/second.yml"
  check --policy "$BATS_TEST_TMPDIR/second.yml" "$BATS_TEST_TMPDIR/pod.json"
  [ "$status" -eq 1 ]
  report '.objects[0].rejections | map(.policy) == ["bound-service-account-tokens-final"]'
}

@test "a Pod that the policy mutated is judged as it was created" {
  # As the API server made it, and as the policy left it.
  jq '.request.object | .metadata += {uid: "1", resourceVersion: "2"} | .spec.nodeName = "worker"' tests/data/special/pod-create-plain.json >"$BATS_TEST_TMPDIR/before.json"
  jq '.spec.securityContext.fsGroup = 65534 | .spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds = 3600' "$BATS_TEST_TMPDIR/before.json" >"$BATS_TEST_TMPDIR/after.json"
  # This fsGroup is the author's: the policy would set another one.
  jq '.spec.securityContext.fsGroup = 1000' "$BATS_TEST_TMPDIR/after.json" >"$BATS_TEST_TMPDIR/own.json"
  check "$BATS_TEST_TMPDIR/before.json"
  before=$(jq '.objects[0] | del(.sources)' <<<"$output")
  check "$BATS_TEST_TMPDIR/after.json"
  [ "$(jq '.objects[0] | del(.sources)' <<<"$output")" = "$before" ]
  report '.objects[0].changes | length == 2'
  check "$BATS_TEST_TMPDIR/own.json"
  report '.objects[0].changes | length == 1'
}

@test "a look-up is answered from the Secrets of the input" {
  echo 'legacyTokens: {detect: Lookup}' >"$BATS_TEST_TMPDIR/settings.yml"
  pod a '.spec.volumes = [{name: "s", secret: {secretName: "quiet"}}]' >"$BATS_TEST_TMPDIR/pod.json"
  check --settings "$BATS_TEST_TMPDIR/settings.yml" "$BATS_TEST_TMPDIR/pod.json"
  [ "$status" -eq 0 ]
  report '.notes | any(contains("Secret default/quiet is not in the input"))'
  jq --null-input '{apiVersion: "v1", kind: "Secret", type: "kubernetes.io/service-account-token",
    metadata: {name: "quiet", annotations: {"kubernetes.io/service-account.name": "other"}}}' >"$BATS_TEST_TMPDIR/secret.json"
  check --settings "$BATS_TEST_TMPDIR/settings.yml" "$BATS_TEST_TMPDIR/pod.json" "$BATS_TEST_TMPDIR/secret.json"
  verdict a rejected
}

@test "2,000 Pods take less than 10 seconds of CPU, and a line tells how far it is" {
  jq --slurp '{apiVersion: "v1", kind: "List", items: [range(2000) as $i | .[$i % length].request.object |
    .metadata += {name: "pod-\($i)", uid: "\($i)", resourceVersion: "1"} | del(.metadata.managedFields)]}' \
    tests/data/requests/*/*.pod.json >"$BATS_TEST_TMPDIR/pods.json"
  # Once before, so that the module is compiled.
  check $manifests/shop/frontend.yml
  TIMEFORMAT=%U
  seconds=$( { time cargo xtask check --module policy.wasm "$BATS_TEST_TMPDIR/pods.json" >"$BATS_TEST_TMPDIR/report" 2>"$BATS_TEST_TMPDIR/progress"; } 2>&1 || true)
  grep -q '^2000 objects: ' "$BATS_TEST_TMPDIR/report"
  grep -q '^judged 1000 of 2000 requests$' "$BATS_TEST_TMPDIR/progress"
  echo "$seconds seconds"
  [ "${seconds%.*}" -lt 10 ]
}

@test "make run explains a manifest, and says what it made of it" {
  run --separate-stderr make run REQUEST=$manifests/shop/frontend.yml SETTINGS=examples/production.yml
  [ "$status" -eq 0 ]
  [[ "$output" == *"with the settings of ClusterAdmissionPolicy bound-service-account-tokens"* ]]
  [[ "$output" == *"$manifests/shop/frontend.yml, document 2: the Pod that Deployment frontend would make, with the defaults and the token that an API server adds"*"/spec/securityContext/fsGroup: (nothing) -> 65534"* ]]
  run make run REQUEST=$manifests/shop/values.yaml
  [ "$status" -ne 0 ]
}

@test "make check" {
  run --separate-stderr make check MANIFESTS="$manifests/shop/frontend.yml $manifests/cluster.json" NAMESPACE=shop
  [ "$status" -eq 0 ]
  [[ "$output" == "4 objects: "* ]]
}

@test "kwctl scaffold of a Pod: what an API server adds is added" {
  pod a | jq '{uid: "1", kind: {group: "", version: "v1", kind: "Pod"}, resource: {group: "", version: "v1", resource: "pods"},
    operation: "CREATE", userInfo: {}, namespace: "default", name: "a", object: .}' >"$BATS_TEST_TMPDIR/r.json"
  check "$BATS_TEST_TMPDIR/r.json"
  report '.objects[0].changes | length == 2'
  # A request of an API server has its defaults: nothing is added to it.
  jq '.object.spec.schedulerName = "default-scheduler"' "$BATS_TEST_TMPDIR/r.json" >"$BATS_TEST_TMPDIR/given.json"
  check "$BATS_TEST_TMPDIR/given.json"
  report '.objects[0].changes == [] and (.notes | any(contains("judged as they are: 1 request")))'
}
