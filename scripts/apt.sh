# What scripts here ask of apt without touching the system's own configuration, sources or lists; to be sourced.
# shellcheck shell=bash

# private_apt FOLDER TOOL ARGUMENT...: apt-get or apt-cache with FOLDER/private.sources as its only source, and with
# everything that it writes below FOLDER. It runs as root and reads directories that the user _apt may not be able to
# enter, hence the sandbox user.
private_apt() {
    local folder=$1 tool=$2
    shift 2
    "$tool" -q \
        -o Dir::Etc::sourcelist="$folder/private.sources" \
        -o Dir::Etc::sourceparts=- \
        -o Dir::State::Lists="$folder/lists" \
        -o Dir::Cache="$folder/cache" \
        -o APT::Sandbox::User=root \
        -o Acquire::Languages=none \
        "$@"
}

# The URI of the first Debian archive with this label ("Debian" or "Debian-Security") that apt on this machine uses,
# whichever way its sources are written. Empty where apt has no lists.
archive_uri() {
    local label=$1
    # shellcheck disable=SC2016  # apt expands these, not the shell
    apt-get indextargets --format '$(LABEL)|$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
        awk -F'|' -v label="$label" '
            $1 == label && !found { print $2; found = 1 }'
}

# begin_private_sources FOLDER: makes the folders that private_apt needs, and an empty list of sources.
begin_private_sources() {
    mkdir -p "$1/lists/partial" "$1/cache/archives/partial"
    : >"$1/private.sources"
}

# add_private_source FOLDER TYPE URI SUITE...: TYPE is deb or deb-src.
add_private_source() {
    local folder=$1 type=$2 uri=$3
    shift 3
    printf 'Types: %s\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n\n' "$type" "$uri" "$*" \
        /usr/share/keyrings/debian-archive-keyring.gpg >>"$folder/private.sources"
}
