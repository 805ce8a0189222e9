#!/usr/bin/env bash
# Makes this checkout ready for use: installs what is missing, builds a private libcrypto where the system's OpenSSL
# has no ML-KEM, and leaves a release build with the program at build/cryprq. Run again, it does what is left to do.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/apt.sh
source "$ROOT/scripts/apt.sh"
# shellcheck source=scripts/libcrypto.sh
source "$ROOT/scripts/libcrypto.sh"

BUILD="$ROOT/build"

BUILD_PACKAGES=(
    gcc libc6-dev meson ninja-build pkg-config
    libmnl-dev libseccomp-dev libcap-ng-dev libjansson-dev libmicrohttpd-dev
)
# For the private libcrypto.
LIBCRYPTO_PACKAGES=(perl make patch dpkg-dev ca-certificates debian-archive-keyring)
# For scripts/test.sh and scripts/demo.sh.
TEST_PACKAGES=(
    libcmocka-dev clang libclang-rt-dev shellcheck spin valgrind
    python3 python3-cryptography
    iproute2 iputils-ping nftables iperf3 curl tcpdump procps
)

usage() {
    cat <<USAGE
usage: scripts/setup.sh [--build-only] [--no-install] [--update] [--help]

Installs what is missing (with apt), builds a private libcrypto under build/deps where the
system has no OpenSSL >= $LIBCRYPTO_MIN, fetches with npm (where that is installed) the library that
draws the charts of the metrics server's page, and builds build/cryprq.

  --build-only  leave out what only tests and the demonstration need
  --no-install  install and fetch nothing: list what is missing and exit with status 1
  --update      look for a newer version of the private libcrypto and build that

Faster encryption on x86-64, on request: apt-get install libipsec-mb-dev, then
meson configure -Dipsec_mb=enabled build && ninja -C build.
USAGE
}

# missing_packages PACKAGE...: those that dpkg does not know as installed.
missing_packages() {
    local installed package
    # shellcheck disable=SC2016  # dpkg-query expands these
    installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^installed //p') ||
        true
    for package in "$@"; do
        grep -qxF -- "$package" <<<"$installed" || echo "$package"
    done
}

libcrypto_is_there() {
    private_libcrypto_is_there || system_libcrypto_is_enough
}

# Whether this distribution's own OpenSSL is recent enough, installed or not.
distribution_libcrypto_is_enough() {
    local candidate
    candidate=$(apt-cache policy libssl-dev 2>/dev/null | sed -n 's/^ *Candidate: //p')
    [[ -n $candidate && $candidate != "(none)" ]] && dpkg --compare-versions "$candidate" ge "$LIBCRYPTO_MIN"
}

report_missing() {
    local missing=("$@") package
    say "missing:"
    for package in "${missing[@]}"; do
        echo "$package"
    done
    if ! libcrypto_is_there; then
        echo "OpenSSL >= $LIBCRYPTO_MIN (libssl-dev, or the private libcrypto that this script builds)"
    fi
}

apt_get() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@" >>"$DEPS/install.log" 2>&1 9>&-
}

update_lists() {
    say "updating apt's lists"
    retry_once apt_get update || say "some of apt's lists could not be updated; going on with what there is"
}

# install_packages PACKAGE...: does nothing when there is none to install.
install_packages() {
    [[ $# -gt 0 ]] || return 0
    [[ $EUID -eq 0 ]] || die "must be root to install: $*"
    say "installing $*"
    retry_once apt_get install -y --no-install-recommends "$@" || {
        tail -n 15 "$DEPS/install.log" >&2
        die "apt could not install everything, see $DEPS/install.log"
    }
}

# Installs the packages and whatever else a libcrypto takes. The lists are updated only when something is to be
# installed.
install_missing() {
    local missing=("$@") more
    if [[ ${#missing[@]} -eq 0 ]] && libcrypto_is_there; then return 0; fi
    : >"$DEPS/install.log"
    if [[ $EUID -eq 0 ]]; then update_lists; fi
    if ! libcrypto_is_there; then
        if distribution_libcrypto_is_enough; then
            missing+=(libssl-dev)
        else
            mapfile -t more < <(missing_packages "${LIBCRYPTO_PACKAGES[@]}")
            missing+=("${more[@]}")
        fi
    fi
    install_packages "${missing[@]}"
}

ensure_libcrypto() {
    local update=$1
    if private_libcrypto_is_there; then
        if [[ $update == yes ]]; then refresh_private_libcrypto "$(cat "$LIBCRYPTO_DIR/VERSION")"; fi
    elif system_libcrypto_is_enough; then
        if [[ $update == yes ]]; then say "using the system's libcrypto, which apt keeps up to date"; fi
    else
        refresh_private_libcrypto ""
    fi
}

# The charts of the metrics server's page; the program does without.
fetch_charts() {
    "$ROOT/tools/fetch_web" uplot 9>&- || say "the metrics server's page will draw its charts by itself"
}

# What the build directory was set up for: if any of it changes, it is set up afresh.
build_stamp() {
    printf '%s\n' "$ROOT" "$(meson --version)" "$(cat "$LIBCRYPTO_DIR/VERSION" 2>/dev/null || echo system)" \
        "$(cat "$DEPS/uplot/VERSION" 2>/dev/null || echo none)"
}

configure_build() {
    local stamp
    stamp=$(build_stamp)
    if [[ -f $BUILD/build.ninja && $(cat "$BUILD/.stamp" 2>/dev/null) == "$stamp" ]]; then return 0; fi
    say "configuring build/"
    find "$BUILD" -mindepth 1 -maxdepth 1 ! -name deps -exec rm -rf {} +
    meson setup "$BUILD" "$ROOT" >"$DEPS/meson.log" 2>&1 || {
        tail -n 15 "$DEPS/meson.log" >&2
        die "configuring failed"
    }
    echo "$stamp" >"$BUILD/.stamp"
}

build_program() {
    say "building build/cryprq"
    ninja -C "$BUILD" --quiet cryprq >"$DEPS/build.log" 2>&1 9>&- || {
        cat "$DEPS/build.log" >&2
        die "the build failed"
    }
    say "ready: $BUILD/cryprq"
}

main() {
    local install=yes update=no wanted=("${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}") missing
    while [[ $# -gt 0 ]]; do
        case $1 in
        --build-only) wanted=("${BUILD_PACKAGES[@]}") ;;
        --no-install) install=no ;;
        --update) update=yes ;;
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

    mapfile -t missing < <(missing_packages "${wanted[@]}")
    if [[ $install == no ]]; then
        if [[ ${#missing[@]} -gt 0 ]] || ! libcrypto_is_there; then
            report_missing "${missing[@]}"
            return 1
        fi
        if [[ $update == yes ]]; then die "--update needs apt, which --no-install forbids"; fi
    fi

    mkdir -p "$DEPS"
    # Two set-ups at a time must not build into the same folder.
    exec 9>"$DEPS/lock"
    flock --nonblock 9 || {
        say "waiting for another set-up of this checkout"
        flock 9
    }
    install_missing "${missing[@]}"
    ensure_libcrypto "$update"
    if [[ $install == yes ]]; then fetch_charts; fi
    configure_build
    build_program
}

main "$@"
