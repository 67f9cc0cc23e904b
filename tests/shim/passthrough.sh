#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Every row does to fds that Shunt has no part in what libc does: same results, same errno.
set -eu
build=${top_builddir:-$(cd "$(dirname "$0")/../../build" && pwd)}
dir=$(mktemp -d "${TMPDIR:-/tmp}/shunt-passthrough.XXXXXX")
trap 'rm -rf "$dir"' EXIT
trap 'exit 143' HUP INT TERM # by way of the above
export SHUNT_SOCKET="$dir/nobody" SHUNT_LOG=quiet
unset SHUNT_CONFIG LD_PRELOAD

echo 1..3
if "$build/tests/shim/passthrough" >"$dir/libc" 2>"$dir/missing"; then
    echo "ok 1 - every row has a case"
else
    sed 's/^/# /' "$dir/missing"
    echo "not ok 1 - every row has a case"
fi
if [ "$(wc -l <"$dir/libc")" -gt 500 ] && ! grep -q 'ended with status 14' "$dir/libc"; then
    echo "ok 2 - libc itself answers each"
else
    grep 'ended with' "$dir/libc" | sed 's/^/# /'
    echo "not ok 2 - libc itself answers each"
fi
LD_PRELOAD="$build/.libs/libshunt-preload.so" "$build/tests/shim/passthrough" >"$dir/shim" 2>/dev/null || true
if diff "$dir/libc" "$dir/shim" >"$dir/diff"; then
    echo "ok 3 - the shim answers as libc does"
else
    sed 's/^/# /' "$dir/diff"
    echo "not ok 3 - the shim answers as libc does"
fi
