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


IP4 = (rig.HERE, rig.PEER, "0.0.0.0")
IP6 = (rig.HERE6, rig.PEER6, "::")


def pair(shunt, addresses=IP4):
    """Two echoes, and a stream each: ours out, and the peer's in."""
    here, peer, everywhere = addresses
    out, back = next(PORTS), next(PORTS)
    ours, theirs = shunt.env(), rig.plain_env()
    echoes = [
        start(([*rig.IN_PEER, *ACTOR, "serve-echo", peer, out], theirs), "listening"),
        start((shunt.command([*ACTOR, "serve-echo", everywhere, back]), ours), "listening")]
    streams = [
        Stream(shunt.command([*ACTOR, "client-steady", peer, out, BLOCK]), ours),
        Stream([*rig.IN_PEER, *ACTOR, "client-steady", here, back, BLOCK], theirs)]
    return echoes, streams


def on_tcp(tap, shunt, streams):
    """`shunt stat` has them all, those in the echo's children, too."""
    good = all(stream.goes_on() for stream in streams)
    lanes = [(c["lane_tx"], c["lane_rx"]) for c in shunt.stat()["connections"]]
    tap.ok(good and lanes == [("tcp", "tcp")] * len(streams), "all streams are on lane tcp") \
        or tap.note(f"{[stream.last for stream in streams]}, {lanes}")


def end_all(echoes, streams):
    for stream in streams:
        stream.end()
    for echo in echoes:
        echo.kill()
        echo.wait()
