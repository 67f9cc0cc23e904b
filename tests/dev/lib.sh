# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# Words that the scripts behind ./dev share. Sourced with the working directory anywhere; leaves it
# at the top of the tree.
set -euo pipefail
top=$(readlink -f "$(dirname "${BASH_SOURCE[0]}")/../..")
cd "$top"
started_at=$SECONDS
PATH=$PATH:/usr/sbin:/sbin # nginx, ip and others, which an ordinary user's does not name

# say WORDS... : one line of progress, with the time since the start
say() {
    local s=$((SECONDS - started_at))
    printf '[%02d:%02d] %s\n' $((s / 60)) $((s % 60)) "$*"
}

die() {
    echo "dev: $*" >&2
    exit 1
}

# need_configure: ./configure is there and not older than what it is made from
need_configure() {
    local newer
    newer=$(find configure.ac Makefile.am bootstrap m4 src shim tests proto conf docs -newer configure \
        \( -name '*.ac' -o -name '*.am' -o -name '*.mk' -o -name 'shunt*.m4' -o -name bootstrap \) \
        -print -quit 2>&1 || true)
    if [ ! -x configure ] || [ -n "$newer" ]; then
        ./bootstrap
    fi
}

# configured DIR ARG... : DIR is configured with exactly these arguments
configured() {
    local dir=$1
    shift
    mkdir -p "$dir"
    if [ ! -f "$dir/Makefile" ] || [ "$(cat "$dir/.configured" 2>/dev/null)" != "$*" ]; then
        (cd "$dir" && "$top/configure" "$@")
        echo "$*" >"$dir/.configured"
    fi
}

# marked_pids MARK : processes that were started with MARK in their environment, however they
# detached themselves since
marked_pids() {
    local dir
    for dir in /proc/[0-9]*; do
        if [ "${dir#/proc/}" != $$ ] && grep -qzxF "$1" "$dir/environ" 2>/dev/null; then
            echo "${dir#/proc/}"
        fi
    done
}
