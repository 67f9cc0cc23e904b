#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""docs/tcp-conformance.md against the tree: each file, packet script and unit test that it names is
there, and each numbered MUST and SHOULD of RFC 9293 has its row. usage: conformance.py TOP"""
import re
import sys
from pathlib import Path

TABLE = "docs/tcp-conformance.md"
# RFC 9293, appendix B
DEMANDS = [*(f"MUST-{n}" for n in range(1, 70)), *(f"SHLD-{n}" for n in range(1, 31))]


def rows(text):
    """Line number and cells of each row that has five of them, but for a table's head."""
    for number, line in enumerate(text.splitlines(), 1):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and len(cells) == 5 and re.search(r"\d", cells[0]):
            yield number, cells


def demands(names):
    """MUST-44, 45 names two."""
    kind = None
    for word, number in re.findall(r"(?:(MUST|SHLD|MAY|REC)-)?(\d+)", names):
        kind = word or kind
        yield f"{kind}-{number}"


def missing_files(top, where):
    for name in re.findall(r"[\w/]+\.[ch]\b", where):
        if not (top / (name if "/" in name else f"src/tcp/{name}")).is_file():
            yield f"no file {name}"


def missing_tests(top, names, units):
    for name in filter(None, (word.strip() for word in names.split(","))):
        if name.startswith("tests/"):
            found = (top / name).exists()
        elif name.startswith("test_"):
            found = name in units
        else:
            found = (top / f"tests/packet/{name}.pkt").is_file()
        if not found:
            yield f"no test {name}"


def main():
    top = Path(sys.argv[1])
    units = set()
    for source in top.glob("tests/unit/tcp/*.c"):
        units.update(re.findall(r"cmocka_unit_test\w*\((test_\w+)", source.read_text()))
        units.update(re.findall(r"\b(test_\w+)\(void \*\*", source.read_text()))
    faults, told = [], set()
    for number, (names, _, done, where, tests) in rows((top / TABLE).read_text()):
        told.update(demands(names))
        for fault in (*missing_files(top, where), *missing_tests(top, tests, units)):
            faults.append(f"{TABLE}:{number}: {fault}")
        if done.startswith("yes") and not tests:
            faults.append(f"{TABLE}:{number}: {names} is done, but no test shows it")
    faults += [f"{TABLE}: no row for {name}" for name in DEMANDS if name not in told]
    print("\n".join(faults), end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
