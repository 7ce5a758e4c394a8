#!/usr/bin/env bash
# Names the owner wherever the repository, the registry or a maintainer has to be named: OWNER
# In the repository it is example-org; the release workflow calls this with its own.
set -euo pipefail
cd "$(dirname "$0")/.."
owner=${1:-}
if ! [[ $owner =~ ^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$ ]]; then
  echo "set-owner: '$owner' is no owner of a repository" >&2
  exit 1
fi
# The registry takes small letters only.
git grep -lzE 'example-org|@example\.org' -- . ':!scripts' ':!*.bats' | xargs -0 sed -i -E \
  -e "s#ghcr\.io/example-org#ghcr.io/${owner,,}#g" \
  -e "s#[a-z-]+@example\.org#$owner@users.noreply.github.com#g" \
  -e "s#example-org#$owner#g"
