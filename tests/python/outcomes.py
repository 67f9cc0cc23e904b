#!/usr/bin/python3.11
# SPDX-License-Identifier: BSD-2-Clause
"""Runs one of Python's own test modules and writes every outcome down as it comes.

    outcomes.py OUT LIMIT_S MODULE [-PART | +RESOURCE | TEST]...

OUT gets a line "start NAME" when a test begins and "OUTCOME NAME" when it ends, so that a test that
hangs is known: it is ended after LIMIT_S seconds, with the stack of every thread on stderr. Tests
that OUT already names are not run again, so a run can go on behind a test that hung. Tests with PART
in their name are left out, RESOURCEs are those of test.support; with TESTs only those run.
"""
import faulthandler
import os
import sys
import unittest


class Recorder(unittest.TestResult):
    """Writes outcomes to a file, one a line; a test is named by its id, a subtest by its test."""

    def __init__(self, out, limit_s):
        super().__init__()
        self.out = out
        self.limit_s = limit_s
        self.outcome = None

    def say(self, word, test):
        self.out.write(f"{word} {test.id()}\n")
        self.out.flush()

    def startTest(self, test):
        super().startTest(test)
        self.outcome = "ok"
        self.say("start", test)
        faulthandler.dump_traceback_later(self.limit_s, exit=True)

    def stopTest(self, test):
        faulthandler.cancel_dump_traceback_later()
        self.say(self.outcome, test)
        super().stopTest(test)

    def failed(self, word, test, err):
        print(f"--- {word}: {test}\n{self._exc_info_to_string(err, test)}", file=sys.stderr)
        if self.outcome is None:  # setUpClass and the like have no startTest
            self.say(word, test)
        self.outcome = word

    def addError(self, test, err):
        self.failed("error", test, err)

    def addFailure(self, test, err):
        self.failed("fail", test, err)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.failed("fail", test, err)

    def addSkip(self, test, reason):
        if self.outcome is None:
            self.say("skip", test)
        self.outcome = "skip"

    def addExpectedFailure(self, test, err):
        self.outcome = "xfail"

    def addUnexpectedSuccess(self, test):
        self.outcome = "xpass"


def tests_of(suite, wanted):
    """The same suite with only the tests whose id is wanted."""
    kept = []
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            item = tests_of(item, wanted)
            if item.countTestCases():
                kept.append(item)
        elif wanted(item.id()):
            kept.append(item)
    return type(suite)(kept)


def main():
    path, limit_s, module = sys.argv[1], float(sys.argv[2]), sys.argv[3]
    parts = [arg[1:] for arg in sys.argv[4:] if arg[0] == "-"]
    only = [arg for arg in sys.argv[4:] if arg[0] not in "-+"]
    if os.environ.get("PYTHON_THERE"):
        import there  # noqa: F401
    from test import support
    support.use_resources = [arg[1:] for arg in sys.argv[4:] if arg[0] == "+"]
    support.verbose = False
    support.SHORT_TIMEOUT = 10.0
    with open(path, "a+", encoding="utf-8") as out:
        out.seek(0)
        done = {line.split(" ", 1)[1].strip() for line in out}
        suite = unittest.defaultTestLoader.loadTestsFromName("test." + module)
        tests_of(suite, lambda name: name not in done and (not only or name in only)
                 and not any(part in name for part in parts)).run(Recorder(out, limit_s))


if __name__ == "__main__":
    main()
