#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The command line of shuntd, and its manual page.
. "${top_srcdir:-.}/tests/cli/tap.sh"
unset SHUNT_CONFIG SHUNT_LOG SHUNT_SOCKET
shunt=${top_builddir:-build}/shuntd # what try runs
page=${top_srcdir:-.}/docs/man/shuntd.8
chmod 755 "$work"

try 0 --help && says "usage: shuntd"; ok "--help"
try 0 --version && says "shuntd "; ok "--version"
try 2 --nonsense && complains "usage: shuntd"; ok "2: no such option"
try 0 --help
for option in $(grep -o -- '^  -[-a-z]*' "$work/out"); do
    grep -qF -- "${option//-/\\-}" "$page"; ok "shuntd(8) describes $option"
done

try 1 --socket relative/path && complains "not absolute"; ok "1: a relative path"
try 1 --socket "$work/a/b/s" && complains "cannot be made"; ok "1: a directory that cannot be made"
try 1 --socket "/$(printf 'x%.0s' {1..120})" && complains "too long"; ok "1: a path that is too long"
touch "$work/file"
try 1 --socket "$work/file" && complains "no socket is in its place" && [ -e "$work/file" ]; ok "1: a file in its place"

"$shunt" --socket "$work/s" 2>/dev/null & daemon=$!
for _ in $(seq 100); do [ -S "$work/s" ] && break; sleep 0.05; done
try 3 --socket "$work/s" && complains "another shuntd lives there"; ok "3: another one is there"
kill -INT $daemon; wait $daemon; ok "SIGINT ends it with 0"
[ ! -e "$work/s" ]; ok "and takes the socket away"

echo 'chanel_budget = 5;' >"$work/broken.conf"
"$shunt" -c "$work/broken.conf" --socket "$work/s" 2>"$work/err" & daemon=$!
for _ in $(seq 100); do [ -S "$work/s" ] && break; sleep 0.05; done
[ -S "$work/s" ] && complains "broken.conf: it has mistakes"; ok "a broken config is told of, and it runs"
kill $daemon; wait $daemon; ok "SIGTERM ends it with 0"
SHUNT_SOCKET=$work/named SHUNT_LOG=info:$work/log "$shunt" & daemon=$!
for _ in $(seq 100); do grep -qs "listens on" "$work/log" && break; sleep 0.05; done
kill $daemon; wait $daemon
grep -q "listens on $work/named" "$work/log"; ok "SHUNT_SOCKET and SHUNT_LOG"

finish
