#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Connections that find no shuntd: each stays on kernel TCP while there is none, and moves once there is.

usage: test_late.py               the test
       test_late.py pairs         a program that does as told on stdin: open a connection to itself, echo on all
"""
import os
import pathlib
import socket
import subprocess
import sys
import time
from concurrent import futures

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "common"))
from shunted import CONFIG, Shunt, Tap, build_dir  # noqa: E402

PATIENCE = 60  # seconds until something will not happen any more
REQUIRED = CONFIG.replace("name =", 'action = "require"; deadline_ms = 60000; name =')


def lane_of(sock):
    """Of what it sends, as the number in <shunt/info.h>: 0 kernel, 1 shm."""
    return sock.getsockopt(0x5348, 1, 256)[4]


def open_pair(listener):
    with futures.ThreadPoolExecutor(1) as other:
        ours = other.submit(socket.create_connection, listener.getsockname())
        theirs, _ = listener.accept()
        ours.add_done_callback(lambda done: done.result().sendall(b"x"))
        theirs.recv(1)  # where a lane is required, connect() waits until this end has claimed it, too
        return [ours.result(), theirs]


def pairs():
    listener = socket.create_server(("127.0.0.1", 0))
    socks = []
    for line in sys.stdin:
        if line == "open\n":
            socks += open_pair(listener)
        for i, sock in enumerate(socks):
            text = b"%d" % time.monotonic_ns()
            sock.sendall(text)
            assert socks[i ^ 1].recv(100) == text
        print(*map(lane_of, socks), flush=True)


class Program:
    """Preloads the library itself: `shunt run` would see to it that there is a shuntd."""

    def __init__(self, shunt):
        library = build_dir() / ".libs/libshunt-preload.so"
        env = {**shunt.env(), "LD_PRELOAD": str(library), "SHUNT_CONFIG": str(shunt.config)}
        self.process = subprocess.Popen([sys.executable, __file__, "pairs"], env=env, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def tell(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().split()

    def moves(self, count):
        """Are so many sockets all on shm, sooner or later?"""
        end = time.monotonic() + PATIENCE
        while (lanes := self.tell("echo")) != ["1"] * count and len(lanes) == count and time.monotonic() < end:
            time.sleep(0.02)
        return lanes == ["1"] * count

    def end(self):
        self.process.stdin.close()
        return self.process.wait()


def preferred(tap):
    shunt = Shunt()
    program = Program(shunt)
    tap.ok(program.tell("open") == ["0"] * 2, "without shuntd it is kernel TCP")
    with shunt:
        tap.ok(program.moves(2), "which moves once there is one")
        shunt.daemon.kill()
        shunt.daemon.wait()
        tap.ok(program.tell("open") == ["1", "1", "0", "0"], "shuntd is killed: what has moved stays, a new one is kernel TCP")
        shunt.start()
        tap.ok(program.moves(4), "and moves once shuntd is back")
        tap.ok(program.end() == 0, "all was right that was read")


def required(tap):
    """connect() waits for the lane; the deadline is the rule's."""
    shunt = Shunt(REQUIRED)
    program = Program(shunt)
    program.process.stdin.write("open\n")
    program.process.stdin.flush()
    time.sleep(0.5)  # so that it has asked at least once
    with shunt:
        tap.ok(program.moves(2), "a lane that is required is had from a shuntd that comes in time")
        tap.ok(program.end() == 0, "and all was right that was read")


def main():
    tap = Tap()
    preferred(tap)
    required(tap)
    tap.end()


if __name__ == "__main__":
    pairs() if sys.argv[1:] == ["pairs"] else main()
