#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Rules in force: two python programs under `shunt run`, and what `shunt stat` says of them.

usage: test_rules_run.py                the test
       test_rules_run.py serve PORT...  echoes on these ports of 127.0.0.1 until its stdin ends
       test_rules_run.py talk PORT      2000 turns of 64 bytes, then its own row of shunt stat
"""
import errno
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time

SHUNT = pathlib.Path(os.environ.get("top_builddir", "build")).resolve() / "shunt"
NAMES = ("far", "near", "apart", "late", "path")  # what the connections to each port are about
RULES = """
rules = (
  {{ name = "far"; role = "client"; port = {far}; lanes = [ "rdma" ]; action = "require"; }},
  {{ name = "near"; interface = "lo"; port = {near}; after_bytes = 0; }},
  {{ name = "apart"; port = {apart}; action = "forbid"; }},
  {{ name = "late"; role = "server"; port = {late}; lanes = [ "rdma" ]; action = "require";
    deadline_ms = 200; }},
  {{ name = "other program"; program = "redis-*"; port = {path}; action = "forbid"; }},
  {{ name = "by path"; program = "/*/python3*"; port = {path}; after_bytes = 0; }}
);
"""


def free_ports():
    """A port for each name, that nobody listens on now."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in NAMES]
    ports = {name: one.getsockname()[1] for name, one in zip(NAMES, held)}
    for one in held:
        one.close()
    return ports


def echo(conn):
    with conn:
        try:
            while data := conn.recv(65536):
                conn.sendall(data)
        except OSError:
            pass  # the rule "late" ends it so


def accept_all(listener):
    while True:
        conn, _ = listener.accept()
        threading.Thread(target=echo, args=(conn,), daemon=True).start()


def serve(ports):
    for port in ports:
        listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=accept_all, args=(listener,), daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()


def row_of(pid):
    clean = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    stat = subprocess.run([SHUNT, "stat", "--json"], env=clean, capture_output=True, check=True)
    rows = json.loads(stat.stdout)["connections"]
    return next((row for row in rows if row["pid"] == pid), None)


def exchange(conn, times):
    for _ in range(times):
        conn.sendall(b"x" * 64)
        got = 0
        while got < 64:
            data = conn.recv(64 - got)
            if not data:
                sys.exit("the connection has ended")
            got += len(data)


def talk(port):
    with socket.create_connection(("127.0.0.1", port)) as conn:
        exchange(conn, 2000)
        for _ in range(50):  # a busy machine lets shuntd wait
            row = row_of(os.getpid())
            if not row or row["lane_tx"] != "kernel" or not row["reason"].startswith("waiting"):
                break
            time.sleep(0.1)
            exchange(conn, 20)
        print(json.dumps(row))


class Test:
    def __init__(self, folder):
        self.count = self.failed = 0
        self.conf = folder / "shunt.conf"
        self.ports = free_ports()
        self.conf.write_text(RULES.format(**self.ports))
        self.env = {**os.environ, "SHUNT_SOCKET": str(folder / "shuntd.sock")}
        for name in ("SHUNT_CONFIG", "SHUNT_PROFILE", "SHUNT_LOG", "LD_PRELOAD"):
            self.env.pop(name, None)

    def ok(self, name, passed, found=""):
        self.count += 1
        self.failed += not passed
        print(f"{'' if passed else 'not '}ok {self.count} - {name}")
        if not passed:
            print("#", str(found).replace("\n", "\n# "))

    def run(self, *command, conf=None, **env):
        return subprocess.run(
            [SHUNT, "run", "-c", conf or self.conf, "--", *command],
            env={**self.env, **env}, capture_output=True, text=True, timeout=30,
        )

    def talk(self, name):
        return self.run(sys.executable, __file__, "talk", str(self.ports[name]))

    def decides(self, name, rule, lane):
        done = self.talk(name)
        row = json.loads(done.stdout) if done.returncode == 0 else {}
        found = (row.get("rule"), row.get("lane_tx"), row.get("lane_rx"))
        self.ok(f"rule \"{rule}\": {lane}", found == (rule, lane, lane), f"{found} {done.stderr}")
        return row

    def rules(self):
        self.decides("near", "near", "shm")
        row = self.decides("apart", "apart", "kernel")
        self.ok("the reason is the rule", "forbids" in row.get("reason", ""), row)
        self.decides("path", "by path", "shm")
        done = self.talk("far")
        self.ok("a required lane that is absent: ECONNREFUSED",
                f"[Errno {errno.ECONNREFUSED}]" in done.stderr, done)
        self.ok("its reason is in the log", 'rule "far" requires a lane: rdma' in done.stderr, done)
        start = time.monotonic()
        done = self.talk("late")
        self.ok("on a listener: closed", done.returncode != 0, done)
        self.ok("and soon", time.monotonic() - start < 5, start)

    def broken(self):
        broken = self.conf.with_name("broken.conf")
        broken.write_text("rules = ( { prot = 5; } );\nfoo = 1;\n")
        command = ("sh", "-c", "echo hello; sh -c 'echo again'")
        done = self.run(*command, conf=broken)
        self.ok("a broken file does not stop the program", done.stdout == "hello\nagain\n", done)
        lines = done.stderr.splitlines()
        self.ok("it is said once", len(lines) == 1 and "broken.conf:1: 'prot'" in lines[0], done)
        done = self.run(*command, conf=broken, SHUNT_LOG="quiet")
        self.ok("unless quiet", (done.stdout, done.stderr) == ("hello\nagain\n", ""), done)
        done = self.run(*command, conf=broken.with_name("absent.conf"))
        self.ok("an absent file", done.stdout == "hello\nagain\n" and "absent.conf" in done.stderr,
                done)

    def finish(self):
        print(f"1..{self.count}")
        return 1 if self.failed else 0


def main():
    with tempfile.TemporaryDirectory() as folder:
        test = Test(pathlib.Path(folder))
        ports = [str(port) for port in test.ports.values()]
        with subprocess.Popen(
            [SHUNT, "run", "-c", test.conf, "--", sys.executable, __file__, "serve", *ports],
            env=test.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        ) as server:
            try:
                server.stdout.readline()
                test.rules()
            finally:
                server.stdin.close()
        test.broken()
        return test.finish()


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve([int(port) for port in sys.argv[2:]])
    elif sys.argv[1:2] == ["talk"]:
        talk(int(sys.argv[2]))
    else:
        sys.exit(main())
