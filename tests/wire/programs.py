#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Real servers on Shunt's own TCP, their ordinary clients on the other host, and the reverse."""
import hashlib
import os
import shutil
import subprocess
import tempfile
import time

import rig

SECONDS = 60


class Run:
    def __init__(self, tap, shunt, work):
        self.tap = tap
        self.shunt = shunt
        self.work = work
        self.servers = []

    def serve(self, command, ours=True):
        command = [str(word) for word in command]
        words = self.shunt.command(command) if ours else [*rig.IN_PEER, *command]
        log = open(os.path.join(self.work, f"log.{len(self.servers)}"), "wb")
        self.servers.append(subprocess.Popen(
            [str(word) for word in words], cwd=self.work, stdin=subprocess.DEVNULL, stdout=log,
            stderr=log, env=self.shunt.env() if ours else rig.plain_env(),
            start_new_session=True))

    def ask(self, command, ours=False):
        command = [str(word) for word in command]
        words = self.shunt.command(command) if ours else [*rig.IN_PEER, *command]
        done = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS,
                              env=self.shunt.env() if ours else rig.plain_env(), check=False)
        return done.returncode, done.stdout

    def until(self, command, ours=False):
        for _ in range(100):
            if self.ask(command, ours)[0] == 0:
                return
            time.sleep(0.1)
        raise RuntimeError(f"{command} never works")

    def on_tcp(self):
        lanes = [c["lane_tx"] for c in self.shunt.stat()["connections"]]
        return bool(lanes) and set(lanes) == {"tcp"}

    def end(self):
        for server in self.servers:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
        self.servers = []


def redis(run):
    run.serve(["redis-server", "--port", 28910, "--bind", rig.HERE, "--protected-mode", "no",
               "--save", "", "--dir", run.work])
    at = ["-h", rig.HERE, "-p", 28910]
    run.until(["redis-cli", *at, "ping"])
    run.tap.ok(run.ask(["redis-cli", *at, "set", "k", "v"])[1].strip() == b"OK", "redis: set")
    for more in (["-c", 1, "-n", 2000], ["-c", 50, "-n", 20000], ["-c", 50, "-P", 16, "-n", 50000]):
        status, said = run.ask(["redis-benchmark", *at, "-q", "-t", "set,get", *more])
        run.tap.ok(status == 0, f"redis-benchmark {' '.join(map(str, more))}") or run.tap.note(said)


def nginx(run):
    data = os.urandom(3_000_000)
    www = os.path.join(run.work, "www")
    os.mkdir(www)
    with open(os.path.join(www, "data"), "wb") as f:
        f.write(data)
    conf = os.path.join(run.work, "nginx.conf")
    with open(conf, "w", encoding="ascii") as f:
        f.write(f"""daemon off; worker_processes 2; pid {run.work}/nginx.pid; user root;
error_log {run.work}/nginx.err; events {{ worker_connections 512; }}
http {{ access_log off; sendfile on; server {{ listen {rig.HERE}:28911; root {www}; }}
        client_body_temp_path {run.work}/b; proxy_temp_path {run.work}/p;
        fastcgi_temp_path {run.work}/f; uwsgi_temp_path {run.work}/u; scgi_temp_path {run.work}/s; }}
""")
    run.serve(["nginx", "-c", conf, "-p", run.work])
    url = f"http://{rig.HERE}:28911/data"
    run.until(["curl", "-sf", "-o", "/dev/null", url])
    good = [hashlib.sha256(run.ask(["curl", "-sf", url])[1]).digest() ==
            hashlib.sha256(data).digest() for _ in range(5)]
    run.tap.ok(all(good), "nginx: curl gets the file, five times")


def curl(run):
    data = os.urandom(2_000_000)
    with open(os.path.join(run.work, "there"), "wb") as f:
        f.write(data)
    run.serve(["python3", "-m", "http.server", "28912", "--bind", rig.PEER], ours=False)
    url = f"http://{rig.PEER}:28912/there"
    run.until(["curl", "-sf", "-o", "/dev/null", url])
    status, said = run.ask(["curl", "-sf", url], ours=True)
    run.tap.ok(status == 0 and said == data, "curl under Shunt gets a file from the peer")


def iperf3(run):
    run.serve(["iperf3", "-s", "-B", rig.PEER, "-p", 28913], ours=False)
    time.sleep(0.5)
    for more in ([], ["-R"], ["-P", 4]):
        status, said = run.ask(["iperf3", "-c", rig.PEER, "-p", 28913, "-t", 1, *more], ours=True)
        run.tap.ok(status == 0, f"iperf3 {' '.join(map(str, more)) or 'out'}") or run.tap.note(said)
        for line in said.decode().splitlines():
            if "receiver" in line:
                run.tap.note(line)


class Named:
    """A Tap whose cases begin with the queue's name."""

    def __init__(self, tap, queue):
        self.tap = tap
        self.queue = queue
        self.note = tap.note

    def ok(self, good, name):
        return self.tap.ok(good, f"{self.queue}: {name}")


def main():
    rig.enter()
    tap = rig.Tap()
    parts = [(part, queue) for queue, all_of in
             (("af_packet", (redis, nginx, curl, iperf3)), ("af_xdp", (redis, curl, iperf3)))
             for part in all_of]
    for part, queue in parts:
        tool = {redis: "redis-server"}.get(part, part.__name__)
        if not shutil.which(tool):
            tap.skip(part.__name__, f"there is no {tool}")
            continue
        config = f'tcp = {{ queue = "{queue}"; }};\n' + rig.WIRE
        with rig.Shunt(config) as shunt, tempfile.TemporaryDirectory(prefix="shunt-wire.") as work:
            run = Run(Named(tap, queue), shunt, work)
            try:
                part(run)
            except (RuntimeError, subprocess.TimeoutExpired) as e:
                tap.ok(False, f"{part.__name__}: {e}")
            finally:
                run.end()
    tap.end()


main()
