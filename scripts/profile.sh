#!/usr/bin/env bash
# Where time, instructions, memory and system calls of a node go: one command each (docs/performance.md).
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    cat <<'USAGE'
usage: scripts/profile.sh COMMAND [--install] [OPTIONS]

  instructions  counts the instructions of the deterministic core, row by row, and compares them with the baseline of
                this compiler; status 1 if one changed by more than the tolerance         (valgrind)
      --update             take the counts over as the baseline
      --only TEXT          only rows with TEXT in their names; may be repeated
      --tolerance PERCENT  1
      --compiler CC        gcc; every compiler version has a baseline of its own
      --programs DIR       measure the programs in this folder instead of those of the build

  --install     first install with apt what the command needs; nothing is ever installed without it
  --build DIR   use this build directory instead of build-test/gcc

Output is under build/profile/COMMAND, of the last run only.
Exit status: 0 if all is well, 1 if a check failed, 2 if it cannot run here.
USAGE
}

# What each command needs beyond scripts/setup.sh, as Debian's packages.
packages_for() {
    case $1 in
    instructions) echo valgrind ;;
    *) return 1 ;;
    esac
}

install_packages() {
    [[ $EUID -eq 0 ]] || die "must be root to install: $*"
    say "installing $*"
    retry_once env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 install -y \
        --no-install-recommends "$@" >&2 || die "apt could not install $*; apt-get update may help"
}

main() {
    local command=${1:-} arguments=() install=no packages
    case $command in
    -h | --help)
        usage
        return 0
        ;;
    esac
    packages=$(packages_for "$command") || {
        usage >&2
        return 2
    }
    shift
    while [[ $# -gt 0 ]]; do
        case $1 in
        --install) install=yes ;;
        -h | --help)
            usage
            return 0
            ;;
        *) arguments+=("$1") ;;
        esac
        shift
    done
    # shellcheck disable=SC2086  # a list of names
    if [[ $install == yes ]]; then install_packages $packages; fi
    exec python3 -B "$ROOT/scripts/profile/main.py" "$command" "${arguments[@]}"
}

main "$@"
