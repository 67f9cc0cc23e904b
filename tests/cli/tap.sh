# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# TAP for the tests of the shunt command. A test sources this, calls the functions, and ends by `finish`.
shunt=${top_builddir:-build}/shunt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 143' HUP INT TERM # by way of the above
count=0 failed=0

# ok NAME: the outcome of the command before it
ok() {
    local status=$?
    count=$((count + 1))
    if [ $status -eq 0 ]; then
        echo "ok $count - $1"
    else
        failed=$((failed + 1))
        echo "not ok $count - $1"
        sed 's/^/# /' "$work/out" "$work/err" 2>/dev/null
    fi
}

# try STATUS ARGUMENT...: runs shunt, keeps what it says, and checks its exit status
try() {
    local want=$1 got=0
    shift
    "$shunt" "$@" >"$work/out" 2>"$work/err" || got=$?
    [ $got -eq "$want" ]
}

# says TEXT, complains TEXT: a line of stdout, of stderr, of the last try contains TEXT
says() { grep -qF -- "$1" "$work/out"; }
complains() { grep -qF -- "$1" "$work/err"; }

finish() {
    echo "1..$count"
    exit $((failed > 0))
}
