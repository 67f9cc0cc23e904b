# SPDX-License-Identifier: BSD-2-Clause
"""Two streams of blocks under programs on Shunt's own TCP, for what is to disturb them."""
import os
import subprocess
import sys
import threading
import time

import rig

ACTOR = [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "actor.py")]
PORTS = iter(range(25100, 25200))
BLOCK = 200000
PATIENCE_S = 60  # the machine may be busy; what is sent again comes after 1, 3, 7 s


class Stream:
    """Blocks that go to an echo and back without a pause."""

    def __init__(self, words, env):
        self.process = subprocess.Popen([str(word) for word in words], env=env,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.lane = self.process.stdout.readline().strip()
        self.count = 0
        self.last = ""
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.last = line.strip()
            self.count += self.last.isdigit()

    def is_well(self):
        return self.last.isdigit() or not self.last

    def wait(self, condition):
        """Whether it comes true."""
        end = time.monotonic() + PATIENCE_S
        while not condition() and time.monotonic() < end:
            time.sleep(0.02)
        return condition()

    def goes_on(self):
        """Two more blocks come back right: one at least was begun after the change."""
        want = self.count + 2
        return self.wait(lambda: self.count >= want or not self.is_well()) and self.is_well()

    def end(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()


def start(command, until):
    process = subprocess.Popen([str(word) for word in command[0]], env=command[1],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    if until not in line:
        raise RuntimeError(f"said {line!r}, not {until!r}")
    return process


def pair(shunt):
    """Two echoes, and a stream each: ours out, and the peer's in."""
    out, back = next(PORTS), next(PORTS)
    ours, theirs = shunt.env(), rig.plain_env()
    echoes = [
        start(([*rig.IN_PEER, *ACTOR, "serve-echo", rig.PEER, out], theirs), "listening"),
        start((shunt.command([*ACTOR, "serve-echo", "0.0.0.0", back]), ours), "listening")]
    streams = [
        Stream(shunt.command([*ACTOR, "client-steady", rig.PEER, out, BLOCK]), ours),
        Stream([*rig.IN_PEER, *ACTOR, "client-steady", rig.HERE, back, BLOCK], theirs)]
    return echoes, streams


def on_tcp(tap, shunt, streams):
    lanes = {c["lane_tx"] for c in shunt.stat()["connections"]}
    tap.ok(streams[0].lane == "connected tcp" and lanes == {"tcp"}, "both are on lane tcp") \
        or tap.note(f"{streams[0].lane}, {lanes}")


def end_all(echoes, streams):
    for stream in streams:
        stream.end()
    for echo in echoes:
        echo.kill()
        echo.wait()
