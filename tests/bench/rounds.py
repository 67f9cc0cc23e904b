# SPDX-License-Identifier: BSD-2-Clause
"""Rounds: the ways of a case in turn, again and again, and what they come to."""
import statistics
import sys


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)


def measure(case, ways, count, once):
    """[{way: metrics}], one a round; once(way) measures."""
    turns = []
    for number in range(count):
        turns.append({})
        for way in ways:
            progress(f"{case.name}: round {number + 1} of {count}, {way}")
            turns[-1][way] = once(way)
    progress("")
    return turns


def spread(values):
    return {
        "median": float(f"{statistics.median(values):.5g}"),
        "min": float(f"{min(values):.5g}"),
        "max": float(f"{max(values):.5g}"),
    }


def ratios(case, turns, base):
    """{way: how many times better than the base, round by round}."""
    found = {}
    for way in turns[0]:
        pairs = [(turn[base][case.unit], turn[way][case.unit]) for turn in turns]
        found[way] = spread([b / a if case.better == "higher" else a / b for a, b in pairs])
    del found[base]
    return found


def summary(case, turns, bases):
    """The figures of all rounds; "ratio" is to the first base, "ratio_to_X" to another base X. A base
    that was not measured has no ratios."""
    ways = list(turns[0])
    metrics = {way: turns[0][way] for way in ways}
    result = {
        "case": case.name, "unit": case.unit, "better": case.better, "rounds": len(turns),
        "ways": {
            way: {metric: spread([turn[way][metric] for turn in turns]) for metric in metrics[way]}
            for way in ways
        },
        "ratio": {},
    }
    for base in bases:
        if base in ways:
            result["ratio" if base == bases[0] else f"ratio_to_{base}"] = ratios(case, turns, base)
    return result
