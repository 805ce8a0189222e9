#!/usr/bin/env bash
# Fetches programs to compare with from Debian and unpacks them below build/peers; installs nothing.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/apt.sh
source "$ROOT/scripts/apt.sh"

PEERS=$ROOT/build/peers
APT=$PEERS/apt
# The first one with UDP GSO and GRO; what older ones can do is no measure.
WIREGUARD_GO_MIN=0.0.20231211
NEWER_SUITE=trixie

usage() {
    cat <<'USAGE'
usage: scripts/peers.sh NAME...

Fetches the packages NAME (wireguard-go, openvpn, fastd, nebula) from this machine's Debian mirror, with the shared
libraries that are not installed, and unpacks each to build/peers/NAME/root. What is there already stays. The system's
packages, sources and lists are not touched. scripts/benchmark.sh --peers calls this.
USAGE
}

codename() {
    # shellcheck disable=SC1091  # the system's
    (. /etc/os-release && echo "${VERSION_CODENAME:-}")
}

# Lists of this machine's own suite, and of a newer one for what the own has only in older versions.
update_lists() {
    local main suite
    main=$(archive_uri Debian)
    suite=$(codename)
    [[ -n $main && -n $suite ]] ||
        die "no Debian archive among this machine's apt sources (or no lists yet: apt-get update)"
    begin_private_sources "$APT"
    add_private_source "$APT" deb "$main" "$suite"
    if [[ $suite != "$NEWER_SUITE" ]]; then add_private_source "$APT" deb "$main" "$NEWER_SUITE"; fi
    say "reading the lists of packages"
    private_apt "$APT" apt-get update >"$APT/update.log" 2>&1 || {
        tail -n 5 "$APT/update.log" >&2
        return 1
    }
}

# version_in PACKAGE SUITE: empty where the suite does not have it.
version_in() {
    private_apt "$APT" apt-cache madison "$1" 2>/dev/null |
        awk -F' *[|] *' -v suite="$2" '
            index($3, " " suite "/") && !found { print $2; found = 1 }'
}

# suite_of PACKAGE: the one to take it from.
suite_of() {
    local package=$1 own version
    own=$(codename)
    version=$(version_in "$package" "$own")
    if [[ $package == wireguard-go ]] && ! dpkg --compare-versions "${version:-0}" ge "$WIREGUARD_GO_MIN"; then
        echo "$NEWER_SUITE"
    else
        echo "$own"
    fi
}

# download PACKAGE SUITE: into the current folder.
download() {
    private_apt "$APT" apt-get download "$1/$2" >>"$APT/download.log" 2>&1
}

# Packages of libraries that FILE.deb depends on and the system does not have.
missing_libraries() {
    local package
    dpkg-deb -f "$1" Depends | tr ',' '\n' | sed 's/[|(].*//; s/:any//; s/ //g' | grep '^lib' |
        while read -r package; do
            [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || echo "$package"
        done
}

# fetch NAME: its package and, as deep as it goes, the libraries. In one move at the end, so that an interrupted fetch
# never leaves half of it.
fetch() {
    local name=$1 suite new="$PEERS/$1.new" queue=("$1") package deb libraries
    suite=$(suite_of "$name")
    say "fetching $name $(version_in "$name" "$suite") of $suite"
    rm -rf "$new"
    mkdir -p "$new/root" "$new/deb"
    while [[ ${#queue[@]} -gt 0 ]]; do
        package=${queue[0]}
        queue=("${queue[@]:1}")
        [[ -z $(find "$new/deb" -name "${package}_*.deb") ]] || continue
        (cd "$new/deb" && retry_once download "$package" "$suite") || {
            tail -n 5 "$APT/download.log" >&2
            die "could not fetch $package"
        }
        deb=$(find "$new/deb" -name "${package}_*.deb")
        dpkg-deb -x "$deb" "$new/root"
        mapfile -t libraries < <(missing_libraries "$deb")
        queue+=("${libraries[@]}")
    done
    version_in "$name" "$suite" >"$new/VERSION"
    rm -rf "$new/deb" "${PEERS:?}/$name"
    mv "$new" "$PEERS/$name"
}

main() {
    local name wanted=()
    for name in "$@"; do
        case $name in
        wireguard-go | openvpn | fastd | nebula)
            if [[ ! -s $PEERS/$name/VERSION ]]; then wanted+=("$name"); fi
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
    done
    [[ ${#wanted[@]} -gt 0 ]] || return 0
    mkdir -p "$APT"
    retry_once update_lists || die "the lists could not be read, see $APT/update.log"
    : >"$APT/download.log"
    for name in "${wanted[@]}"; do
        fetch "$name"
    done
    rm -rf "$APT"
}

main "$@"
