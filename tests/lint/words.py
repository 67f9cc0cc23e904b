#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Licence line in every file, no typedef that ends in _t, no promise of later work.
usage: words.py TOP"""
import re

import tree

SOURCES = (".c", ".h", ".py", ".sh", ".mk", ".proto", ".am", ".ac", ".m4", ".conf", ".map")
LICENCE = "SPDX-License-Identifier: BSD-2-Clause"
TYPEDEF = re.compile(r"^\s*typedef\b.*(\b\w+_t\s*(\[[^]]*\])?;|\(\s*\*\s*\w+_t\s*\))|^}\s*\w+_t;")
# in two pieces, so that this file passes its own check
LATER = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX)\b")


def mistakes_in(path, lines):
    if not any(LICENCE in line for line in lines[:3]):
        yield f"{path}:1: no '{LICENCE}' in the first lines"
    for number, line in enumerate(lines, 1):
        if path.suffix in (".c", ".h") and TYPEDEF.search(line):
            yield f"{path}:{number}: a typedef that ends in _t (POSIX keeps those names)"
        if LATER.search(line):
            yield f"{path}:{number}: '{LATER.search(line)[0]}' promises later work"


def main():
    top = tree.top_from_argv()
    mistakes = []
    for path in tree.files(top, *SOURCES):
        mistakes += mistakes_in(path, (top / path).read_text().splitlines())
    tree.finish(mistakes)


main()
