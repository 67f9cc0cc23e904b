#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What the documents show works: rules pass `shunt check`, commands exist, C compiles.
. "${top_srcdir:-.}/tests/cli/tap.sh"
top=${top_srcdir:-.}

sed -n 's/^    //; /^rules = (/,/^);/p' "$top/README.md" >"$work/readme.conf"
grep -q cache "$work/readme.conf" && try 0 check "$work/readme.conf" && says "0 errors, 0 warnings"; ok "the rules in README"
: >"$work/empty.conf"
try 0 check "$work/empty.conf" && says "0 errors, 0 warnings"; ok "an empty file"
sed -n '/^\.SH EXAMPLE/,$ { s/\\-/-/g; /^profile/,/^);/p }' "$top/docs/man/shunt.conf.5" >"$work/page.conf"
grep -q cache "$work/page.conf" && try 0 check "$work/page.conf" && says "0 errors, 0 warnings"; ok "the example in shunt.conf(5)"

for name in $(sed -n 's/^    shunt \([a-z]*\).*/\1/p; s/^shunt \([a-z]*\).*/\1/p' "$top/README.md" "$top/docs/man/shunt.1" | sort -u); do
    try 0 "$name" --help; ok "shunt $name, which README or shunt(1) shows"
done
for name in $(sed -n 's|^    \./dev \([a-z]*\).*|\1|p' "$top/README.md" | sort -u); do
    "$top/dev" help | grep -q "^  $name "; ok "./dev $name, which README shows"
done

{
    printf '#include <shunt/info.h>\n#include <stdio.h>\n#include <sys/socket.h>\nvoid show(int fd);\nvoid show(int fd)\n{\n'
    sed -n '/^\/\/     /s/^\/\/     //p' "$top/src/include/shunt/info.h"
    printf '}\n'
} >"$work/example.c"
grep -q getsockopt "$work/example.c" &&
    ${CC:-cc} -std=c11 -Wall -Wextra -Werror -I"$top/src/include" -c "$work/example.c" -o "$work/example.o" 2>"$work/err"
ok "the example in shunt/info.h"

finish
