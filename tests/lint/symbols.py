#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What a library exports is exactly what its map file says. usage: symbols.py LIBRARY MAP"""
import re
import subprocess
import sys
from pathlib import Path

import tree


def exported(library):
    lines = subprocess.run(
        ["nm", "-D", "--defined-only", "--no-demangle", library],
        check=True, capture_output=True, text=True,
    ).stdout.splitlines()
    # "0000 T name@@VERSION"; A is the version node itself
    return {line.split()[-1].split("@")[0] for line in lines if line.split()[-2] != "A"}


def mapped(text):
    """The names in the global: parts of a version script."""
    text = re.sub(r"/\*.*?\*/|#[^\n]*", "", text, flags=re.S)
    names = set()
    for part in re.findall(r"global:(.*?)(?:local:|\})", text, flags=re.S):
        names |= set(part.replace(";", " ").split())
    return names


def main():
    library, names = sys.argv[1], mapped(Path(sys.argv[2]).read_text())
    found = exported(library)
    extra, absent = sorted(found - names), sorted(names - found)
    mistakes = [f"{library}: exports {name}, which the map does not name" for name in extra]
    mistakes += [f"{library}: does not export {name} of the map" for name in absent]
    tree.finish(mistakes)


main()
