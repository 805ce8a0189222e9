#!/usr/bin/env bash
# Measures CrypRQ, compares builds and reports (docs/benchmark.md). All of it is in bench/, in Python.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

command -v python3 >/dev/null || die "python3 is missing: scripts/setup.sh installs it"
exec python3 -B "$ROOT/bench/__main__.py" "$@"
