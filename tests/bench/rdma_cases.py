# SPDX-License-Identifier: BSD-2-Clause
"""The cases of ./dev bench rdma, between the two ends of one guest. A way is kernel (TCP on the same
device), rsocket (librspreload.so under the same program), rstream (its own benchmark), a verbs benchmark
of perftest, which is the floor, or a profile of Shunt on lane rdma."""
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections import namedtuple
from itertools import count
from pathlib import Path

import machine
from cases import pick, redis_row

PROFILES = ("latency", "balanced", "quiet")
RSPRELOAD = "/usr/lib/x86_64-linux-gnu/rsocket/librspreload.so"
CONFIG = 'rules = ( { name = "all"; lanes = [ "rdma" ]; after_bytes = 0; after_ms = 0; } );\n'
SERVER_CPU, CLIENT_CPU = 0, 1
HERE, THERE = os.environ.get("VM_ADDR"), os.environ.get("VM_PEER")
# What a program may take beside its measured time: it is emulated, and so is its start.
GRACE_S = 30
# How long a connection may take to come onto the lane.
PROBE_S = 10

Case = namedtuple("Case", "name unit better ways measure")
CASES = []


def case(name, unit, better, ways):
    def add(measure):
        CASES.append(Case(name, unit, better, ways, measure))
        return measure
    return add


class Turn:
    """One measurement of one way."""

    ports = count(23100)

    def __init__(self, way, seconds, build, log):
        self.way, self.seconds, self.build, self.log = way, seconds, build, log
        self.port = next(Turn.ports)
        self.folder = Path(tempfile.mkdtemp(prefix="shunt-bench-"))
        self.server_log = (self.folder / "server.log").open("w")

    def close(self):
        self.server_log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def env(self):
        return {"LD_PRELOAD": RSPRELOAD} if self.way == "rsocket" else {}

    def wrap(self, command):
        if self.way not in PROFILES:
            return command
        conf = self.folder / "shunt.conf"
        conf.write_text(CONFIG)
        return [self.build / "shunt", "run", "-p", self.way, "-c", conf, "--", *command]

    def server(self, *command):
        return machine.Program(self.wrap(command), [SERVER_CPU], self.server_log, env=self.env(), cwd=self.folder)

    def client(self, *command):
        return machine.run(self.wrap(command), [CLIENT_CPU], self.log, self.seconds + GRACE_S, env=self.env())

    def pair(self, program, *options, lane=True):
        """One of our own loads, which is server and client and pins itself. lane: it measures only what
        Shunt moves by RDMA."""
        command = [self.build / "tests/bench" / program, "--time", self.seconds, "--address", THERE,
                   "--cpus", f"{SERVER_CPU},{CLIENT_CPU}", *options]
        if self.way in PROFILES and lane:
            command += ["--lane", "rdma"]
        lines = [line for line in self.client(*command).splitlines() if line.startswith("{")]
        return json.loads(lines[-1])

    def perftest(self, name, size, *options):
        """The figure of a perftest program: the typical time, or the average rate."""
        options = ["-p", self.port, "-s", size, "-F", *options]
        with self.server(name, "-d", "rxe1", *options) as program:
            program.wait_for_port(self.port, GRACE_S)
            return pick(PERFTEST[name], self.client(name, "-d", "rxe0", *options, THERE))

    def rstream(self, size, iterations, transfers):
        """Microseconds for a transfer one way. The kernel's tables do not show when its server listens, so
        the client comes until it is served."""
        options = ["-p", self.port, "-S", size, "-I", iterations, "-C", transfers]
        end = time.monotonic() + GRACE_S
        with self.server("rstream", *options):
            while True:
                try:
                    return pick(RSTREAM, self.client("rstream", "-s", THERE, *options))
                except RuntimeError:
                    if time.monotonic() > end:
                        raise
                    time.sleep(0.2)


_LATENCY = r"\n\s*\d+\s+\d+\s+[\d.]+\s+[\d.]+\s+([\d.]+)"  # size, iterations, least, most, typical
PERFTEST = {"ib_write_lat": _LATENCY, "ib_send_lat": _LATENCY,
            "ib_write_bw": r"\n\s*\d+\s+\d+\s+[\d.]+\s+([\d.]+)"}  # size, iterations, peak, average
# name, bytes, transfers, iterations, total, time, rate, microseconds a transfer
RSTREAM = r"\n\S+\s+\S+\s+\S+\s+\S+\s+\S+\s+[\d.]+s\s+[\d.]+\s+([\d.]+)"


def add_pingpong(wait, size, ways):
    @case(f"pingpong/{wait}/{size}", "p50_us", "lower", ways)
    def _(turn):
        # perftest and rstream tell half of a round trip
        if turn.way in ("ib_write_lat", "ib_send_lat"):
            sleeping = ["-e"] if wait == "block" else []
            return {"p50_us": 2 * turn.perftest(turn.way, size, "-n", 2000 if size < 4096 else 300, *sleeping)}
        if turn.way == "rstream":
            return {"p50_us": 2 * turn.rstream(size, 2000 if size < 4096 else 300, 1)}
        found = turn.pair("pingpong", "--wait", wait, "--size", size)
        return {key: found[key] for key in ("p50_us", "mean_us", "p99_us")}


for bytes_ in (64, 1024, 16384):
    add_pingpong("spin", bytes_, ("kernel", "ib_write_lat", "ib_send_lat", "rsocket", "rstream", "latency", "balanced"))
    add_pingpong("block", bytes_, ("kernel", "ib_send_lat", "rsocket", *PROFILES))


@case("stream/64k", "mb_per_s", "higher", ("kernel", "ib_write_bw", "rsocket", "rstream", "latency", "balanced"))
def _stream(turn):
    size = 65536
    if turn.way == "ib_write_bw":
        return {"mb_per_s": turn.perftest("ib_write_bw", size, "-n", 500, "--report_gbits") * 1e3 / 8}
    if turn.way == "rstream":
        return {"mb_per_s": size / turn.rstream(size, 1, 500)}
    return {"mb_per_s": turn.pair("stream", "--size", size)["gb_per_s"] * 1e3}


def add_redis(clients):
    # Two tests go before the one that counts, so that it finds links made and libraries loaded.
    @case(f"redis/c{clients}", "ops_per_s", "higher", ("kernel", "rsocket", "latency", "balanced"))
    def _(turn):
        server = ["redis-server", "--port", turn.port, "--bind", THERE, "--save", "", "--appendonly", "no",
                  "--protected-mode", "no"]
        client = ["redis-benchmark", "-h", THERE, "-p", turn.port, "-t", "ping,get", "-c", clients, "--csv", "-n"]
        with turn.server(*server) as program:
            program.wait_for_port(turn.port, GRACE_S)
            trial = redis_row(turn.client(*client, 500))
            return redis_row(turn.client(*client, int(trial["ops_per_s"] * turn.seconds) + 100))


add_redis(1)
add_redis(50)


@case("connections", "connections_per_s", "higher", ("kernel", "rsocket", "balanced"))
def _connections(turn):
    return {"connections_per_s": turn.pair("connects", lane=False)["connections_per_s"]}


def shunt_lacks(build, log):
    """Why Shunt's sockets cannot be measured on lane rdma, or None: seen on a connection of its own, which
    sleeps, so that shuntd has a core."""
    turn = Turn("balanced", PROBE_S, build, log)
    load = [build / "tests/bench/pingpong", "--time", PROBE_S, "--wait", "block", "--address", THERE]
    try:
        with turn.server(*load) as program:
            while program.process.poll() is None:
                if '"rdma"' in _lanes_now(build):
                    return None
                time.sleep(0.2)
        return _explanation(turn)
    finally:
        turn.close()


def _ask(command):
    return subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False, timeout=GRACE_S, text=True).stdout


def _lanes_now(build):
    """The lanes that connections are on now."""
    return re.findall(r'"lane_[rt]x": *("\w+")', _ask([build / "shunt", "stat", "--json"]))


def _explanation(turn):
    told = _ask([turn.build / "shunt", "explain", "connect", "--program", "x", "--remote", f"{THERE}:{turn.port}",
                 "-c", turn.folder / "shunt.conf"])
    return " ".join(" ".join(line for line in told.splitlines() if "rdma" in line).split())
