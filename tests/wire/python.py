#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Python's own tests on Shunt's own TCP: their listening sockets are the other host's, a kernel's
(tests/python/there.py). A few modules; SHUNT_LONG=1, or names, for more.

    tests/wire/python.py [MODULE]...
"""
import os
import sys
from pathlib import Path

os.environ["SHUNT_TEST_LANE"] = "tcp"  # before anybody asks
import rig  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python"))
import suites  # noqa: E402

SHORT = ("test_telnetlib", "test_socketserver", "test_urllib2_localnet", "test_asynchat",
         "test_asyncio.test_buffered_proto")
# they have no listening socket of their own process, and are tested enough by tests/python
LEFT_OUT = ("test_subprocess", "test_multiprocessing_fork", "test_multiprocessing_spawn")


def is_wanted(module):
    if len(sys.argv) > 1:
        return module in sys.argv[1:]
    return module not in LEFT_OUT if os.environ.get("SHUNT_LONG") else module in SHORT


def main():
    rig.enter()
    os.environ["PYTHON_THERE"] = f"/run/netns/peer {rig.PEER}"
    suites.run([m for m in suites.read_modules() if is_wanted(m[0])], "tests-wire-python-logs")


main()
