#!/usr/bin/env bash
# Sets up, builds and runs every test; the last line counts the cases.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    cat <<'USAGE'
usage: scripts/test.sh [--no-setup] [--quick] [--only PATTERN] [--fuzz-seconds N] [--help]

  --no-setup       do not call scripts/setup.sh first
  --quick          only the unit tests
  --only PATTERN   only programs with PATTERN in their names (as shown, for example unit/test_bytes or netns/)
  --fuzz-seconds N how long each fuzzer runs (30)

Ends with a line `N passed, N failed, N skipped` and status 0 only if none failed. Published test vectors are
looked for in $CRYPRQ_VECTORS, or else in ../shared/vectors beside the checkout.
USAGE
}

set_up() {
    "$ROOT/scripts/setup.sh" || {
        say "the set-up failed"
        echo "0 passed, 1 failed, 0 skipped"
        exit 1
    }
}

main() {
    local setup=yes arguments=()
    while [[ $# -gt 0 ]]; do
        case $1 in
        --no-setup) setup=no ;;
        --quick) arguments+=("$1") ;;
        --only | --fuzz-seconds)
            [[ $# -ge 2 ]] || die "$1 takes an argument"
            arguments+=("$1" "$2")
            shift
            ;;
        -h | --help)
            usage
            return 0
            ;;
        *)
            usage >&2
            return 2
            ;;
        esac
        shift
    done

    if [[ $setup == yes ]]; then set_up; fi
    exec "$ROOT/tools/run_tests" "${arguments[@]}"
}

main "$@"
