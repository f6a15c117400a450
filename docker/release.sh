#!/bin/sh
# Builds the images of a release, pushes them, and prints their digests as Kustomize takes them.
#
#   docker/release.sh REGISTRY VERSION [service:cpu] [service:cuda] [trainer:cpu] [trainer:cuda]
#   docker/release.sh registry.example.com 0.1.0 service:cpu service:cuda
#
# Without a list: both images in both variants. Tags are VERSION-cpu and VERSION-cuda, so that no node mistakes one for the
# other. BUILD_OPTIONS are further options of `docker build`, such as --build-arg BASE=python:3.11-slim@sha256:...
set -eu
cd "$(dirname "$0")/.."

if [ $# -lt 2 ]; then
    sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
registry=$1
version=$2
shift 2
[ $# -gt 0 ] || set -- service:cpu service:cuda trainer:cpu trainer:cuda
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)

for image in "$@"; do
    case "$image" in
        service:cpu | service:cuda | trainer:cpu | trainer:cuda) ;;
        *) echo "release.sh: $image: expected service or trainer, a colon, cpu or cuda" >&2; exit 2 ;;
    esac
done

for image in "$@"; do
    name=impasto-${image%:*}
    variant=${image#*:}
    tag=$registry/$name:$version-$variant
    # shellcheck disable=SC2086 # several options, on purpose
    docker build -f "docker/${image%:*}.Dockerfile" -t "$tag" --build-arg VARIANT="$variant" \
        --build-arg VERSION="$version" --build-arg REVISION="$revision" ${BUILD_OPTIONS:-} . >&2
    docker push "$tag" >&2
    digest=$(docker inspect --format '{{index .RepoDigests 0}}' "$tag")
    printf '  - name: %s # %s\n    newName: %s\n    digest: %s\n' "$name" "$variant" "$registry/$name" "${digest#*@}"
done
