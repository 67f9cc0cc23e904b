#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
. "${top_srcdir:-.}/tests/cli/tap.sh"

try 0 --help && says "usage: shunt COMMAND"; ok "--help"
try 0 --version && says "shunt "; ok "--version"
try 2 && complains "no command"; ok "no command"
try 2 chekc && complains "'chekc' is no command"; ok "an unknown command"

finish
