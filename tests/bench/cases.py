# SPDX-License-Identifier: BSD-2-Clause
"""The cases of ./dev bench. A case measures one way once and returns its metrics by name; the
first one is what the ratio is made of. A way says how the connections go: lo (kernel TCP), unix
(a UNIX socket, where the program has one), floor, a profile of Shunt, or kept (under Shunt, where
policy keeps the connection on the kernel), or self for a measurement without connections."""
import contextlib
import json
import os
import re
import shutil
import tempfile
from collections import namedtuple
from itertools import count
from pathlib import Path

import machine

PROFILES = ("latency", "balanced", "quiet")
SERVER_CPU, CLIENT_CPU = 0, 1

Case = namedtuple("Case", "name unit better ways needs measure")
CASES = []


def shunt_program(build):
    return build / "shunt"


@contextlib.contextmanager
def own_shuntd(build, log):
    """A registry of our own, so that no other on this machine matters, and none is left."""
    folder = Path(tempfile.mkdtemp(prefix="shunt-bench-"))
    folder.chmod(0o755)
    socket = folder / "shuntd"
    os.environ["SHUNT_SOCKET"] = str(socket)
    try:
        with machine.Program([build / "shuntd"], range(os.cpu_count()), log) as shuntd:
            shuntd.wait_for_file(socket)
            yield
    finally:
        del os.environ["SHUNT_SOCKET"]
        shutil.rmtree(folder, ignore_errors=True)


class Round:
    """One measurement of one way: where things are, how long it may take."""

    ports = count(22100)

    def __init__(self, way, seconds, build, log):
        self.way, self.seconds, self.build, self.log = way, seconds, build, log
        self.port = next(Round.ports)
        self.folder = Path(tempfile.mkdtemp(prefix="shunt-bench-"))
        self.unix = self.folder / "socket"
        self.server_log = (self.folder / "server.log").open("w")

    def close(self):
        self.server_log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def wrap(self, command):
        """The command, under Shunt where the way says so."""
        shunt = [shunt_program(self.build), "run"]
        if self.way in PROFILES:
            return [*shunt, "-p", self.way, "--", *command]
        if self.way == "kept":
            conf = self.folder / "kept.conf"
            conf.write_text('rules = ( { name = "kept"; action = "forbid"; } );\n')
            return [*shunt, "-c", conf, "--", *command]
        return command

    def server(self, command):
        return machine.Program(self.wrap(command), [SERVER_CPU], self.server_log, cwd=self.folder)

    def client(self, command, seconds=None):
        limit = (seconds or self.seconds) + 20
        return machine.run(self.wrap(command), [CLIENT_CPU], self.log, limit)

    def pair(self, program, *options):
        """One of our own loads, which is server and client and pins itself."""
        command = [
            self.build / "tests/bench" / program, "--time", self.seconds, "--path",
            self.way if self.way in ("unix", "floor") else "tcp",
            "--cpus", f"{SERVER_CPU},{CLIENT_CPU}", *options,
        ]
        return json.loads(self.client(command).splitlines()[-1])


def case(name, unit, better, ways, needs=()):
    def add(measure):
        CASES.append(Case(name, unit, better, ways, needs, measure))
        return measure
    return add


def pick(pattern, text):
    """The number that the pattern's group finds in a tool's output."""
    found = re.search(pattern, text)
    if not found:
        raise RuntimeError(f"no '{pattern}' in: {text.strip()[-300:]}")
    return float(found[1])


def add_pingpong(wait, size, ways):
    @case(f"pingpong/{wait}/{size}", "p50_us", "lower", ways)
    def _(turn):
        found = turn.pair("pingpong", "--wait", wait, "--size", size)
        return {key: found[key] for key in ("p50_us", "mean_us", "p99_us")}


add_pingpong("spin", 64, ("floor", "lo", "unix", *PROFILES))
add_pingpong("block", 64, ("lo", "unix", *PROFILES))
add_pingpong("epoll", 64, ("lo", "unix", *PROFILES))
for bytes_ in (1024, 8192, 65536):
    add_pingpong("spin", bytes_, ("lo", "unix", *PROFILES))


def add_stream(name, *options):
    @case(f"stream/{name}", "gb_per_s", "higher", ("lo", "unix", *PROFILES))
    def _(turn):
        return {"gb_per_s": turn.pair("stream", "--size", 65536, *options)["gb_per_s"]}


WIRE = ("veth", "wire", "mixed", "raw")


def add_wire(name, load, unit, better, ways, *options):
    """Two network namespaces joined by veth: kernel TCP, Shunt's own, both, bare frames."""
    @case(f"wire/{name}", unit, better, ways, needs=("ip",))
    def _(turn):
        command = [turn.build / "tests/bench/wire", load, turn.way, "--seconds", turn.seconds, *options]
        return json.loads(machine.run(command, {SERVER_CPU, CLIENT_CPU}, turn.log, turn.seconds + 20))


add_wire("pingpong/spin/64", "pingpong", "p50_us", "lower", WIRE)
add_wire("pingpong/block/64", "pingpong", "p50_us", "lower", WIRE[:3], "--wait", "block")
add_wire("bulk", "bulk", "gbit_per_s", "higher", WIRE[:3])

DOORS = ("af_packet", "af_xdp", "af_xdp_native")


def add_frames(load, unit, better):
    """The same link, bare frames by each door of src/queue, both ends spinning."""
    @case(f"wire/frames/{load}", unit, better, DOORS, needs=("ip",))
    def _(turn):
        command = [turn.build / "tests/bench/frames", load, turn.way, turn.seconds]
        return json.loads(machine.run(command, {SERVER_CPU, CLIENT_CPU}, turn.log, turn.seconds + 20))


add_frames("pingpong", "p50_us", "lower")
add_frames("rate", "mframes_per_s", "higher")
add_frames("bulk", "gbit_per_s", "higher")


add_stream("64k")
add_stream("64k-verified", "--verify")


@case("policy/decide", "match_ns", "lower", ("self",))
def _decide(turn):
    found = json.loads(turn.client([turn.build / "tests/bench/decide"]).splitlines()[-1])
    return {key: found[key] for key in ("match_ns", "no_match_ns", "match_bound_ns")}


@case("tcp/engine", "bulk_ns", "lower", ("self",))
def _tcp_engine(turn):
    """Both ends in one thread over an in-memory link; the ratios are to lwIP in the same round."""
    lines = turn.client([turn.build / "tests/bench/tcp_bench", 1]).splitlines()
    found = {line["case"]: line for line in map(json.loads, lines)}
    bulk, trip = found["bulk_segment_both_ends"], found["round_trip_64"]
    figures = {
        "bulk_ns": bulk["shunt"],
        "copies_ns": bulk["copies"],
        "trip_ns": trip["shunt"],
        "life_ns": found["connection_life"]["shunt"],
        "send_ns": found["bulk_segment_each_end"]["send"],
        "receive_ns": found["bulk_segment_each_end"]["receive_in_order"],
        "super_64k_ns": found["super_frames"]["per_64_kib"],
        "sack_ack_ns": found["acks_1000_in_flight_10_percent_sacked"]["shunt"],
    }
    if "lwip" in bulk:
        figures["bulk_to_lwip"] = bulk["ratio_beyond_copies"]
        figures["trip_to_lwip"] = trip["ratio"]
    return {key: value["median"] for key, value in figures.items()}


# what tcp_bench is told to do once, and the function within which instructions count
TCP_COUNTS = {
    "trip": (["trips"], "round_trips"),
    "send": (["parts"], "bench_send_part"),
    "receive": (["parts"], "bench_receive_part"),
    "life": (["lives"], "lives"),
    "sack_ack": (["sacks"], "bench_sack_part"),
    "trip_of_1": (["1"], "bench_ping_part"),
    "trip_of_10000": (["10000"], "bench_ping_part"),
    "trip_lwip": (["trips", "lwip"], "round_trips"),
    "life_lwip": (["lives", "lwip"], "lives"),
}


@case("tcp/instructions", "trip", "lower", ("self",), needs=("valgrind",))
def _tcp_instructions(turn):
    """Machine instructions a round trip, a bulk segment (each end), a life, an ACK; and whether the
    number of connections matters. Bulk as a whole says nothing: a copy by "rep movsb" counts each byte."""
    figures = {}
    for name, (what, function) in TCP_COUNTS.items():
        if "lwip" in what and not (turn.build / "tests/bench/.libs/tcp_lwip.so").exists():
            continue
        out = turn.folder / "callgrind"
        units = turn.client([
            "valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={out}", "--collect-atstart=no",
            f"--toggle-collect={function}", turn.build / "tests/bench/tcp_bench", "--once", *what,
        ], seconds=40)
        figures[name] = pick(r"(?m)^totals: (\d+)", out.read_text()) / int(units)
    return figures


@case("kept/pingpong-spin", "p50_us", "lower", ("lo", "kept"))
def _kept_pingpong(turn):
    found = turn.pair("pingpong", "--wait", "spin", "--size", 64)
    return {key: found[key] for key in ("p50_us", "mean_us", "p99_us")}


@case("kept/stream", "gb_per_s", "higher", ("lo", "kept"))
def _kept_stream(turn):
    return {"gb_per_s": turn.pair("stream", "--size", 65536)["gb_per_s"]}


# ---- redis

REDIS = ("redis-server", "redis-benchmark")
REDIS_MOST = 5_000_000


def redis(turn, clients, pipeline):
    """As many operations as take about the wished time, found out by a short run before."""
    server = ["redis-server", "--port", turn.port, "--bind", "127.0.0.1", "--save", "",
              "--appendonly", "no", "--unixsocket", turn.unix]
    where = ["-s", turn.unix] if turn.way == "unix" else ["-h", "127.0.0.1", "-p", turn.port]
    client = ["redis-benchmark", *where, "-t", "get", "-c", clients, "-P", pipeline, "--csv", "-n"]
    with turn.server(server) as program:
        program.wait_for_port(turn.port)
        trial = redis_row(turn.client([*client, max(5000, 400 * clients * pipeline)]))
        rate = min(trial["ops_per_s"], REDIS_MOST)  # one that took no millisecond says infinity
        return redis_row(turn.client([*client, int(rate * turn.seconds) + 1000]))


def redis_row(text):
    row = re.search(r'"GET",(.*)', text)
    if not row:
        raise RuntimeError(f"no result in: {text[-300:]}")
    values = [float(word.strip('"')) for word in row[1].split(",")]
    return {"ops_per_s": values[0], "p50_ms": values[3], "p99_ms": values[5]}


def add_redis(name, clients, pipeline, ways=("lo", "unix", *PROFILES)):
    @case(name, "ops_per_s", "higher", ways, REDIS)
    def _(turn):
        return redis(turn, clients, pipeline)


add_redis("redis/c1", 1, 1)
add_redis("redis/c50", 50, 1)
add_redis("redis/c1-p16", 1, 16)
add_redis("redis/c50-p16", 50, 16)
add_redis("kept/redis-c50", 50, 1, ("lo", "kept"))


# ---- nginx

# A worker is of the same user as the client: between users only a rule allows a channel.
NGINX = """
daemon off;
{user}
worker_processes 1;
error_log stderr error;
pid {folder}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    keepalive_requests 1000000000;
    server {{
        listen 127.0.0.1:{port};
        location / {{ root {folder}; }}
    }}
}}
"""


def nginx(turn, *wrk_options):
    (turn.folder / "hundred").write_text("x" * 99 + "\n")
    turn.folder.chmod(0o755)
    conf = turn.folder / "nginx.conf"
    conf.write_text(NGINX.format(
        folder=turn.folder, port=turn.port, user="" if os.geteuid() else "user root;"))
    seconds = max(1, round(turn.seconds))
    with turn.server(["nginx", "-p", turn.folder, "-c", conf]) as program:
        program.wait_for_port(turn.port)
        text = turn.client(["wrk", "-t1", "-c32", f"-d{seconds}s", "--latency", *wrk_options,
                            f"http://127.0.0.1:{turn.port}/hundred"])
    errors = re.search(r"(Non-2xx.*|Socket errors: connect [^0].*)", text)
    if errors:
        raise RuntimeError(f"wrk: {errors[1]}")
    return {
        "requests_per_s": pick(r"Requests/sec:\s+([\d.]+)", text),
        "p50_ms": wrk_ms(text, 50), "p99_ms": wrk_ms(text, 99),
    }


def wrk_ms(text, percent):
    found = re.search(rf"{percent}%\s+([\d.]+)(us|ms|s)", text)
    return float(found[1]) * {"us": 1e-3, "ms": 1, "s": 1e3}[found[2]]


@case("nginx/keep-alive", "requests_per_s", "higher", ("lo", *PROFILES), ("nginx", "wrk"))
def _nginx_keep_alive(turn):
    return nginx(turn)


@case("nginx/connection-a-request", "requests_per_s", "higher", ("lo", *PROFILES), ("nginx", "wrk"))
def _nginx_close(turn):
    return nginx(turn, "-H", "Connection: close")


# ---- other programs

@case("memcached/c16", "ops_per_s", "higher", ("lo", *PROFILES), ("memcached", "memcaslap"))
def _memcached(turn):
    seconds = max(1, round(turn.seconds))
    with turn.server(["memcached", "-u", "root", "-l", "127.0.0.1", "-p", turn.port, "-t", 1,
                      "-U", 0]) as program:
        program.wait_for_port(turn.port)
        text = turn.client(["memcaslap", "-s", f"127.0.0.1:{turn.port}", "-c", 16, "-T", 1,
                            "-t", f"{seconds}s"])
    return {"ops_per_s": pick(r"TPS: (\d+)", text)}


@case("iperf3", "gbit_per_s", "higher", ("lo", *PROFILES), ("iperf3",))
def _iperf3(turn):
    seconds = max(1, round(turn.seconds))
    with turn.server(["iperf3", "-s", "-1", "-B", "127.0.0.1", "-p", turn.port]) as program:
        program.wait_for_port(turn.port)
        text = turn.client(["iperf3", "-c", "127.0.0.1", "-p", turn.port, "-t", seconds, "-J"])
    result = json.loads(text[text.index("{"):])
    if "error" in result:
        raise RuntimeError(f"iperf3: {result['error']}")
    return {"gbit_per_s": result["end"]["sum_received"]["bits_per_second"] / 1e9}


def sockperf(turn, mode, size, *options):
    seconds = max(1, round(turn.seconds))
    where = ["--tcp", "-i", "127.0.0.1", "-p", turn.port]
    with turn.server(["sockperf", "sr", *where]) as program:
        program.wait_for_port(turn.port)
        return turn.client(["sockperf", mode, *where, "-t", seconds, "-m", size, *options])


@case("sockperf/ping-pong", "one_way_us", "lower", ("lo", *PROFILES), ("sockperf",))
def _sockperf_latency(turn):
    # its own table of messages has an end, which an unlimited rate would meet
    text = sockperf(turn, "pp", 64, "--mps", 500_000)
    return {
        "one_way_us": pick(r"percentile 50.000 =\s+([\d.]+)", text),
        "p99_us": pick(r"percentile 99.000 =\s+([\d.]+)", text),
    }


@case("sockperf/throughput", "mb_per_s", "higher", ("lo", *PROFILES), ("sockperf",))
def _sockperf_throughput(turn):
    return {"mb_per_s": pick(r"BandWidth is ([\d.]+) MBps", sockperf(turn, "tp", 16384))}
