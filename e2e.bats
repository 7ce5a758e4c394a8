#!/usr/bin/env bats
# The annotated module in a host, as a user has it: in kwctl, or in its stand-in. Here is what only
# that can show; what the rules decide is tested natively, in src/rules and in tests.

policy=annotated-policy.wasm
special=tests/data/special
fs_group=spec.securityContext.fsGroup
lifetime=spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds

# Asks about a captured request: NAME [SETTINGS] [CHANGE of the AdmissionReview], the last two as jq
# expressions. `flags` holds further arguments for the host.
ask() {
  jq --compact-output "${3:-.}" "$special/$1.json" >"$BATS_TEST_TMPDIR/request.json"
  local settings
  settings=$(jq --null-input --compact-output "${2:-{\}}")
  ${KWCTL:-cargo xtask} run "${flags[@]}" --request-path "$BATS_TEST_TMPDIR/request.json" \
    --settings-json "$settings" "$policy" 2>"$BATS_TEST_TMPDIR/stderr"
}

# The answer is as a jq expression says, in which `$patch` is the decoded patch, or null.
answer() {
  [ "$status" -eq 0 ]
  jq --exit-status '(if .patch then .patch | @base64d | fromjson else null end) as $patch | '"$1" <<<"$output"
}

accepted() { answer '.allowed and $patch == null'; }
rejected() { answer '(.allowed | not) and $patch == null'; }
message() { answer ".status.message | contains($(jq --null-input --arg text "$1" '$text'))"; }
warning() { answer ".warnings | any(contains($(jq --null-input --arg text "$1" '$text')))"; }
rules() { answer ".auditAnnotations.rules == \"$1\""; }

# The settings are refused with a line that has all these FRAGMENTS.
refused() {
  [ "$status" -eq 1 ]
  [ -z "$output" ]
  for fragment in "$@"; do
    grep -F 'Provided settings are not valid: ' "$BATS_TEST_TMPDIR/stderr" | grep -qF -- "$fragment"
  done
}

@test "accept what holds no token, without a word" {
  run ask pod-create-no-automount '{mode: "reject"}'
  accepted
  answer '.warnings == null and .auditAnnotations == null'
}

@test "accept a mirror Pod, an update of labels, a scaled Deployment, a deletion, another Secret" {
  for name in pod-create-mirror pod-update-labels deployment-update-scale pod-delete secret-create-opaque; do
    run ask $name '{mode: "reject"}'
    accepted
  done
}

@test "mutate the injected volume, and nothing but its lifetime and the fsGroup" {
  run ask pod-create-plain
  answer '.patchType == "JSONPatch" and $patch == [
    {op: "add", path: "/spec/securityContext/fsGroup", value: 65534},
    {op: "replace", path: "/spec/volumes/0/projected/sources/0/serviceAccountToken/expirationSeconds", value: 3600}
  ]'
  rules fs-group,token-lifetime
  answer '.auditAnnotations.violations | split("\n") | length == 2'
}

@test "mutate a Pod that mounts a persistent volume without an fsGroup, and warn about it" {
  run ask pod-create-nonroot-pvc '{}' '.request.object.spec.containers[0].volumeMounts += [{name: "d", mountPath: "/d"}]'
  answer '[$patch[].path] == ["/spec/volumes/1/projected/sources/0/serviceAccountToken/expirationSeconds"]'
  warning 'volume "d"'
}

@test "convert the legacy token volume of the Pod's own account" {
  run ask pod-create-legacy-secret-volume
  answer '[$patch[] | [.op, .path]] == [
    ["add", "/spec/securityContext/fsGroup"],
    ["add", "/spec/volumes/0/projected"],
    ["remove", "/spec/volumes/0/secret"]
  ]'
  answer '$patch[1].value | .defaultMode == 420 and ([.sources[] | keys[]] | unique == ["configMap", "downwardAPI", "serviceAccountToken"])'
  warning 'spec.volumes[0].secret.secretName: '
}

@test "mutate rejects what it can't fix" {
  run ask pod-create-legacy-secret-env
  rejected
  message 'spec.containers[0].env[0].valueFrom.secretKeyRef.name: Forbidden: '
  run ask pod-update-ephemeral
  message 'spec.ephemeralContainers[0].env[0].valueFrom.secretKeyRef.name: Forbidden: '
}

@test "reject names every violation on a line, and says that 3607 means a year" {
  run ask pod-create-plain '{mode: "reject"}'
  rejected
  message "$fs_group: Required value: "
  message "$lifetime: Invalid value: 3607: must not exceed 3600 seconds"
  message 'up to a year (31536000 seconds)'
  answer '.status.message | split("\n") | length == 2'
}

@test "warn accepts, and tells the client and the audit log" {
  run ask pod-create-vault-day '{mode: "warn"}'
  accepted
  warning "$lifetime: Invalid value: 86400: must not exceed 3600 seconds for audience \"vault\""
  answer '.warnings | length == 2 and all(length <= 256)'
  rules fs-group,token-lifetime
}

@test "what isn't plainly accepted is logged" {
  run ask pod-create-vault-day '{mode: "reject"}'
  grep -F rejected "$BATS_TEST_TMPDIR/stderr" | grep -F payments | grep -qF "$lifetime"
}

@test "the audit scanner's request is answered as in reject mode" {
  for mode in mutate warn; do
    run ask pod-create-plain "{mode: \"$mode\"}" '.request |= (.userInfo = {} | .object.metadata.uid = .uid)'
    rejected
    message "$lifetime: Invalid value: 3607"
  done
}

@test "a template is never mutated: a warning, or a rejection with its path" {
  run ask deployment-create-vault-day
  accepted
  warning 'spec.template.spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: '
  run ask cronjob-create-vault-day '{mode: "reject"}'
  rejected
  message 'spec.jobTemplate.spec.template.spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 86400'
}

@test "shorten a token request" {
  run ask tokenrequest-kubelet-3607
  answer '$patch == [{op: "replace", path: "/spec/expirationSeconds", value: 3600}]'
  rules token-lifetime
}

@test "reject a CSI driver's token and a Secret for a token" {
  run ask csidriver-create
  rejected
  message 'spec.tokenRequests[0].expirationSeconds: Invalid value: 86400'
  run ask secret-create-legacy-token
  rejected
  message 'type: Forbidden: '
}

@test "settings that choose by namespace, account and annotation" {
  run ask pod-create-vault-day '{mode: "reject", exemptNamespaces: ["pay*"]}'
  accepted
  run ask pod-create-vault-day '{mode: "reject", exemptServiceAccounts: ["payments/default"]}'
  accepted
  run ask pod-create-vault-day '{mode: "reject", overrides: [{namespaces: ["pay*"], maxExpirationSeconds: 86400}]}'
  message "$fs_group: "
  answer '.auditAnnotations.rules == "fs-group"'
  run ask pod-create-opt-out '{mode: "reject", optOutAnnotation: "tokens.example.com/exempt"}'
  accepted
  answer '.warnings != null and .auditAnnotations == {"opt-out": "tokens.example.com/exempt"}'
}

@test "no settings, null, and what a form leaves empty are the defaults" {
  for settings in '{}' null '{fsGroup: {ranges: []}, optOutAnnotation: "", allowedAudiences: null}'; do
    run ask pod-create-plain "$settings"
    answer '($patch | length) == 2'
  done
}

@test "refuse a setting that doesn't exist, with the names of those that do" {
  run ask pod-create-plain '{fsGroup: {rules: "MustRunAs"}}'
  refused fsGroup 'unknown field `rules`' '`rule`'
}

@test "refuse a setting of the wrong type, with its path" {
  run ask pod-create-plain '{overrides: [{namespaces: ["a"], maxExpirationSeconds: "1h"}]}'
  refused 'overrides[0].maxExpirationSeconds: ' '"1h"'
}

@test "refuse all values that are out of range at once" {
  run ask pod-create-plain '{maxExpirationSeconds: 3607, fsGroup: {ranges: [{min: 2, max: 1}]}, exemptServiceAccounts: ["builder"]}'
  refused 'maxExpirationSeconds: ' 'fsGroup.ranges[0]' 'exemptServiceAccounts[0]: '
}

@test "what can't be decoded is rejected with its path, in mode warn accepted with a warning" {
  local text='.request.object.spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds = "3600"'
  for mode in mutate reject; do
    run ask pod-create-plain "{mode: \"$mode\"}" "$text"
    rejected
    message "$lifetime: "
    rules decode
  done
  run ask pod-create-plain '{mode: "warn"}' "$text"
  accepted
  warning "$lifetime: "
  rules decode
  run ask pod-create-plain '{}' '.request.object = null'
  rejected
  message 'object: '
}

# Asks about a Pod with a Secret volume, with the cluster's recorded answers: FILE [MODE] [CHANGE]
ask_cluster() {
  flags=(--allow-context-aware --replay-host-capabilities-interactions "tests/data/lookup/$1.yml")
  ask pod-create-legacy-secret-volume "{mode: \"${2:-mutate}\", legacyTokens: {detect: \"Lookup\"}}" "${3:-.}"
}

@test "look up a token of the Pod's own account, and convert it" {
  run ask_cluster token
  answer '[$patch[].path] | contains(["/spec/volumes/0/projected", "/spec/volumes/0/secret"])'
}

@test "look up a token of another account" {
  run ask_cluster token-of-builder
  rejected
  message 'spec.volumes[0].secret.secretName: Forbidden: '
  message 'service account "builder"'
}

@test "look up a Secret that is no token, and one that doesn't exist yet" {
  # Where clients look for a token any Secret counts as one.
  local elsewhere='.request.object.spec.containers[0].volumeMounts[0].mountPath = "/etc/app"'
  for file in opaque missing; do
    run ask_cluster $file
    rejected
    run ask_cluster $file mutate "$elsewhere | .request.object.spec.securityContext.fsGroup = 1000"
    accepted
    answer '.auditAnnotations == null'
  done
}

@test "reject when the look-up fails or isn't allowed, in mode warn accept with a warning" {
  for mode in mutate reject; do
    run ask_cluster failure $mode
    rejected
    message 'spec.volumes[0].secret.secretName: '
    message '403 Forbidden'
    rules lookup
  done
  run ask_cluster failure warn
  accepted
  warning 'spec.volumes[0].secret.secretName: '
  answer '.auditAnnotations.rules | split(",") | index("lookup")'
  run ask pod-create-legacy-secret-volume '{legacyTokens: {detect: "Lookup"}}'
  rejected
  rules lookup
}

# The module's answer to a payload on standard input, whatever is in it, within 2 s of policy-server.
validate() {
  cat >"$BATS_TEST_TMPDIR/payload.json"
  cargo xtask validate --payload-path "$BATS_TEST_TMPDIR/payload.json" "$policy"
}

# The payload for the creation of a Pod with a spec, which is a jq expression: SPEC [SETTINGS]
payload() {
  jq --null-input --compact-output "{
    request: {kind: {group: \"\", version: \"v1\", kind: \"Pod\"}, operation: \"CREATE\", object: {spec: $1}},
    settings: ${2:-{\}}
  }"
}

@test "limits: 10,000 levels" {
  # Deeper than jq writes.
  deep=$(printf '[%.0s' {1..10000}; printf ']%.0s' {1..10000})
  for spec in "{\"x\": $deep}" "$deep"; do
    printf '{"request": {"kind": {"group": "", "version": "v1", "kind": "Pod"}, "operation": "CREATE", "object": {"spec": %s}}, "settings": {}}' "$spec" >"$BATS_TEST_TMPDIR/deep.json"
    run validate <"$BATS_TEST_TMPDIR/deep.json"
    answer 'has("accepted")'
  done
}

@test "limits: a Pod of 3 MB with a violation in each volume" {
  spec='{volumes: [range(15000) | {name: "v\(.)", projected: {sources: [{serviceAccountToken: {path: "token", audience: "vault", expirationSeconds: 86400}}]}}]}'
  payload "$spec" '{mode: "reject"}' >"$BATS_TEST_TMPDIR/large.json"
  run validate <"$BATS_TEST_TMPDIR/large.json"
  answer '.accepted == false'
  payload "$spec" >"$BATS_TEST_TMPDIR/large.json"
  run validate <"$BATS_TEST_TMPDIR/large.json"
  answer '.accepted and (.mutated_object.spec.volumes | length == 15000)'
}

@test "limits: thousands of names that are compared with thousands" {
  payload '{
    volumes: [(range(15000) | {name: "v\(.)", secret: {secretName: "s"}}), (range(5000) | {name: "t\(.)", secret: {secretName: "default-token-x7k2p"}})],
    containers: [{volumeMounts: [range(15000) | {name: "m\(.)", mountPath: "/var/run/secrets/kubernetes.io/serviceaccount"}]}]
  }' '{mode: "reject"}' >"$BATS_TEST_TMPDIR/names.json"
  run validate <"$BATS_TEST_TMPDIR/names.json"
  answer '.message | contains("spec.volumes[15000].secret.secretName: ")'
  payload '{ephemeralContainers: [(range(20000) | {name: "c\(.)"}), {name: "new", envFrom: [{secretRef: {name: "default-token-x7k2p"}}]}]}' |
    jq --compact-output '.request |= (.operation = "UPDATE" | .subResource = "ephemeralcontainers" | .oldObject = {spec: {ephemeralContainers: .object.spec.ephemeralContainers[:-1]}})' >"$BATS_TEST_TMPDIR/debug.json"
  run validate <"$BATS_TEST_TMPDIR/debug.json"
  answer '.message | contains("spec.ephemeralContainers[20000].envFrom[0].secretRef.name: ")'
}

@test "the module imports the functions of waPC and nothing else" {
  run cargo xtask imports "$policy"
  [ "$status" -eq 0 ]
  [ "$output" = "wapc.__guest_error
wapc.__guest_request
wapc.__guest_response
wapc.__host_call
wapc.__host_error
wapc.__host_error_len
wapc.__host_response
wapc.__host_response_len" ]
}

@test "a module is annotated with complete metadata, and only once" {
  run cargo xtask annotate --metadata-path policy-metadata.yml --output-path "$BATS_TEST_TMPDIR/out.wasm" "$policy"
  [ "$status" -eq 1 ]
  [[ "$output" == *"is annotated already" ]]
  grep -v io.kubewarden.policy.title policy-metadata.yml >"$BATS_TEST_TMPDIR/metadata.yml"
  run cargo xtask annotate --metadata-path "$BATS_TEST_TMPDIR/metadata.yml" --output-path "$BATS_TEST_TMPDIR/out.wasm" policy.wasm
  [ "$status" -eq 1 ]
  [[ "$output" == *"without io.kubewarden.policy.title" ]]
  [ ! -e "$BATS_TEST_TMPDIR/out.wasm" ]
}
