#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Holds the lengths of files and functions. usage: lengths.py TOP

A function's length is the number of lines between its braces. No function is over 100 lines; in
src and shim the 99th percentile is 80 at most and the median 12. No file reaches 800 lines.
"""
import math
import statistics

import tree

LONGEST, PERCENTILE_99, MEDIAN, FILE = 100, 80, 12, 800


def functions(lines):
    """Yields (line number, lines between the braces). The format puts a function's braces, and no
    others that stand alone, in the first column."""
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line.startswith("}") and start:
            yield start, number - start - 1
            start = None


def main():
    top = tree.top_from_argv()
    mistakes, lengths = [], []
    for path in tree.files(top, ".c", ".h", ".py", ".sh"):
        lines = (top / path).read_text().splitlines()
        if len(lines) >= FILE:
            mistakes.append(f"{path}: {len(lines)} lines, {FILE - 1} are allowed")
        if path.suffix not in (".c", ".h"):
            continue
        for number, length in functions(lines):
            if length > LONGEST:
                mistakes.append(f"{path}:{number}: a function of {length} lines")
            if path.parts[0] != "tests":
                lengths.append(length)
    if lengths:
        lengths.sort()
        median = statistics.median(lengths)
        percentile = lengths[math.ceil(len(lengths) * 0.99) - 1]
        print(f"# {len(lengths)} functions: median {median:g}, 99th percentile {percentile}")
        if median > MEDIAN:
            mistakes.append(f"the median function has {median:g} lines, {MEDIAN} are allowed")
        if percentile > PERCENTILE_99:
            mistakes.append(
                f"the 99th percentile of functions is {percentile} lines, {PERCENTILE_99} allowed"
            )
    tree.finish(mistakes)


main()
