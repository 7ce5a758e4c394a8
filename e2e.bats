#!/usr/bin/env bats
# The annotated module, as a user has it, with kwctl or with its stand-in.

special=tests/data/special
policy=annotated-policy.wasm
injected=spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds

# Asks the policy: REQUEST [SETTINGS as JSON]
ask() {
  ${KWCTL:-cargo xtask} run --request-path "$1" --settings-json "${2:-{\}}" "$policy" 2>"$BATS_TEST_TMPDIR/stderr"
}

# Asks about a Pod with this spec: SPEC [SETTINGS]
ask_pod() {
  cat >"$BATS_TEST_TMPDIR/request.json" <<JSON
{"uid": "1", "operation": "CREATE", "namespace": "payments", "name": "pod", "userInfo": {},
 "kind": {"group": "", "version": "v1", "kind": "Pod"},
 "resource": {"group": "", "version": "v1", "resource": "pods"},
 "object": {"kind": "Pod", "spec": $1}}
JSON
  ask "$BATS_TEST_TMPDIR/request.json" "${2:-{\}}"
}

# A spec with one token volume: MEMBERS of the token, further MEMBERS of the spec
with_token() {
  echo "{\"volumes\": [{\"name\": \"t\", \"projected\": {\"sources\": [{\"serviceAccountToken\": {\"path\": \"token\" $1}}]}}] ${2:-}}"
}

# The patch in the response.
patch() { sed -E 's/.*"patch":"([^"]*)".*/\1/' <<<"$output" | base64 -d; }

accepted() { [ "$status" -eq 0 ] && [[ "$output" == *'"allowed":true'* ]] && [[ "$output" != *'"patch"'* ]]; }
mutated() { [ "$status" -eq 0 ] && [[ "$output" == *'"allowed":true'*'"patchType":"JSONPatch"'* ]]; }
rejected() { [ "$status" -eq 0 ] && [[ "$output" == *'"allowed":false'* ]] && [[ "$output" == *"$1"* ]]; }
warned() { [ "$status" -eq 0 ] && [[ "$output" == *'"allowed":true'*'"warnings":['*"$1"* ]]; }
refused() { [ "$status" -eq 1 ] && [ -z "$output" ] && grep -F "Provided settings are not valid: $1" "$BATS_TEST_TMPDIR/stderr"; }

@test "accept a Pod without a token" {
  run ask $special/pod-create-no-automount.json
  accepted
  [[ "$output" == *'"auditAnnotations":null,"warnings":null'* ]]
}

@test "accept a mirror Pod" {
  run ask $special/pod-create-mirror.json '{"mode": "reject"}'
  accepted
}

@test "accept an update of labels" {
  run ask $special/pod-update-labels.json '{"mode": "reject"}'
  accepted
}

@test "accept a deletion" {
  run ask $special/pod-delete.json '{"mode": "reject"}'
  accepted
}

@test "accept a compliant Pod in reject mode" {
  run ask_pod "$(with_token ', "expirationSeconds": 3600' ', "securityContext": {"fsGroup": 65534}')" '{"mode": "reject"}'
  accepted
}

@test "mutate the injected volume, and nothing but its lifetime and the fsGroup" {
  run ask $special/pod-create-plain.json '{"maxExpirationSeconds": 3600}'
  mutated
  [ "$(patch)" = '[{"op":"add","path":"/spec/securityContext/fsGroup","value":65534},{"op":"replace","path":"/spec/volumes/0/projected/sources/0/serviceAccountToken/expirationSeconds","value":3600}]' ]
  [[ "$output" == *'"rules":"fs-group,token-lifetime"'* ]]
}

@test "mutate only the lifetime in a Windows Pod" {
  run ask $special/pod-create-windows.json
  mutated
  [ "$(patch)" = '[{"op":"replace","path":"/spec/volumes/0/projected/sources/0/serviceAccountToken/expirationSeconds","value":3600}]' ]
}

@test "mutate a Pod that has no securityContext" {
  run ask_pod "$(with_token '')"
  mutated
  [ "$(patch)" = '[{"op":"add","path":"/spec/securityContext","value":{"fsGroup":65534}}]' ]
}

@test "mutate with the group that all containers share" {
  run ask_pod "$(with_token '' ', "securityContext": {"runAsGroup": 3000}, "containers": [{"name": "a"}]')"
  mutated
  [ "$(patch)" = '[{"op":"add","path":"/spec/securityContext/fsGroup","value":3000}]' ]
}

@test "leave the fsGroup of a Pod with a persistent volume, with a warning" {
  run ask $special/pod-create-nonroot-pvc.json
  mutated
  [ "$(patch)" = '[{"op":"replace","path":"/spec/volumes/1/projected/sources/0/serviceAccountToken/expirationSeconds","value":3600}]' ]
  warned 'volume \"d\" (persistentVolumeClaim)'
}

@test "set the fsGroup of a Pod with a persistent volume where the operator says so" {
  run ask $special/pod-create-nonroot-pvc.json '{"fsGroup": {"persistentVolumes": "Set"}}'
  mutated
  [[ "$(patch)" == '[{"op":"add","path":"/spec/securityContext/fsGroup","value":3000},{"op":"add","path":"/spec/securityContext/fsGroupChangePolicy","value":"OnRootMismatch"},'* ]]
}

@test "reject a Pod with a persistent volume where the operator says so" {
  run ask $special/pod-create-nonroot-pvc.json '{"fsGroup": {"persistentVolumes": "Reject"}}'
  rejected 'spec.securityContext.fsGroup: is not set'
}

@test "reject names every violation, and says that 3607 means a year" {
  run ask $special/pod-create-plain.json '{"mode": "reject"}'
  rejected 'spec.securityContext.fsGroup: is not set'
  rejected "$injected: 3607 is over the bound of 3600 s for the API server's audience"
  rejected 'one year (31536000 s)'
}

@test "reject a token over the bound" {
  run ask $special/pod-create-vault-day.json '{"mode": "reject"}'
  rejected "$injected: 86400 is over the bound of 3600 s for audience \\\"vault\\\" (volume \\\"tok\\\")"
}

@test "warn accepts and tells the client the same" {
  run ask $special/pod-create-vault-day.json '{"mode": "warn"}'
  warned "$injected: 86400 is over the bound of 3600 s for audience \\\"vault\\\" (volume \\\"tok\\\")"
  [[ "$output" != *'"patch"'* ]]
  [[ "$output" == *'"rules":"fs-group,token-lifetime"'* ]]
}

@test "setting maxExpirationSeconds" {
  run ask_pod "$(with_token ', "audience": "v", "expirationSeconds": 86400' ', "securityContext": {"fsGroup": 1}')" '{"maxExpirationSeconds": 86400, "mode": "reject"}'
  accepted
}

@test "setting audiences" {
  settings='{"audiences": [{"audience": "vault*", "maxExpirationSeconds": 86400}], "fsGroup": {"rule": "RunAsAny"}}'
  run ask $special/pod-create-vault-day.json "$settings"
  accepted
}

@test "setting allowedAudiences" {
  run ask $special/pod-create-vault-day.json '{"allowedAudiences": ["sts.*"]}'
  rejected 'serviceAccountToken.audience: \"vault\" is not an allowed audience'
}

@test "setting apiServer.extendsTokens" {
  run ask $special/pod-create-plain.json '{"apiServer": {"extendsTokens": false}, "maxExpirationSeconds": 7200, "fsGroup": {"rule": "RunAsAny"}}'
  accepted
}

@test "setting apiServer.audiences" {
  settings='{"apiServer": {"audiences": ["own"]}, "maxExpirationSeconds": 7200, "mode": "reject"}'
  run ask_pod "$(with_token ', "audience": "own", "expirationSeconds": 3607')" "$settings"
  rejected 'one year (31536000 s)'
}

@test "setting fsGroup.ranges" {
  settings='{"fsGroup": {"ranges": [{"min": 1000, "max": 2000}], "default": 1000}}'
  run ask $special/pod-create-fsgroup-root.json "$settings"
  rejected 'spec.securityContext.fsGroup: 0 is not an allowed group; choose one of 1000-2000'
}

@test "setting fsGroup.rule" {
  run ask $special/pod-create-default-expiration.json '{"fsGroup": {"rule": "MayRunAs"}, "mode": "reject"}'
  accepted
}

@test "setting exemptNamespaces" {
  run ask $special/pod-create-plain.json '{"exemptNamespaces": ["pay*"], "mode": "reject"}'
  accepted
}

@test "refuse a setting that doesn't exist" {
  run ask $special/pod-create-plain.json '{"maxExpiration": 3600}'
  refused 'maxExpiration: is not a setting; the nearest one is maxExpirationSeconds'
}

@test "refuse a setting of the wrong type" {
  run ask $special/pod-create-plain.json '{"maxExpirationSeconds": "1h"}'
  refused 'maxExpirationSeconds: is "1h", not an integer'
}

@test "refuse a bound that is out of range" {
  run ask $special/pod-create-plain.json '{"maxExpirationSeconds": 599}'
  refused 'maxExpirationSeconds: 599 is outside 600-4294967296 seconds'
}

@test "refuse the bound that the API server would extend" {
  run ask $special/pod-create-plain.json '{"maxExpirationSeconds": 3607}'
  refused 'maxExpirationSeconds: 3607 is the one lifetime that the API server extends to a year'
}

@test "refuse a mode that doesn't exist" {
  run ask $special/pod-create-plain.json '{"mode": "enforce"}'
  refused 'mode: is "enforce", not one of mutate, reject, warn'
}

@test "refuse all wrong settings at once" {
  run ask $special/pod-create-plain.json '{"mode": 1, "fsGroup": {"ranges": [{"min": 2, "max": 1}], "default": 5}}'
  refused 'mode: is 1, not one of mutate, reject, warn; fsGroup.ranges[0]: min 2 is over max 1; fsGroup.default: 5 is outside fsGroup.ranges'
}

@test "reject volumes that are no list" {
  run ask_pod '{"volumes": {}}'
  rejected 'spec.volumes: is an object, not a list'
}

@test "reject a lifetime that is a string" {
  run ask_pod "$(with_token ', "expirationSeconds": "3600"')" '{"mode": "warn"}'
  rejected "$injected: is \\\"3600\\\", not a 64-bit integer"
}

@test "reject a lifetime that is too large to read" {
  run ask_pod "$(with_token ', "expirationSeconds": 10000000000000000000')"
  rejected "$injected: is 10000000000000000000, not a 64-bit integer"
}

@test "reject a creation without an object" {
  sed 's/"object":.*"oldObject"/"object":null,"oldObject"/' $special/pod-create-plain.json >"$BATS_TEST_TMPDIR/null.json"
  run ask "$BATS_TEST_TMPDIR/null.json"
  rejected 'object: is missing'
}

# Asks with the cluster's recorded answers: FILE REQUEST [SETTINGS]
ask_cluster() {
  ${KWCTL:-cargo xtask} run --allow-context-aware --replay-host-capabilities-interactions "tests/data/lookup/$1.yml" \
    --request-path "$2" --settings-json "${3:-$lookup}" "$policy" 2>"$BATS_TEST_TMPDIR/stderr"
}

lookup='{"legacyTokens": {"detect": "Lookup"}}'
token_secret=$special/pod-create-legacy-secret-volume.json

@test "convert the legacy token volume of the Pod's own account" {
  run ask $token_secret
  mutated
  [ "$(patch)" = '[{"op":"add","path":"/spec/securityContext/fsGroup","value":65534},{"op":"add","path":"/spec/volumes/0/projected","value":{"defaultMode":420,"sources":[{"serviceAccountToken":{"expirationSeconds":3600,"path":"token"}},{"configMap":{"items":[{"key":"ca.crt","path":"ca.crt"}],"name":"kube-root-ca.crt"}},{"downwardAPI":{"items":[{"fieldRef":{"apiVersion":"v1","fieldPath":"metadata.namespace"},"path":"namespace"}]}}]}},{"op":"remove","path":"/spec/volumes/0/secret"}]' ]
}

@test "reject another account's legacy token volume" {
  run ask $special/pod-create-legacy-secret-other-account.json
  rejected 'spec.volumes[0].secret.secretName: \"builder-token-b6wzs\" holds a token of service account \"builder\", not of the Pod'
}

@test "reject a legacy token among projected sources" {
  run ask $special/pod-create-legacy-secret-projected.json
  rejected 'spec.volumes[0].projected.sources[0].secret.name: \"default-token-x7k2p\" holds a token'
}

@test "reject a legacy token in the environment" {
  run ask $special/pod-create-legacy-secret-env.json
  rejected 'spec.containers[0].env[0].valueFrom.secretKeyRef.name: \"default-token-x7k2p\" holds a token'
}

@test "reject a legacy token in the environment of a new ephemeral container" {
  run ask $special/pod-update-ephemeral.json
  rejected 'spec.ephemeralContainers[0].env[0].valueFrom.secretKeyRef.name'
}

@test "setting legacyTokens.rule" {
  run ask $special/pod-create-legacy-secret-env.json '{"legacyTokens": {"rule": "Allow"}}'
  accepted
}

@test "look up a token of the Pod's own account, and convert it" {
  run ask_cluster token $token_secret
  mutated
  [[ "$(patch)" == *'"path":"/spec/volumes/0/projected"'* ]]
}

@test "look up a token of another account" {
  run ask_cluster token-of-builder $token_secret
  rejected 'holds a token of service account \"builder\", not of the Pod'
}

@test "look up a Secret that is no token, whatever its name" {
  run ask_cluster opaque $token_secret
  accepted
}

@test "look up a Secret that does not exist yet" {
  run ask_cluster missing $token_secret
  accepted
}

@test "reject when the look-up fails, in every mode" {
  for mode in mutate reject warn; do
    run ask_cluster failure $token_secret '{"mode": "'$mode'", "legacyTokens": {"detect": "Lookup"}}'
    rejected "spec.volumes[0].secret.secretName: Secret \\\"default-token-x7k2p\\\" can't be looked up: "
    rejected '403 Forbidden'
  done
}

@test "mutate the kubelet's token request" {
  run ask $special/tokenrequest-kubelet-3607.json
  mutated
  [ "$(patch)" = '[{"op":"replace","path":"/spec/expirationSeconds","value":3600}]' ]
}

@test "accept a token request within the bound" {
  run ask $special/tokenrequest-default.json '{"mode": "reject"}'
  accepted
}

@test "reject a Secret for a token" {
  run ask $special/secret-create-legacy-token.json
  rejected 'type: \"kubernetes.io/service-account-token\" makes the API server put a token of service account \"default\" into the Secret'
}

@test "accept another Secret" {
  run ask $special/secret-create-opaque.json '{"mode": "reject"}'
  accepted
}

@test "mutate a CSI driver's tokens" {
  run ask $special/csidriver-create.json
  mutated
  [ "$(patch)" = '[{"op":"replace","path":"/spec/tokenRequests/0/expirationSeconds","value":3600}]' ]
}

@test "accept a Deployment whose Pods will be mutated, and name its violations in reject mode" {
  run ask $special/deployment-create-vault-day.json
  accepted
  run ask $special/deployment-create-vault-day.json '{"mode": "reject"}'
  rejected 'spec.template.spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: 86400'
}

@test "name the path in a CronJob and in a PodTemplate" {
  run ask $special/cronjob-create-vault-day.json '{"mode": "reject"}'
  rejected 'spec.jobTemplate.spec.template.spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: 86400'
  run ask $special/podtemplate-create.json '{"mode": "reject"}'
  rejected 'template.spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: 86400'
}

@test "accept an update that leaves the template alone" {
  run ask $special/deployment-update-scale.json '{"mode": "reject"}'
  accepted
}

@test "accept the templates of real workloads" {
  for file in tests/data/requests/*/*-{deployment,statefulset,daemonset,job,cronjob}-*[a-z0-9].json; do
    [[ "$file" == *.pod.json ]] && continue
    run ask "$file"
    accepted
  done
}

@test "setting exemptServiceAccounts" {
  run ask $special/pod-create-vault-day.json '{"mode": "reject", "exemptServiceAccounts": ["pay*/default"]}'
  accepted
  run ask $special/pod-create-vault-day.json '{"mode": "reject", "exemptServiceAccounts": ["other/default"]}'
  rejected "$injected: 86400"
}

@test "setting optOutAnnotation" {
  run ask $special/pod-create-opt-out.json '{"mode": "reject", "optOutAnnotation": "tokens.example.com/exempt"}'
  warned 'metadata.annotations: tokens.example.com/exempt is \"true\"'
  [[ "$output" == *'"auditAnnotations":{"opt-out":"tokens.example.com/exempt"}'* ]]
}

@test "setting overrides" {
  settings='{"mode": "reject", "overrides": [{"namespaces": ["pay*"], "mode": "warn"}]}'
  run ask $special/pod-create-vault-day.json "$settings"
  warned "$injected: 86400"
}

@test "refuse an account without its namespace" {
  run ask $special/pod-create-plain.json '{"exemptServiceAccounts": ["builder"]}'
  refused 'exemptServiceAccounts[0]: "builder" is not of the form namespace/name'
}

@test "refuse an override for no namespace" {
  run ask $special/pod-create-plain.json '{"overrides": [{"mode": "warn"}]}'
  refused 'overrides[0].namespaces: is missing'
}

# Attempts to get around the rules; docs/security.md has a line for each.

lax='{"mode": "reject", "fsGroup": {"rule": "RunAsAny"}}'
day='"expirationSeconds": 86400'

@test "bypass: a member that stands there twice" {
  cat >"$BATS_TEST_TMPDIR/twice.json" <<JSON
{"request": {"kind": {"group": "", "kind": "Pod"}, "operation": "CREATE", "object": {"spec": {"volumes": [], "volumes": []}}}, "settings": {}}
JSON
  run cargo xtask validate --payload-path "$BATS_TEST_TMPDIR/twice.json" "$policy"
  [[ "$output" == *'"accepted":false'*'the member \"volumes\" stands there twice'* ]]
}

@test "bypass: a member in another case is none, as for the API server" {
  run ask_pod '{"Volumes": [{"projected": {"sources": [{"serviceAccountToken": {"expirationSeconds": 86400}}]}}]}' "$lax"
  accepted
}

@test "bypass: a disguised volume name" {
  run ask_pod "{\"volumes\": [{\"name\": \"kube-api-access-x7k2p\", \"projected\": {\"sources\": [{\"serviceAccountToken\": {$day}}]}}]}" "$lax"
  rejected "$injected: 86400"
}

@test "bypass: several tokens in one volume, in the middle of other sources" {
  token="{\"serviceAccountToken\": {$day}}"
  run ask_pod "{\"volumes\": [{\"projected\": {\"sources\": [{\"configMap\": {}}, $token, {\"downwardAPI\": {}}, $token]}}]}" "$lax"
  rejected 'sources[1].serviceAccountToken.expirationSeconds: 86400'
  rejected 'sources[3].serviceAccountToken.expirationSeconds: 86400'
}

@test "bypass: a token mounted through subPath, in no container, in an init container" {
  run ask_pod "$(with_token ", $day" ', "initContainers": [{"name": "i", "volumeMounts": [{"name": "t", "mountPath": "/x", "subPath": "token"}]}]')" "$lax"
  rejected "$injected: 86400"
}

@test "bypass: null and empty members" {
  for volumes in null '[]' '[null]' '[{}]' '[{"projected": null}]' '[{"projected": {"sources": [null, {}]}}]'; do
    run ask_pod "{\"volumes\": $volumes, \"securityContext\": null}" "$lax"
    accepted
  done
}

@test "bypass: the object's own namespace, and an exempt account's name elsewhere" {
  sed 's/"namespace":"payments"/"namespace":"kube-system"/2' $special/pod-create-vault-day.json >"$BATS_TEST_TMPDIR/ns.json"
  run ask "$BATS_TEST_TMPDIR/ns.json" '{"mode": "reject", "exemptNamespaces": ["kube-*"], "exemptServiceAccounts": ["kube-system/*"]}'
  rejected "$injected: 86400"
}

@test "bypass: glob characters in names are no patterns" {
  spec="$(with_token ", $day" ', "serviceAccountName": "*"')"
  run ask_pod "$spec" '{"mode": "reject", "exemptServiceAccounts": ["payments/builder"], "exemptNamespaces": ["pay"]}'
  rejected "$injected: 86400"
}

@test "bypass: a name that the API server makes up" {
  run ask $special/pod-create-generate-name.json '{"mode": "reject"}'
  rejected "$injected: 3607"
}

@test "bypass: opt-out annotations with other values" {
  for value in True TRUE yes 1 ' true' 'true '; do
    sed "s/\"tokens.example.com\/exempt\":\"true\"/\"tokens.example.com\/exempt\":\"$value\"/" $special/pod-create-opt-out.json >"$BATS_TEST_TMPDIR/opt.json"
    run ask "$BATS_TEST_TMPDIR/opt.json" '{"mode": "reject", "optOutAnnotation": "tokens.example.com/exempt"}'
    rejected "$injected: 86400"
  done
}

@test "bypass: audiences that differ by case or a slash" {
  for audience in Vault vault/ ' vault' vault.evil.com; do
    run ask_pod "$(with_token ", \"audience\": \"$audience\"")" '{"allowedAudiences": ["vault"]}'
    rejected "serviceAccountToken.audience: \\\"$audience\\\" is not an allowed audience"
  done
}

@test "bypass: 3607 with each form of the API server's audience" {
  settings='{"mode": "reject", "maxExpirationSeconds": 7200, "apiServer": {"audiences": ["own"]}, "fsGroup": {"rule": "RunAsAny"}}'
  for audience in '' ', "audience": ""' ', "audience": null' ', "audience": "own"'; do
    run ask_pod "$(with_token "$audience, \"expirationSeconds\": 3607")" "$settings"
    rejected 'one year (31536000 s)'
  done
}

@test "bypass: 3607 written as another number" {
  for number in 3607.0 3.607e3 36070e-1; do
    cat >"$BATS_TEST_TMPDIR/number.json" <<JSON
{"request": {"kind": {"group": "", "kind": "Pod"}, "operation": "CREATE", "object": {"spec": {"volumes": [{"projected": {"sources": [{"serviceAccountToken": {"expirationSeconds": $number}}]}}]}}}, "settings": {}}
JSON
    run cargo xtask validate --payload-path "$BATS_TEST_TMPDIR/number.json" "$policy"
    [[ "$output" == *'"accepted":false'*"is $number, not a 64-bit integer"* ]]
  done
}

@test "bypass: an audience list with one that is allowed and one that isn't" {
  sed -E 's/"audiences":(null|\[\])/"audiences":["vault","evil"]/' $special/tokenrequest-default.json >"$BATS_TEST_TMPDIR/two.json"
  run ask "$BATS_TEST_TMPDIR/two.json" '{"allowedAudiences": ["vault"]}'
  rejected 'spec.audiences[1]: \"evil\" is not an allowed audience'
}

@test "limits: 10,000 levels, lone surrogates, NUL: an answer within 2 seconds" {
  deep=$(printf '[%.0s' {1..10000}; printf ']%.0s' {1..10000})
  for object in "{\"spec\": {\"x\": $deep}}" "{\"spec\": $deep}" '{"spec": {"x": "\ud800", "volumes": [{"name": "\u0000"}]}}' '{"spec": {"volumes": [{"name": "\ud800"}]}}'; do
    echo "{\"request\": {\"kind\": {\"group\": \"\", \"kind\": \"Pod\"}, \"operation\": \"CREATE\", \"object\": $object}, \"settings\": {}}" >"$BATS_TEST_TMPDIR/limit.json"
    run cargo xtask validate --payload-path "$BATS_TEST_TMPDIR/limit.json" "$policy"
    [[ "$output" == *'"accepted":'* ]]
  done
}

@test "limits: a Pod of 3 MB" {
  { printf '{"request": {"kind": {"group": "", "kind": "Pod"}, "operation": "CREATE", "object": {"spec": {"volumes": [{}'
    for i in {1..20000}; do printf ',{"name":"v%d","projected":{"sources":[{"serviceAccountToken":{"expirationSeconds":3607,"path":"token"}}]}}' "$i"; done
    printf ']}}}, "settings": {"mode": "reject"}}'; } >"$BATS_TEST_TMPDIR/large.json"
  run cargo xtask validate --payload-path "$BATS_TEST_TMPDIR/large.json" "$policy"
  [[ "$output" == *'"accepted":false'* ]]
  # Mended in as many places.
  sed -i 's/"mode": "reject"/"mode": "mutate"/' "$BATS_TEST_TMPDIR/large.json"
  run cargo xtask validate --payload-path "$BATS_TEST_TMPDIR/large.json" "$policy"
  [[ "$output" == '{"accepted":true,'*'"mutated_object":'* ]]
}

@test "limits: thousands of names that are compared with thousands" {
  token=/var/run/secrets/kubernetes.io/serviceaccount
  { printf '{"request": {"kind": {"group": "", "kind": "Pod"}, "operation": "CREATE", "object": {"spec": {"volumes": [{}'
    for i in {1..15000}; do printf ',{"name":"v%d","secret":{"secretName":"s"}}' "$i"; done
    for i in {1..5000}; do printf ',{"name":"t%d","secret":{"secretName":"default-token-x7k2p"}}' "$i"; done
    printf '], "containers": [{"volumeMounts": [{}'
    for i in {1..15000}; do printf ',{"name":"m%d","mountPath":"%s"}' "$i" $token; done
    printf ',{"name":"v15000","mountPath":"%s"}]}]}}}, "settings": {"mode": "reject"}}' $token; } >"$BATS_TEST_TMPDIR/names.json"
  run cargo xtask validate --payload-path "$BATS_TEST_TMPDIR/names.json" "$policy"
  [[ "$output" == *'spec.volumes[15000].secret.secretName: '* ]]
  containers() { for i in {1..20000}; do printf '{"name":"c%d"},' "$i"; done; }
  { printf '{"request": {"kind": {"group": "", "kind": "Pod"}, "operation": "UPDATE", "subResource": "ephemeralcontainers", "object": {"spec": {"ephemeralContainers": ['
    containers
    printf '{"name":"new","envFrom":[{"secretRef":{"name":"default-token-x7k2p"}}]}]}}, "oldObject": {"spec": {"ephemeralContainers": ['
    containers
    printf '{}]}}}, "settings": {"mode": "reject"}}'; } >"$BATS_TEST_TMPDIR/debug.json"
  run cargo xtask validate --payload-path "$BATS_TEST_TMPDIR/debug.json" "$policy"
  [[ "$output" == *'spec.ephemeralContainers[20000].envFrom[0].secretRef.name: '* ]]
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
