#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
. "${top_srcdir:-.}/tests/cli/tap.sh"

try 0 --help && says "usage: shunt COMMAND"; ok "--help"
try 0 --version && says "shunt "; ok "--version"
try 2 && complains "no command"; ok "no command"
try 2 chekc && complains "'chekc' is not a command"; ok "an unknown command"

# every subcommand of --help has its section in shunt(1)
try 0 --help
for name in $(sed -n 's/^  \([a-z]*\) .*/\1/p' "$work/out"); do
    grep -q "^\.SS \"$name" "${top_srcdir:-.}/docs/man/shunt.1"; ok "shunt(1) describes $name"
done

finish
