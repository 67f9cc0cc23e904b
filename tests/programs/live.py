# SPDX-License-Identifier: BSD-2-Clause
"""Real programs, first without Shunt and then under it, with the same questions both times."""
import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "common"))
from shunted import LANE, Shunt, Tap, as_user, build_dir, plain_env  # noqa: E402

LISTEN = "0A"  # of /proc/net/tcp
# Where servers listen: a guest's tests say an address that is reached over its devices.
HOST = os.environ.get("SHUNT_TEST_HOST", "127.0.0.1")
# How many times longer things may take here.
SLOW = int(os.environ.get("SHUNT_TEST_SLOW", "1"))


def free_port():
    with socket.socket() as s:
        s.bind((HOST, 0))
        return s.getsockname()[1]


def listens(port):
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == LISTEN and int(words[1].rsplit(":", 1)[1], 16) == port:
                return True
    return False


def wait_until(good, what, seconds=15):
    end = time.monotonic() + seconds * SLOW
    while not good():
        if time.monotonic() > end:
            raise RuntimeError(f"after {seconds} s still not so: {what}")
        time.sleep(0.02)


def some_bytes(count, seed=1):
    return random.Random(seed).randbytes(count)


def digest(data):
    return hashlib.sha256(data).hexdigest()


class Way:
    """One of the two ways: starts programs and ends them all; says what went right."""

    def __init__(self, tap, shunt, user):
        self.tap = tap
        self.who = as_user(user)
        self.shunt = shunt
        self.name = "under Shunt" if shunt else "without Shunt"
        self.dir = Path(tempfile.mkdtemp(prefix="shunt-live."))
        self.processes = []
        if user:
            shutil.chown(self.dir, user, user)

    def command(self, command):
        command = [str(word) for word in command]
        return self.shunt.command(command) if self.shunt else command

    def env(self, more=None):
        return {**(self.shunt.env() if self.shunt else plain_env()), **(more or {})}

    def start(self, command, port=None, env=None):
        """Starts a server, and waits until it listens on port."""
        log = open(self.dir / f"log.{len(self.processes)}", "wb")
        process = subprocess.Popen(self.command(command), env=self.env(env), cwd=self.dir,
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   start_new_session=True, **self.who)
        self.processes.append(process)
        if port:
            wait_until(lambda: listens(port) or process.poll() is not None, f"{command[0]} listens")
            if not listens(port):
                raise RuntimeError(f"{command[0]} ended with {process.returncode}")
        return process

    def run(self, command, data=None, seconds=60, env=None):
        """What a program says on stdout; it must end well and in time."""
        done = subprocess.run(self.command(command), env=self.env(env), cwd=self.dir, input=data,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=seconds * SLOW, **self.who)
        if done.returncode != 0:
            raise RuntimeError(f"{command}: exit status {done.returncode}: "
                               f"{(done.stderr + done.stdout)[-600:].decode(errors='replace')}")
        return done.stdout

    def client(self, name, *args, seconds=60):
        """Runs one of tests/programs/clients.py."""
        return self.run(["/usr/bin/python3", HERE / "clients.py", name, *args], seconds=seconds)

    def ok(self, good, what):
        return self.tap.ok(bool(good), f"{self.name}: {what}")

    def lanes(self, port):
        """{(out, in)} of the live connections to a port, as `shunt stat` tells them."""
        ends = f":{port}"
        return {(c["lane_tx"], c["lane_rx"]) for c in self.shunt.stat()["connections"]
                if c["local"].endswith(ends) or c["remote"].endswith(ends)}

    def on_lane(self, port, what):
        """Under Shunt, that connections to a port are on the lane by now, or soon.

        Not all at once: a server that closes after so many requests always has some that just began."""
        if self.shunt:
            found, end = False, time.monotonic() + 5 * SLOW
            while not found and time.monotonic() < end:
                time.sleep(0.1)
                found = (LANE, LANE) in self.lanes(port)
            self.ok(found, f"{what} on {LANE}")

    def stop(self, process):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()

    def tell_logs(self):
        for log in sorted(self.dir.glob("log.*")):
            self.tap.note(f"{log.name}: " + log.read_text(errors="replace")[-1500:])

    def end(self):
        for process in reversed(self.processes):
            self.stop(process)
        shutil.rmtree(self.dir, ignore_errors=True)


def _one_way(tap, body, shunt, user, moves):
    way = Way(tap, shunt, user)
    before = tap.failed
    try:
        body(way)
        if shunt and moves:
            way.ok(shunt.channels_made() > 0, "connections were moved")
    except Exception:  # whatever it is, the other way and the clean-up must still come
        tap.note(traceback.format_exc())
        way.ok(False, "the test came to its end")
    finally:
        if tap.failed > before:
            way.tell_logs()
        way.end()


def both_ways(body, needs, user=None, moves=True):
    """Runs body(way) without and under Shunt; needs: programs without which there is no test; user:
    another user, for root to run everything as; moves: connections are to be moved to a lane."""
    tap = Tap()
    missing = [name for name in needs if not shutil.which(name)]
    if missing:
        print(f"1..0 # SKIP no {', '.join(missing)} here")
        return
    _one_way(tap, body, None, user, moves)
    with Shunt(user=user) as running:
        _one_way(tap, body, running, user, moves)
    tap.end()
