#!/usr/bin/env bash
# Unpacks Debian's Prometheus below build/tools, for tests/netns/test_prometheus.py. Nothing is installed; it takes
# about 95 MB and is not part of scripts/setup.sh.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

TOOLS="$ROOT/build/tools/prometheus"

usage() {
    cat <<USAGE
usage: scripts/prometheus.sh [--remove] [--help]

Fetches Debian's package prometheus with apt and unpacks it into build/tools/prometheus.

  --remove  delete it again
USAGE
}

fetch() {
    local folder=$1
    cd "$folder"
    apt-get -q download prometheus >"$folder/log" 2>&1
}

main() {
    case "${1:-}" in
        --help) usage && exit 0 ;;
        --remove) rm -rf "$TOOLS" && exit 0 ;;
        "") ;;
        *) usage >&2 && exit 2 ;;
    esac
    if [[ -x $TOOLS/usr/bin/prometheus && -x $TOOLS/usr/bin/promtool ]]; then
        say "there already: $TOOLS"
        exit 0
    fi
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    say "fetching prometheus"
    (retry_once fetch "$scratch") || die "apt-get download failed: $(tail -n 1 "$scratch/log") (as root: apt-get update)"
    dpkg-deb -x "$scratch"/prometheus_*.deb "$scratch/tree"
    mkdir -p "${TOOLS%/*}"
    rm -rf "$TOOLS"
    mv "$scratch/tree" "$TOOLS"
    say "unpacked: $TOOLS"
}

main "$@"
