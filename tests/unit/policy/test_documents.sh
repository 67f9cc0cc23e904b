#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# conf/shunt.conf and shunt.conf(5) say what the schema says, and what the example file shows works.
. "${top_srcdir:-.}/tests/cli/tap.sh"
document=${top_builddir:-build}/src/policy/document
conf=${top_srcdir:-.}/conf/shunt.conf

diff "$conf" <("$document" conf) >"$work/out"; ok "conf/shunt.conf is up to date (else: make docs-policy)"
diff "${top_srcdir:-.}/docs/man/shunt.conf.5" <("$document" man) >"$work/out"; ok "shunt.conf(5) is up to date"

try 0 check "$conf" && says "0 errors, 0 warnings"; ok "the file as it is"

# settings of the file and of defaults: as they stand
sed '/^rules/,$d; s/^\( *\)#\([a-z_]* = \)/\1\2/' "$conf" >"$work/settings.conf"
grep -q '^  ring_bytes = 262144;' "$work/settings.conf" &&
    try 0 check "$work/settings.conf" && says "0 errors, 0 warnings"; ok "every setting uncommented"

# match keys: all into one rule
{
    echo 'rules = ( {'
    sed '1,/^rules/d; /A few rules/,$d' "$conf" | sed -n 's/^  #\([a-z_]* = \)/\1/p'
    echo '} );'
} >"$work/keys.conf"
grep -q '^interface' "$work/keys.conf" &&
    try 0 check "$work/keys.conf" && says "0 errors"; ok "every match key uncommented"

{
    echo 'rules = ('
    sed '1,/A few rules/d; s/^  #//' "$conf"
} >"$work/rules.conf"
grep -q '"engine"' "$work/rules.conf" &&
    try 0 check "$work/rules.conf" && says "0 errors"; ok "the example rules uncommented"

finish
