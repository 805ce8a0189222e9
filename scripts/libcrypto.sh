# Builds the private static libcrypto under build/deps/openssl; sourced by setup.sh.
#
# The source is Debian's own package from trixie, fetched by apt (which checks its signature) with a
# configuration that lives under build/deps: neither the system's sources nor its lists are touched.
# shellcheck shell=bash

LIBCRYPTO_MIN=3.5
DEPS="$ROOT/build/deps"
LIBCRYPTO_DIR="$DEPS/openssl"
APT_DIR="$DEPS/apt"

# No -O flag here: one on the command line would replace OpenSSL's own -O3.
LIBCRYPTO_OPTIONS=(
    --prefix=/usr --openssldir=/usr/lib/ssl
    no-shared no-pinshared no-dso no-module no-engine no-deprecated no-legacy no-fips
    no-apps no-tests no-docs no-demos no-makedepend
    no-ssl no-tls no-dtls no-quic no-srtp no-psk no-sock no-http no-ktls
    no-autoload-config no-ui-console no-comp no-async no-multiblock no-filenames no-atexit
    no-cmp no-cms no-ct no-ocsp no-ts no-rfc3779 no-srp no-gost
    no-slh-dsa no-dsa no-dh no-ec2m no-sm2 no-sm3 no-sm4 no-aria no-bf no-camellia no-cast no-des
    no-idea no-mdc2 no-md4 no-rc2 no-rc4 no-rc5 no-rmd160 no-seed no-whirlpool no-ocb no-siv
    no-siphash no-cmac no-scrypt no-argon2
    enable-ec_nistp_64_gcc_128
    -fPIC -ffunction-sections -fdata-sections
)

system_libcrypto_is_enough() {
    pkg-config --atleast-version="$LIBCRYPTO_MIN" libcrypto 2>/dev/null
}

# Names the recipe, so that other options lead to another build.
libcrypto_recipe() {
    printf '%s\n' "$(uname -m)" "${LIBCRYPTO_OPTIONS[@]}" | sha256sum | cut -d' ' -f1
}

private_libcrypto_is_there() {
    [[ -s $LIBCRYPTO_DIR/lib/libcrypto.a && -s $LIBCRYPTO_DIR/include/openssl/evp.h ]] &&
        [[ -s $LIBCRYPTO_DIR/VERSION && $(cat "$LIBCRYPTO_DIR/RECIPE" 2>/dev/null) == "$(libcrypto_recipe)" ]]
}

libcrypto_target() {
    case $(uname -m) in
    x86_64) echo linux-x86_64 ;;
    aarch64) echo linux-aarch64 ;;
    *) die "no recipe for libcrypto on $(uname -m)" ;;
    esac
}

write_private_sources() {
    local main security
    main=$(archive_uri Debian)
    if [[ -z $main && $EUID -eq 0 ]]; then
        # apt names its archives by what their indices say, and there may be none yet.
        update_lists
        main=$(archive_uri Debian)
    fi
    security=$(archive_uri Debian-Security)
    [[ -n $main ]] || die "found no Debian archive among this machine's apt sources; install OpenSSL >= $LIBCRYPTO_MIN by other means"
    begin_private_sources "$APT_DIR"
    add_private_source "$APT_DIR" deb-src "$main" trixie
    if [[ -n $security ]]; then add_private_source "$APT_DIR" deb-src "$security" trixie-security; fi
}

# A mirror without trixie-security makes the update fail in part; what counts is that trixie arrived.
fetch_lists() {
    private_apt "$APT_DIR" apt-get update >"$APT_DIR/update.log" 2>&1 || true
    [[ -n $(offered_versions) ]]
}

# The versions on offer that are recent enough, newest first.
offered_versions() {
    local version
    private_apt "$APT_DIR" apt-cache showsrc --only-source openssl 2>/dev/null |
        sed -n 's/^Version: //p' | sort -Vru |
        while read -r version; do
            if dpkg --compare-versions "$version" ge "$LIBCRYPTO_MIN"; then echo "$version"; fi
        done
}

# download_source VERSION: into the current directory. Signature and checksums are apt's to verify.
download_source() {
    private_apt "$APT_DIR" apt-get source --download-only --only-source "openssl=$1" >"$APT_DIR/source.log" 2>&1
}

# A file that the mirror does not have will not be there a moment later; anything else may be the network.
download_source_patiently() {
    download_source "$1" && return 0
    if grep -q ' 404 ' "$APT_DIR/source.log"; then return 1; fi
    say "the download failed, trying again"
    sleep 3
    download_source "$1"
}

# fetch_source INSTALLED: fetches and unpacks into ./source the newest version that the mirror has whole (an index can
# name a version whose files are not there) and prints that version, or INSTALLED when there is nothing newer.
fetch_source() {
    local installed=$1 version
    for version in $(offered_versions); do
        if [[ -n $installed ]] && dpkg --compare-versions "$version" le "$installed"; then
            echo "$installed"
            return 0
        fi
        say "fetching the source of openssl $version"
        if download_source_patiently "$version"; then
            dpkg-source --no-check -x openssl_*.dsc source >"$APT_DIR/unpack.log" 2>&1 ||
                die "could not unpack openssl $version, see $APT_DIR/unpack.log"
            echo "$version"
            return 0
        fi
        say "the mirror does not have openssl $version whole"
    done
    tail -n 5 "$APT_DIR/source.log" >&2
    return 1
}

compile_libcrypto() {
    local source=$1 log=$2
    {
        "$source/Configure" "$(libcrypto_target)" "${LIBCRYPTO_OPTIONS[@]}" &&
            make -s -j"$(nproc)" build_generated &&
            make -s -j"$(nproc)" libcrypto.a
    } >"$log" 2>&1 </dev/null
}

# Puts the result in place in one move, so that an interrupted set-up never leaves half a library.
publish_libcrypto() {
    local source=$1 version=$2 new="$DEPS/openssl.new"
    rm -rf "$new"
    mkdir -p "$new/lib" "$new/include/openssl"
    cp libcrypto.a "$new/lib/"
    cp "$source"/include/openssl/*.h "$new/include/openssl/"
    cp include/openssl/*.h "$new/include/openssl/"
    cp "$source/LICENSE.txt" "$new/"
    echo "$version" >"$new/VERSION"
    libcrypto_recipe >"$new/RECIPE"
    rm -rf "$LIBCRYPTO_DIR"
    mv "$new" "$LIBCRYPTO_DIR"
}

# refresh_private_libcrypto INSTALLED: builds the newest version unless that is the one INSTALLED ("" for none).
refresh_private_libcrypto() {
    local installed=$1 work="$DEPS/work" version
    say "reading the index of trixie's source packages"
    write_private_sources
    retry_once fetch_lists || {
        tail -n 5 "$APT_DIR/update.log" >&2
        die "this machine's Debian mirror offers no source of openssl >= $LIBCRYPTO_MIN (suite trixie)"
    }
    rm -rf "$work"
    mkdir -p "$work/build"
    version=$(cd "$work" && fetch_source "$installed") ||
        die "this machine's Debian mirror offers no complete source of openssl >= $LIBCRYPTO_MIN"
    if [[ $version == "$installed" ]]; then
        say "libcrypto $installed is the newest that the mirror has"
    else
        say "building libcrypto $version (about a minute on two cores)"
        (cd "$work/build" && compile_libcrypto ../source "$DEPS/libcrypto.log") || {
            tail -n 15 "$DEPS/libcrypto.log" >&2
            die "building libcrypto failed, see $DEPS/libcrypto.log"
        }
        (cd "$work/build" && publish_libcrypto ../source "$version")
        say "libcrypto $version is in place"
    fi
    rm -rf "$work" "$APT_DIR"
}
