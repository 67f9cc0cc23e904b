#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Many connections at once: all are opened, all echo, all are closed; and then fds and memory of programs
and shuntd are what they were. 1,000 sockets; SHUNT_LONG=1: 10,000."""
import os
import pathlib
import resource
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "common"))
from shunted import Shunt, Tap  # noqa: E402

LONG = os.environ.get("SHUNT_LONG") == "1"
PAIRS = 5 if LONG else 2  # of programs: one has at most 20,000 numbers on our machines
EACH = 1000 if LONG else 250  # connections
PATIENCE = 60
SLACK_KB = 4096  # of a program that has had them once; rings alone would be ten times that
CONFIG = 'channel_budget = 20000;\nring_budget_bytes = 4294967296L;\nrules = ( { lanes = [ "shm" ]; after_bytes = 0; after_ms = 0; ring_bytes = 16384; } );\n'

# "open", "echo", "close" on stdin; each answered when it is done. A round before the first says what is used
# for good: chunks of state, Python's own memory.
PROGRAM = r"""
import os, select, socket, sys
role, n, port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
listener = socket.create_server(("127.0.0.1", 0), backlog=4096) if role == "server" else None
if listener:
    print(listener.getsockname()[1], flush=True)
held = []
def state():
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return len(os.listdir("/proc/self/fd")), int(status["VmRSS"].split()[0]), int(status["VmSize"].split()[0])
def echo(turns):
    switched = 0
    for turn in range(turns):
        text = b"%08d" % turn
        if role == "client":
            for s in held: s.sendall(text)
        for s in held:
            assert s.recv(8, socket.MSG_WAITALL) == text
            if role == "server": s.sendall(text)
    return sum(s.getsockopt(0x5348, 1, 256)[4] == 1 for s in held)
for line in sys.stdin:
    what = line.split()
    if what[0] == "open":
        for i in range(n):
            held.append(listener.accept()[0] if listener else socket.create_connection(("127.0.0.1", port)))
        print("opened", flush=True)
    elif what[0] == "echo":
        print(echo(int(what[1])), flush=True)
    elif what[0] == "close":
        while held: held.pop().close()
        print("closed", flush=True)
    else:
        print(*state(), flush=True)
"""


class Program:
    def __init__(self, shunt, role, port=0):
        command = shunt.command([sys.executable, "-c", PROGRAM, role, str(EACH), str(port)])
        self.process = subprocess.Popen(command, env=shunt.env(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline()) if role == "server" else port

    def say(self, text):
        print(text, file=self.process.stdin, flush=True)

    def hear(self):
        return self.process.stdout.readline().split()

    def end(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def tell(programs, text):
    for program in programs:
        program.say(text)
    return [program.hear() for program in programs]


def fds_of(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def wait_for(what):
    end = time.monotonic() + PATIENCE
    while not what() and time.monotonic() < end:
        time.sleep(0.1)
    return what()


def round_of_all(shunt, programs):
    """Opens, echoes until all are switched, closes. How many were switched at each program; what `shunt stat`
    says of them; seconds that it all took, and memory of the programs while they are open."""
    began = [time.monotonic()]
    tell(programs, "open")
    switched = []
    for _ in range(60):
        switched = [int(answer[0]) for answer in tell(programs, "echo 20")]
        if sum(switched) == EACH * len(programs):
            break
    began.append(time.monotonic())
    stat = shunt.stat()
    began.append(time.monotonic())
    memory = measure(programs)
    began.append(time.monotonic())
    tell(programs, "close")
    began.append(time.monotonic())
    took = {what: round(began[i + 1] - began[i], 2) for i, what in ((0, "open and echo"), (1, "stat"), (3, "close"))}
    return switched, stat, took, memory


def measure(programs):
    return [tuple(map(int, answer)) for answer in tell(programs, "state")]


def main():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    tap = Tap()
    with Shunt(CONFIG) as shunt:
        servers = [Program(shunt, "server") for _ in range(PAIRS)]
        programs = servers + [Program(shunt, "client", server.port) for server in servers]
        round_of_all(shunt, programs)
        wait_for(lambda: shunt.stat()["shuntd"]["channels"] == 0)
        before, daemon = measure(programs), fds_of(shunt.daemon.pid)
        switched, stat, took, memory = round_of_all(shunt, programs)
        channels, shown = stat["shuntd"]["channels"], len(stat["connections"])
        tap.ok(sum(switched) == EACH * len(programs), f"{EACH * len(programs)} sockets all echo, and all are switched")
        tap.ok(channels == EACH * PAIRS, "shuntd counts a channel for each connection")
        tap.ok(shown == EACH * len(programs), "shunt stat shows them all")
        tap.ok(wait_for(lambda: shunt.stat()["shuntd"]["channels"] == 0), "and none is left when they are closed")
        after = measure(programs)
        tap.ok([a[0] for a in after] == [b[0] for b in before], "programs have the fds that they had")
        tap.ok(all(a[1] < b[1] + SLACK_KB and a[2] < b[2] + SLACK_KB for a, b in zip(after, before)), "and the memory")
        tap.ok(wait_for(lambda: fds_of(shunt.daemon.pid) <= daemon), "and so has shuntd")
        if tap.failed:
            tap.note(f"{switched} {channels} {before} {after} {daemon} {fds_of(shunt.daemon.pid)}")
        else:
            tap.note(f"seconds: {took}")
            tap.note(f"fds, resident and mapped kB of each program: {before}, with all open {memory}, {after}")
        for program in programs:
            program.end()
    tap.end()


main()
