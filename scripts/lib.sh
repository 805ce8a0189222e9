# Shared by the scripts here; to be sourced, never run.
# shellcheck shell=bash

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export ROOT

# Progress of a script, on standard error so that results stay alone on standard output.
say() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
}

die() {
    say "error: $*"
    exit 1
}

# retry_once COMMAND...: runs it again a moment later if it fails, which is enough for a network that stumbled.
retry_once() {
    "$@" && return 0
    say "failed once, trying again: $1"
    sleep 3
    "$@"
}
