#!/usr/bin/env bash
# Sets up, builds, and shows in about 20 seconds what CrypRQ does: two nodes in two network namespaces of this machine.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    cat <<'USAGE'
usage: scripts/demo.sh [--json] [--keep] [--no-setup] [--help]
       scripts/demo.sh --stop

Two nodes that know nothing of each other but their peer IDs (44 characters) meet over a cable between two network
namespaces: handshake, ping over IPv4 and IPv6, a file over HTTP, a search for its text on the wire, TCP while the keys
are replaced, numbered packets while they are replaced again, and a clean end. A table closes it. Nothing of this
machine's own network is touched.

  --json      also print the figures as one JSON object, in the last line of standard output
  --keep      leave the tunnel running for a look around
  --stop      end what --keep left running
  --no-setup  do not call scripts/setup.sh first

Environment: CRYPRQ, the program to show (build/cryprq).
Exit status: 0 if everything held, 1 if something did not, 2 if it cannot run here.
USAGE
}

cannot() {
    say "cannot run here: $*"
    exit 2
}

check_machine() {
    [[ $EUID -eq 0 ]] || cannot "network namespaces and tunnels take root: sudo scripts/demo.sh"
    [[ -c /dev/net/tun ]] || cannot "there is no /dev/net/tun: modprobe tun, or give this container the device"
    { : <>/dev/net/tun; } 2>/dev/null || cannot "/dev/net/tun cannot be opened: this container may not use it"
}

check_tools() {
    local tool
    for tool in python3 ip ss ping curl iperf3 tcpdump; do
        command -v "$tool" >/dev/null || cannot "$tool is missing: scripts/setup.sh installs it"
    done
}

# Whether namespaces can be made and a tunnel in them, which some containers refuse.
check_namespaces() {
    local name="cqdemo$$" reason
    reason=$(ip netns add "$name" 2>&1) || cannot "no network namespaces: ${reason:-ip netns add failed}"
    if ! reason=$(ip -n "$name" tuntap add dev probe mode tun 2>&1); then
        ip netns del "$name"
        cannot "no tunnel in a network namespace: $reason"
    fi
    ip netns del "$name"
}

set_up() {
    "$ROOT/scripts/setup.sh" || die "the set-up failed"
}

main() {
    local setup=yes stop=no arguments=()
    while [[ $# -gt 0 ]]; do
        case $1 in
        --json | --keep) arguments+=("$1") ;;
        --stop) stop=yes ;;
        --no-setup) setup=no ;;
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

    check_machine
    if [[ $stop == yes ]]; then exec python3 -B "$ROOT/scripts/demo/demo.py" --stop; fi
    if [[ $setup == yes ]]; then set_up; fi
    export CRYPRQ=${CRYPRQ:-$ROOT/build/cryprq}
    [[ -x $CRYPRQ ]] || die "no program at $CRYPRQ"
    check_tools
    check_namespaces
    exec python3 -B "$ROOT/scripts/demo/demo.py" "${arguments[@]}"
}

main "$@"
