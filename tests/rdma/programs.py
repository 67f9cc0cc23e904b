#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Two hosts: unmodified programs, the server on one and the client on the other, both on lane rdma, with
the right answers. SHUNT_LONG=1 runs all cases, else some.

usage: programs.py [CASE]..."""
import hashlib
import json
import os
import random
import sys
import time
from pathlib import Path

import guest
from hosts import DIR, Pair

LONG = bool(os.environ.get("SHUNT_LONG"))
HERE = Path(__file__).resolve().parent
CLIENTS = HERE.parent / "programs/clients.py"
SHARE = 20  # a part of what clients.py does where nothing is emulated
FILE = random.Random(1).randbytes(8 << 20)
NGINX = """user root; daemon off; worker_processes 2; pid {dir}/nginx.pid; error_log {dir}/nginx.log warn;
events {{ worker_connections 128; }}
http {{ access_log off; sendfile on;
    client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;
    uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
    server {{ listen {address}:{port}; root {dir}; }} }}
"""
PORTS = iter(range(23500, 23600))
CASES = {}


def case(short=False):
    def add(function):
        CASES[function.__name__] = (function, short)
        return function
    return add


def on_lane(host, port):
    return any((one["lane_tx"], one["lane_rx"]) == ("rdma", "rdma") and
               f":{port}" in one["local"] + one["remote"] for one in host.connections(""))


def listens(host, port):
    return bool(host.run("ss", "-ltnH", "sport", "=", f":{port}"))


def attempt(pair, client, port, seen):
    """One run of the client: (whether it ends well, what it says). Adds to seen the hosts on which a
    connection was on the lane."""
    one = pair.a.program(*client)
    end = time.monotonic() + guest.PATIENCE_S
    while one.status is None and time.monotonic() < end:
        seen |= {host for host in pair.hosts if host not in seen and on_lane(host, port)}
        time.sleep(0.1)
    if one.status is None:
        one.kill()
    return one.status == 0, one.text()


def serve(tap, pair, name, server, clients, port):
    """Runs a server and its clients: what to show, a command, what makes its words good. The last one comes
    again until both ends of a connection were seen on the lane."""
    running = pair.b.program(*server)
    seen, failed = set(), 0
    if not tap.ok(guest.within(lambda: listens(pair.b, port)), f"{name}: listens"):
        tap.note(running.text())
    for what, client, good in clients:
        end = time.monotonic() + guest.PATIENCE_S
        is_right, is_last = None, client is clients[-1][1]
        while is_right is None or (is_right and is_last and len(seen) < 2 and time.monotonic() < end):
            ended, said = attempt(pair, client, port, seen)
            is_right = ended and good(said)
        if not tap.ok(is_right, f"{name}: {what}"):
            failed += 1
            tap.note(said[-2000:])
    tap.ok(len(seen) == 2, f"{name}: both ends are on lane rdma")
    if failed or len(seen) < 2:
        tap.note(running.text()[-2000:])
    running.kill()


def checked(name, port):
    """A client of clients.py, which checks every answer."""
    return ["env", f"SHUNT_TEST_HOST={guest.PEER}", "/usr/bin/python3", CLIENTS, name, port, SHARE]


def is_good(said):
    return said.splitlines()[-1] == "good"


def hashed(url):
    """Not so fast that nothing is left for the lane."""
    return ["sh", "-c", f"curl -sSf --limit-rate 4M {url} | sha256sum"]


def is_file(said):
    return hashlib.sha256(FILE).hexdigest() in said


@case(short=True)
def memcached(tap, pair):
    port = next(PORTS)
    serve(tap, pair, "memcached", ["memcached", "-u", "root", "-l", pair.b.address, "-p", port, "-t", "2"],
          [("every value comes back", checked("memcached", port), is_good)], port)


@case()
def redis_values(tap, pair):
    port = next(PORTS)
    serve(tap, pair, "redis", ["redis-server", "--bind", pair.b.address, "--port", port, "--save", "",
                               "--protected-mode", "no", "--logfile", "/dev/null"],
          [("pipelines of sets and gets", checked("redis", port), is_good)], port)


def is_echo(said):
    sent, got, how = guest.flow_result(said)
    return sent == got == 8 << 20 and how == "same"


@case()
def socat(tap, pair):
    port = next(PORTS)
    serve(tap, pair, "socat", ["socat", f"TCP-LISTEN:{port},bind={pair.b.address},reuseaddr,fork", "EXEC:cat"],
          [("gives back what it gets, to four at once", checked("echo", port), is_good),
           ("gives back all of a long one", ["python3", HERE / "flow.py", "client", pair.b.address, port, 8],
            is_echo)], port)


def all_arrived(said):
    end = json.loads(said[said.index("{"):])["end"]
    return 0.8 * end["sum_sent"]["bytes"] <= end["sum_received"]["bytes"] <= 1.01 * end["sum_sent"]["bytes"]


@case()
def iperf3(tap, pair):
    port = next(PORTS)
    client = ["iperf3", "-c", pair.b.address, "-p", port, "-P", "4", "-J", "-n", "16M"]
    serve(tap, pair, "iperf3", ["iperf3", "-s", "-B", pair.b.address, "-p", port],
          [("four streams out", client, all_arrived), ("four streams in", [*client, "-R"], all_arrived)], port)


def is_load(said):
    return "Requests/sec" in said and "Non-2xx" not in said and "Socket errors" not in said


@case(short=True)
def nginx(tap, pair):
    port = next(PORTS)
    url = f"http://{pair.b.address}:{port}/file"
    pair.b.put("nginx.conf", NGINX.format(dir=DIR, address=pair.b.address, port=port))
    serve(tap, pair, "nginx", ["nginx", "-e", f"{DIR}/nginx.log", "-c", f"{DIR}/nginx.conf"],
          [("curl gets the file", hashed(url), is_file),
           ("wrk with eight connections", ["wrk", "-t", "1", "-c", "8", "-d", "2s", "--timeout", "30s",
                                           f"{url}.small"], is_load)], port)


@case()
def http_server(tap, pair):
    port = next(PORTS)
    serve(tap, pair, "python's http.server",
          ["/usr/bin/python3", "-m", "http.server", "--bind", pair.b.address, "--directory", DIR, port],
          [("curl gets the file", hashed(f"http://{pair.b.address}:{port}/file"), is_file)], port)


def postgres_at(pair, port):
    """The command of a postgres whose data is made first; it will not run as root, and may ask shuntd."""
    folder = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    data = "/tmp/shunt-postgres"
    made = pair.b.run("sh", "-c", f"""install -d -o postgres {data} && setpriv --reuid=postgres --regid=postgres \
        --clear-groups {folder}/initdb -D {data} -A trust -U me --no-sync --locale C -E UTF8 >/dev/null &&
        echo host all all {pair.a.address}/24 trust >>{data}/pg_hba.conf && chmod -R a+rwX {DIR} && echo made""", seconds=300)
    return made and made.endswith("made") and [
        "setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", folder / "postgres", "-D", data,
        "-p", port, "-c", f"listen_addresses={pair.b.address}", "-c", "unix_socket_directories=", "-c", "fsync=off"]


@case()
def postgres(tap, pair):
    port = next(PORTS)
    server = postgres_at(pair, port)
    if not tap.ok(server, "postgres: its data is made"):
        return
    to = ["-h", pair.b.address, "-p", port, "-U", "me"]
    question = "select md5(string_agg(i::text, ',')) from generate_series(1, 20000) i"
    answer = hashlib.md5(",".join(map(str, range(1, 20001))).encode()).hexdigest()
    serve(tap, pair, "postgres", server,
          [("a sum over a series is right", ["psql", *to, "-XAtq", "-c", question, "postgres"],
            lambda said: answer in said),
           ("pgbench makes its tables", ["pgbench", *to, "-i", "-q", "-s", "1", "postgres"], lambda said: True),
           ("pgbench with four clients fails nowhere", ["pgbench", *to, "-c", "4", "-T", "3", "-n", "postgres"],
            lambda said: "failed transactions: 0" in said)], port)


def put_files(pair):
    pair.b.run("sh", "-c", f"umask 022; mkdir -p {DIR}; python3 -c '"
               f"import random; open(\"{DIR}/file\", \"wb\").write(random.Random(1).randbytes({len(FILE)}))';"
               f" head -c 1000 {DIR}/file >{DIR}/file.small")


def main():
    tap = guest.Tap()
    with Pair() as pair:
        put_files(pair)
        for name in sys.argv[1:] or [name for name, (_, short) in CASES.items() if short or LONG]:
            began = time.monotonic()
            CASES[name][0](tap, pair)
            tap.note(f"{name}: {time.monotonic() - began:.1f} s")
    tap.end()


main()
