# SPDX-License-Identifier: BSD-2-Clause
"""The files of a tree that the checkers look at."""
import sys
from pathlib import Path

ROOMS = ("src", "shim", "proto", "conf", "tests", "docs")


def files(top, *suffixes, under=ROOMS):
    """Paths below `top`, relative to it, sorted; generated files left out."""
    for folder in under:
        for path in sorted((top / folder).rglob("*")):
            if path.is_file() and path.suffix in suffixes and ".pb-c." not in path.name:
                yield path.relative_to(top)


def finish(mistakes):
    """Prints them and ends the checker: 0 without mistakes, else 1."""
    for mistake in mistakes:
        print(mistake)
    sys.exit(1 if mistakes else 0)


def top_from_argv():
    return Path(sys.argv[1])
