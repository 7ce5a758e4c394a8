#!/usr/bin/env bats
# What the release workflow runs beside the build.

bats_require_minimum_version 1.5.0

# The repository's files as they are, in a repository of their own.
setup() {
  copy=$BATS_TEST_TMPDIR/copy
  mkdir "$copy"
  git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents --target-directory "$copy"
  git -C "$copy" init --quiet
  git -C "$copy" add .
}

@test "the owner is named everywhere" {
  "$copy/scripts/set-owner.sh" Acme-1
  run ! grep --recursive --ignore-case --exclude-dir=.git --exclude-dir=scripts --exclude='*.bats' -e example-org -e '@example\.org' "$copy"
  grep -qx '  io.kubewarden.policy.source: https://github.com/Acme-1/bound-service-account-tokens' "$copy/policy-metadata.yml"
  # The registry takes small letters only.
  grep -qx '  io.kubewarden.policy.ociUrl: ghcr.io/acme-1/policies/bound-service-account-tokens' "$copy/policy-metadata.yml"
  for example in "$copy"/examples/*.yml; do
    grep -qE '^  module: registry://ghcr.io/acme-1/policies/bound-service-account-tokens:v[0-9.]+$' "$example"
  done
  # Metadata and questions still make an artifacthub-pkg.yml, the one with these names.
  cargo xtask artifacthub --check --metadata-path "$copy/policy-metadata.yml" --questions-path "$copy/questions-ui.yml" --output-path "$copy/artifacthub-pkg.yml"
}

@test "a name that no owner has" {
  for owner in "" a/b 'a b' 'a#b' -a; do
    run "$copy/scripts/set-owner.sh" "$owner"
    [ "$status" -eq 1 ]
    [ "$output" = "set-owner: '$owner' is no owner of a repository" ]
  done
  git -C "$copy" diff --exit-code
}

@test "the notes of a release are its section" {
  printf '# Changelog\n\n## [Unreleased]\n\n- later\n\n## [1.2.0] - 2026-01-01\n\n### Added\n\n- this\n\n## [1.2.0-rc.1] - 2025-01-01\n\n- before\n\n[1.2.0]: https://example.com\n' >"$copy/CHANGELOG.md"
  run "$copy/scripts/release-notes.sh" 1.2.0
  [ "$status" -eq 0 ]
  [[ "$output" == *'### Added'*'- this'*"Built with rustc "* ]]
  [[ "$output" != *later* && "$output" != *before* && "$output" != *example.com* ]]
  run "$copy/scripts/release-notes.sh" 1.3.0
  [ "$status" -eq 1 ]
  [ "$output" = "release-notes: CHANGELOG.md has no section for 1.3.0" ]
}

@test "the workflow releases what the metadata names" {
  # The names of the assets are those in artifacthub-pkg.yml and in the README.
  grep -q 'releases/download/v.*/policy.wasm$' artifacthub-pkg.yml
  grep -qE '^ +policy.wasm annotated-policy.wasm policy-sbom.cdx.json SHA256SUMS ' .github/workflows/release.yml
  grep -qE '^ +check-tokens-linux-amd64 check-tokens-linux-arm64 chart.tgz$' .github/workflows/release.yml
  for platform in amd64 arm64; do
    grep -qE "^          - \{ runner: .*, platform: $platform \}$" .github/workflows/release.yml
  done
  grep -qE '^ +sha256sum .* chart.tgz check-tokens-linux-amd64 check-tokens-linux-arm64 >SHA256SUMS$' .github/workflows/release.yml
  grep -q 'releases/download/v.*check-tokens-linux-amd64' docs/before-you-install.md
  # Every action by its digest.
  run grep -hE 'uses: ' .github/workflows/*.yml
  for line in "${lines[@]}"; do
    [[ "$line" =~ uses:\ [^@]+@[0-9a-f]{40}\ #\ v[0-9.]+$ ]]
  done
}
