#!/usr/bin/env bash
# Builds the simulator where need be and runs it (docs/reliability.md).
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

BUILD=$ROOT/build-test/gcc

main() {
    local program=simulate argument
    for argument in "$@"; do
        # So many nodes are only affordable with stand-ins for the primitives.
        if [[ $argument == crowd || $argument == --scenario=crowd ]]; then program=simulate-fast; fi
    done
    if [[ ! -f $BUILD/build.ninja ]]; then
        say "setting up $BUILD"
        meson setup "$BUILD" "$ROOT" -Dwerror=true >&2
    fi
    ninja -C "$BUILD" --quiet "tests/sim/$program" >&2
    exec "$BUILD/tests/sim/$program" "$@"
}

main "$@"
