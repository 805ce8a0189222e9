#!/usr/bin/env bash
# Makes pictures of the metrics server's page, of a node with real peers and traffic in network namespaces.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    cat <<'USAGE'
usage: scripts/screenshots.sh [--seconds N] [--help] [FOLDER]

Writes dashboard-light.png, -dark.png, -phone.png, -phone-dark.png (as much as a screen shows), the same with -whole
(all of the page) and dashboard-plain-whole.png (without scripts) to FOLDER (build/screenshots). Takes about three
minutes. Needs root, iperf3 and Chromium (apt-get install chromium), which scripts/setup.sh does not install.

  --seconds N  of traffic before the pictures (130)

Environment: CRYPRQ, the program to show (build/cryprq).
USAGE
}

main() {
    local seconds=130 folder="$ROOT/build/screenshots"
    while [[ $# -gt 0 ]]; do
        case $1 in
        --seconds)
            [[ $# -ge 2 && $2 =~ ^[0-9]+$ ]] || die "--seconds takes a number"
            seconds=$2
            shift
            ;;
        -h | --help)
            usage
            return 0
            ;;
        -*)
            usage >&2
            return 2
            ;;
        *) folder=$1 ;;
        esac
        shift
    done
    [[ $EUID -eq 0 ]] || die "network namespaces and tunnels take root"
    export CRYPRQ=${CRYPRQ:-$ROOT/build/cryprq}
    [[ -x $CRYPRQ ]] || die "no program at $CRYPRQ: scripts/setup.sh builds it"
    exec python3 -B "$ROOT/scripts/demo/screenshots.py" --seconds "$seconds" "$folder"
}

main "$@"
