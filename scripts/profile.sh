#!/usr/bin/env bash
# Where time, instructions, memory and system calls of a node go: one command each (docs/performance.md).
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    cat <<'USAGE'
usage: scripts/profile.sh COMMAND [--install] [OPTIONS]

  cpu           perf record of two loaded nodes: a flame graph and the 20 functions with the most time       (perf)
      --seconds N          8
      --frequency HZ       499 samples a second and CPU
      --load tcp|udp       one TCP stream, or UDP of 64 bytes
      --all                the whole machine, iperf3 included
  instructions  counts the instructions of the deterministic core, row by row, and compares them with the baseline of
                this compiler; status 1 if one changed by more than the tolerance                        (valgrind)
      --update             take the counts over as the baseline
      --only TEXT          only rows with TEXT in their names; may be repeated
      --tolerance PERCENT  1
      --compiler CC        gcc; every compiler version has a baseline of its own
      --programs DIR       measure the programs in this folder instead of those of the build
  heap          who allocates; status 1 if moving packets does                               (valgrind; perf for nodes)
      --core               only the deterministic core, no nodes
  leaks         whole sessions with rotations; status 1 if memory is lost                                  (valgrind)
      --core               the same
      --sanitized DIR      the build directory with sanitizers, instead of build-test/sanitized
  locks         where threads wait for each other, under load and rotations                                    (perf)
      --seconds N          6
  syscalls      system calls for each gigabyte, by name and thread                                   (perf or strace)
      --megabytes N        2000
      --tool perf|strace   perf where the kernel lets it count

  --install     first install with apt what the command needs; nothing is ever installed without it
  --build DIR   (instructions, heap, leaks) use this build directory instead of build-test/gcc
  --program P   (cpu, heap, locks, syscalls) the program whose nodes are measured: $CRYPRQ, else build/cryprq

Output is under build/profile/COMMAND, of the last run only. Nodes run in network namespaces of their own, which takes
root. Exit status: 0 if all is well, 1 if a check failed, 2 if it cannot run here. docs/performance.md explains all.
USAGE
}

# What each command needs beyond scripts/setup.sh, as Debian's packages.
packages_for() {
    case $1 in
    cpu | locks) echo linux-perf ;;
    instructions | leaks) echo valgrind ;;
    heap) echo valgrind linux-perf ;;
    syscalls) echo strace ;;
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
