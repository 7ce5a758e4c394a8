#!/usr/bin/env bats
# The annotated module in a real OCI registry: one that is open, one that wants a login.

bats_require_minimum_version 1.5.0
policy=annotated-policy.wasm

# Starts a registry on a free port: NAME, further CONFIGURATION
start() {
  local folder=$BATS_FILE_TMPDIR/$1
  mkdir -p "$folder/data"
  cat >"$folder/config.yml" <<YAML
version: 0.1
storage: {filesystem: {rootdirectory: $folder/data}, maintenance: {uploadpurging: {enabled: false}}}
http: {addr: "127.0.0.1:0", secret: s}
$2
YAML
  docker-registry serve "$folder/config.yml" >"$folder/log" 2>&1 3>&- &
  echo $! >"$folder/pid"
  for _ in {1..100}; do
    sed -nE 's/.*listening on (127\.0\.0\.1:[0-9]+).*/\1/p' "$folder/log" >"$folder/host"
    [ -s "$folder/host" ] && return
    sleep 0.1
  done
  cat "$folder/log"
  return 1
}

setup_file() {
  start open ""
  # The password is "not-a-secret".
  echo 'tester:$2b$04$262oeMu.z7u82GaHxKHhEeEruhsv3i3A4/pYlYvyy3/WO0dqTUrvi' >"$BATS_FILE_TMPDIR/htpasswd"
  start closed "auth: {htpasswd: {realm: test, path: $BATS_FILE_TMPDIR/htpasswd}}"
}

teardown_file() {
  kill "$(cat "$BATS_FILE_TMPDIR/open/pid")" "$(cat "$BATS_FILE_TMPDIR/closed/pid")"
}

setup() {
  open=$(cat "$BATS_FILE_TMPDIR/open/host")
  closed=$(cat "$BATS_FILE_TMPDIR/closed/host")
  export DOCKER_CONFIG=$BATS_TEST_TMPDIR/docker
  mkdir "$DOCKER_CONFIG"
}

# What `docker login` writes: HOST NAME:PASSWORD
login() {
  jq --null-input --arg host "$1" --arg login "$2" '{auths: {($host): {auth: $login | @base64}}}' >"$DOCKER_CONFIG/config.json"
}

# COMMAND HOST [ARGUMENTS]: over plain http
over_http() {
  cargo xtask "$1" --insecure-registry "$2" "${@:3}"
}

# A failure is one line on stderr, and leaves no file, not even half of one.
fails_with() {
  [ "$status" -eq 1 ] && [ "$output" = "Error: $1" ] && [ -z "$(find "$BATS_TEST_TMPDIR" -name '*.wasm' -o -name '.tmp*')" ]
}

pull_fails_with() { # HOST IMAGE LINE
  run over_http pull "$1" --output-path "$BATS_TEST_TMPDIR/pulled.wasm" "$2"
  fails_with "$3"
}

# Where the registry keeps a blob: DIGEST
blob() { echo "$BATS_FILE_TMPDIR/open/data/docker/registry/v2/blobs/sha256/${1:7:2}/${1:7}/data"; }

# Changes a blob; prints the digest that it has now: DIGEST
damage() {
  sed -i 's/severity/SEVERITY/' "$(blob "$1")"
  echo "sha256:$(sha256sum <"$(blob "$1")" | cut -d' ' -f1)"
}

@test "push, pull, the same bytes, and they run" {
  run --separate-stderr over_http push "$open" "$open/policies/test:v1"
  [ "$status" -eq 0 ]
  [[ "$output" =~ ^$open/policies/test@sha256:[0-9a-f]{64}$ ]]
  pushed=$output
  # By tag and by digest, with and without kwctl's prefix.
  for image in "$open/policies/test:v1" "registry://$open/policies/test:v1" "$pushed"; do
    run --separate-stderr over_http pull "$open" --output-path "$BATS_TEST_TMPDIR/pulled.wasm" "$image"
    [ "$status" -eq 0 ]
    [ "$output" = "$pushed" ]
    cmp "$BATS_TEST_TMPDIR/pulled.wasm" $policy
  done
  cargo xtask run --request-path tests/data/special/pod-create-plain.json "$BATS_TEST_TMPDIR/pulled.wasm" |
    jq --exit-status '.allowed and .patchType == "JSONPatch"'
}

@test "an image looks as kwctl makes it" {
  image=$(over_http push "$open" "$open/policies/looks:v1")
  manifest=$(blob "${image#*@}")
  jq --exit-status '.config.mediaType == "application/vnd.wasm.config.v1+json"' "$manifest"
  jq --exit-status '[.layers[].mediaType] == ["application/vnd.wasm.content.layer.v1+wasm"]' "$manifest"
  jq --exit-status '.annotations["io.kubewarden.policy.title"] == "bound-service-account-tokens"' "$manifest"
  jq --exit-status '.annotations["org.opencontainers.image.source"] | startswith("https://github.com/")' "$manifest"
  # The README has many lines.
  jq --exit-status '.annotations | has("io.kubewarden.policy.usage") | not' "$manifest"
}

@test "make push" {
  run --separate-stderr make --silent push IMAGE="$open/policies/made:v1" INSECURE="$open"
  [ "$status" -eq 0 ]
  [[ "$output" =~ ^$open/policies/made@sha256:[0-9a-f]{64}$ ]]
}

@test "a wrong tag" {
  pull_fails_with "$open" "$open/policies/other:v1" "$open/policies/other:v1 is not there"
}

@test "a registry that can't be reached" {
  line="cannot reach 127.0.0.1:1: Connection refused (os error 111)"
  pull_fails_with 127.0.0.1:1 127.0.0.1:1/policies/test:v1 "$line"
  run over_http push 127.0.0.1:1 127.0.0.1:1/policies/test:v1
  fails_with "$line"
}

@test "plain http only where it is asked for" {
  run cargo xtask push "$open/policies/test:v1"
  [ "$status" -eq 1 ]
  [[ "$output" == "Error: cannot reach $open: "*"; if it speaks plain http, add --insecure-registry $open" ]]
  [ "${#lines[@]}" -eq 1 ]
}

@test "a module that isn't the digest's" {
  image=$(over_http push "$open" --policy <(cat $policy; printf '\0\2\1a') "$open/policies/damaged:v1")
  digest=$(jq --raw-output '.layers[0].digest' "$(blob "${image#*@}")")
  actual=$(damage "$digest")
  pull_fails_with "$open" "$image" "$image: $open sends $actual in place of $digest"
}

@test "a manifest that isn't the digest's" {
  image=$(over_http push "$open" --policy <(cat $policy; printf '\0\2\1b') "$open/policies/forged:v1")
  actual=$(damage "${image#*@}")
  pull_fails_with "$open" "$image" "$image: $open sends $actual in place of ${image#*@}"
}

@test "a login that is refused" {
  refused="$closed refuses the login for $closed/policies/test:v1: log in with 'docker login $closed'"
  run over_http push "$closed" "$closed/policies/test:v1"
  fails_with "$refused"
  pull_fails_with "$closed" "$closed/policies/test:v1" "$refused"
  login "$closed" tester:wrong
  run over_http push "$closed" "$closed/policies/test:v1"
  fails_with "$refused"
}

@test "a login from Docker's configuration" {
  login "$closed" tester:not-a-secret
  over_http push "$closed" "$closed/policies/test:v1"
  over_http pull "$closed" --output-path "$BATS_TEST_TMPDIR/pulled.wasm" "$closed/policies/test:v1"
  cmp "$BATS_TEST_TMPDIR/pulled.wasm" $policy
}

@test "a module without metadata is not pushed" {
  run over_http push "$open" --policy policy.wasm "$open/policies/bare:v1"
  fails_with "cannot push policy.wasm: it has no section io.kubewarden.metadata: run 'make annotated-policy.wasm'"
}

@test "a name that is no image" {
  run cargo xtask pull "no image"
  fails_with "'no image' is no image: invalid reference format"
}
