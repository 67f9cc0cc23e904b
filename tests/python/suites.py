#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Runs Python's own tests (Debian's libpython3.11-testsuite) without and under Shunt, and wants every
test to come out the same, with connections really moved.

    tests/python/suites.py [MODULE]...      default: all of modules.txt

A test that comes out otherwise is tried again, alone, in both ways, so that what is only slow or
unsteady on this machine is told from what Shunt breaks; such tests are named in a comment.
"""
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "common"))
from shunted import Shunt, Tap, plain_env  # noqa: E402

PYTHON = "/usr/bin/python3.11"
TEST_LIMIT_S = 40    # for one test
MODULE_LIMIT_S = 200 # for a module in one way
RESTARTS = 5         # behind tests that hang or kill their process
TRIES = 3            # of tests that come out otherwise


def read_modules():
    """[(module, must move, arguments for outcomes.py)] of modules.txt."""
    modules = []
    for line in (HERE / "modules.txt").read_text().splitlines():
        words = line.split()
        if words and not line.startswith("#"):
            modules.append((words[0], words[1] == "moves", words[2:]))
    return modules


def read_outcomes(path):
    """{test: outcome} of a file that outcomes.py wrote; "broken" for what began and did not end."""
    outcomes = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        word, name = line.split(" ", 1)
        outcomes[name] = "broken" if word == "start" else word
    return outcomes


def run_module(module, args, shunt, log):
    """{test: outcome} of one run; shunt None: without Shunt."""
    with TemporaryDirectory(prefix="shunt-python.") as home:
        out = Path(home) / "outcomes"
        command = [PYTHON, HERE / "outcomes.py", out, str(TEST_LIMIT_S), module, *args]
        command = shunt.command(command) if shunt else command
        env = shunt.env() if shunt else plain_env()
        for _ in range(RESTARTS):
            before = len(read_outcomes(out))
            with open(log, "ab") as err:
                try:
                    done = subprocess.run(command, env=env, cwd=home, stdin=subprocess.DEVNULL,
                                          stdout=err, stderr=err, timeout=MODULE_LIMIT_S)
                except subprocess.TimeoutExpired:
                    break
            if done.returncode == 0 or len(read_outcomes(out)) == before:
                break
        return read_outcomes(out)


def differing(plain, shunted):
    return sorted(name for name in plain.keys() | shunted.keys()
                  if plain.get(name) != shunted.get(name))


def compare(module, args, shunt, logs):
    """(plain outcomes, {test: [plain, shunted]} that differ for good, tests that differed once)"""
    plain = run_module(module, args, None, logs / f"{module}.plain")
    shunted = run_module(module, args, shunt, logs / f"{module}.shunt")
    bad = differing(plain, shunted)
    once = list(bad)
    for _ in range(TRIES - 1):
        if not bad or len(bad) > 20:
            break
        again = [name for name in bad if not name.startswith("setUpClass")]
        plain |= run_module(module, args + again, None, logs / f"{module}.plain")
        shunted |= run_module(module, args + again, shunt, logs / f"{module}.shunt")
        bad = differing(plain, shunted)
    wrong = {name: (plain.get(name), shunted.get(name)) for name in bad}
    return plain, wrong, [name for name in once if name not in wrong]


def moved_by(shunt):
    counts = shunt.stat()["shuntd"]
    return counts["matches_total"] + counts["tcp_opened_total"] + counts["tcp_accepted_total"]


class Stage:
    """Modules in some threads (they sleep most of the time), each on a shuntd of its own; results in
    one TAP stream."""

    def __init__(self, logs):
        self.tap = Tap()
        self.logs = logs
        self.lock = threading.Lock()

    def run(self, module, moves, args):
        with Shunt() as shunt:
            plain, wrong, once = compare(module, args, shunt, self.logs)
            moved = moved_by(shunt)
        with self.lock:
            self.report(module, moves, plain, wrong, once, moved)

    def report(self, module, moves, plain, wrong, once, moved):
        tap = self.tap
        counts = [f"{list(plain.values()).count(word)} {word}" for word in sorted(set(plain.values()))]
        tap.note(f"{module}: {', '.join(counts)}; {moved} connections moved")
        for name in once:
            tap.note(f"came out otherwise at first: {name}")
        for name, (without, under) in wrong.items():
            tap.note(f"{name}: {without} without Shunt, {under} under it")
        tap.ok(plain and not wrong, f"{module} comes out the same")
        if moves:
            tap.ok(moved > 0, f"{module} moves connections")


def run(modules, logs):
    """Runs modules, as read_modules() has them."""
    logs = Path(logs)
    if not Path(PYTHON).exists() or not Path("/usr/lib/python3.11/test/test_socket.py").exists():
        print("1..0 # SKIP needs Debian's libpython3.11-testsuite")
        return
    logs.mkdir(exist_ok=True)
    for old in logs.iterdir():
        old.unlink()
    stage = Stage(logs)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda m: stage.run(*m), modules))
    stage.tap.end()


def main():
    run([m for m in read_modules() if len(sys.argv) == 1 or m[0] in sys.argv[1:]],
        "tests-python-logs")


if __name__ == "__main__":
    main()
