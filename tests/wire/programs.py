#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Real servers on Shunt's own TCP, their ordinary clients on the other host, and the reverse.
SHUNT_LONG=1: postgres, too."""
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import rig

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "programs"))
import sshd as openssh  # noqa: E402

CLIENTS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                       "programs", "clients.py")
SECONDS = 60


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).digest()


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

    def check_lane(self):
        """What programs opened and accepted by the wire is Shunt's own TCP."""
        counts = self.shunt.stat()["shuntd"]
        moved = counts["tcp_opened_total"] + counts["tcp_accepted_total"]
        self.tap.ok(moved > 0, "connections were on lane tcp")

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
    if shutil.which("wrk"):
        status, said = run.ask(["wrk", "-t", 1, "-c", 20, "-d", "1s", url])
        run.tap.ok(status == 0 and b"Socket errors" not in said and b"Non-2xx" not in said,
                   "nginx: wrk meets no error") or run.tap.note(said)


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
    """One server: that it is not busy any more it learns from the last client's FIN."""
    port = 28921
    run.serve(["iperf3", "-s", "-B", rig.PEER, "-p", port], ours=False)
    run.until(["iperf3", "-c", rig.PEER, "-p", port, "-n", 1000])
    for more in [], ["-R"], ["--bidir"], ["-P", 4]:
        status, said = run.ask(["iperf3", "-c", rig.PEER, "-p", port, "-t", 1, *more], ours=True)
        run.tap.ok(status == 0, f"iperf3 {' '.join(map(str, more)) or 'out'}") or run.tap.note(said)
        for line in said.decode().splitlines():
            if "receiver" in line:
                run.tap.note(line)


def memcached(run):
    user = ["-u", "root"] if os.getuid() == 0 else []
    run.serve(["memcached", "-l", rig.HERE, "-p", 28914, "-t", 4, *user])
    client = ["env", f"SHUNT_TEST_HOST={rig.HERE}", sys.executable, CLIENTS, "memcached", 28914, 4]
    run.until(client)
    for _ in range(2):
        run.tap.ok(run.ask(client)[1] == b"good\n", "memcached: every value comes back")


def socat(run):
    data = os.urandom(2_000_000)
    with open(os.path.join(run.work, "data"), "wb") as f:
        f.write(data)
    for port, target in ((28915, "EXEC:cat"), (28916, "EXEC:cat,nofork")):
        run.serve(["socat", f"TCP-LISTEN:{port},bind={rig.HERE},reuseaddr,fork", target])
        client = ["sh", "-c", f"socat -t20 - TCP:{rig.HERE}:{port} <{run.work}/data"]
        run.until(["sh", "-c", f"echo | socat -t20 - TCP:{rig.HERE}:{port}"])
        run.tap.ok(run.ask(client)[1] == data, f"socat: {target} gives back what it gets")


def haproxy(run):
    """Both of its connections are with the peer: one accepted, one opened."""
    data = os.urandom(1_000_000)
    with open(os.path.join(run.work, "there"), "wb") as f:
        f.write(data)
    run.serve(["python3", "-m", "http.server", "28917", "--bind", rig.PEER], ours=False)
    conf = os.path.join(run.work, "haproxy.conf")
    with open(conf, "w", encoding="ascii") as f:
        f.write(f"""defaults
    mode http
    timeout connect 20s
    timeout client 20s
    timeout server 20s
frontend in
    bind {rig.HERE}:28918
    default_backend out
backend out
    server one {rig.PEER}:28917
""")
    run.serve(["haproxy", "-db", "-f", conf])
    url = f"http://{rig.HERE}:28918/there"
    run.until(["curl", "-sf", "-o", "/dev/null", url])
    run.tap.ok(all(run.ask(["curl", "-sf", url])[1] == data for _ in range(3)),
               "haproxy: curl gets the file of a server behind it, three times")


def git(run):
    """A clone of what the peer serves, and the peer's clone of what we serve."""
    repo = os.path.join(run.work, "repo")
    steps = f"""git init -q {repo} && cd {repo} && head -c 3000000 /dev/urandom >data && git add data &&
        git -c user.name=x -c user.email=x@x commit -qm x"""
    subprocess.run(["sh", "-ec", steps], check=True, stdout=subprocess.DEVNULL)
    daemon = ["git", "daemon", "--export-all", "--reuseaddr", f"--base-path={run.work}"]
    for ours, host, port in ((False, rig.PEER, 28919), (True, rig.HERE, 28920)):
        run.serve([*daemon, f"--listen={host}", f"--port={port}", run.work], ours)
        run.until(["git", "ls-remote", f"git://{host}:{port}/repo"], not ours)
        copy = os.path.join(run.work, f"copy.{port}")
        status, said = run.ask(["git", "clone", "-q", f"git://{host}:{port}/repo", copy], not ours)
        good = status == 0 and digest(f"{copy}/data") == digest(f"{repo}/data")
        run.tap.ok(good, f"git: a clone, {'served' if ours else 'fetched'} under Shunt") \
            or run.tap.note(said)


def sshd(run):
    data = os.urandom(2_000_000)
    with open(os.path.join(run.work, "data"), "wb") as f:
        f.write(data)
    server, client = openssh.configure(Path(run.work), rig.HERE, 28923)
    run.serve(server)
    run.until([*client, "true"])
    said = run.ask(["sh", "-c", f'"$@" cat <{run.work}/data', "sh", *client])[1]
    run.tap.ok(said == data, "sshd: ssh gives back what it gets")
    names = run.ask([*client, "echo $SSH_CONNECTION"])[1].split()
    run.tap.ok(names[::2] == [rig.PEER.encode(), rig.HERE.encode()], "sshd: it knows both names") \
        or run.tap.note(names)


def postgres(run):
    """It will not run as root, and asks shuntd as its own user."""
    folder = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    data = os.path.join(run.work, "data")
    who = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    subprocess.run(["install", "-d", "-o", "postgres", data], check=True)
    os.chmod(run.work, 0o755)
    subprocess.run([*who, folder / "initdb", "-D", data, "-A", "trust", "-U", "me", "--no-sync",
                    "--locale", "C", "-E", "UTF8"], check=True, stdout=subprocess.DEVNULL, cwd="/")
    with open(os.path.join(data, "pg_hba.conf"), "a", encoding="ascii") as rules:
        rules.write(f"host all all {rig.PEER}/24 trust\n")
    run.serve([*who, folder / "postgres", "-D", data, "-p", 28922, "-c", f"listen_addresses={rig.HERE}",
               "-c", "unix_socket_directories=", "-c", "fsync=off"])
    at = ["-h", rig.HERE, "-p", 28922, "-U", "me"]
    run.until([folder / "pg_isready", "-q", "-d", "postgres", *at])
    question = "select md5(string_agg(i::text, ',')) from generate_series(1, 300000) i"
    answer = hashlib.md5(",".join(map(str, range(1, 300001))).encode()).hexdigest()
    said = run.ask([folder / "psql", *at, "-XAtq", "-c", question, "postgres"])[1].decode()
    run.tap.ok(said.strip() == answer, "postgres: a sum over a series is right") or run.tap.note(said)
    bench = [folder / "pgbench", *at]
    run.tap.ok(run.ask([*bench, "-i", "-q", "postgres"])[0] == 0, "postgres: tables are made")
    for more in ["-c", 8, "-j", 2, "-t", 100], ["-c", 4, "-C", "-t", 20, "-S"]:
        said = run.ask([*bench, "-n", *more, "postgres"])[1]
        run.tap.ok(b"failed transactions: 0" in said, f"pgbench {' '.join(map(str, more))}") \
            or run.tap.note(said)


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
             (("af_packet", (redis, nginx, curl, iperf3, memcached, socat, haproxy, git, sshd,
                              *([postgres] if "SHUNT_LONG" in os.environ else []))),
              ("af_xdp", (redis, curl, iperf3)))
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
                run.check_lane()
            except (RuntimeError, subprocess.TimeoutExpired) as e:
                tap.ok(False, f"{part.__name__}: {e}")
            finally:
                run.end()
    tap.end()


if __name__ == "__main__":
    main()
