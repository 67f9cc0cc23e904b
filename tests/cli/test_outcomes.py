#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What a rule's outcome keys do to connections: after_bytes, after_ms, ring_bytes, spin_us, deadline_ms.

usage: test_outcomes.py                   the test
       test_outcomes.py talk PORT TURNS   TURNS of 64 bytes with PORT, then what became of it
Each pair of rules differs in one key, and the two connections must differ in what that key says.
"""
import json
import os
import pathlib
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time

SHUNT = pathlib.Path(os.environ.get("top_builddir", "build")).resolve() / "shunt"
PATIENCE_S = 20
RULES = {
    "few bytes": 'lanes = [ "shm" ]; after_bytes = 1024;',
    "many bytes": 'lanes = [ "shm" ]; after_bytes = 100000000;',
    "soon": 'lanes = [ "shm" ]; after_bytes = 0; after_ms = 1;',
    "late": 'lanes = [ "shm" ]; after_bytes = 0; after_ms = 60000;',
    "small rings": 'lanes = [ "shm" ]; after_bytes = 0; ring_bytes = 65536;',
    "large rings": 'lanes = [ "shm" ]; after_bytes = 0; ring_bytes = 1048576;',
    "spins": 'lanes = [ "shm" ]; after_bytes = 0; spin_us = 1000000;',
    "sleeps": 'lanes = [ "shm" ]; after_bytes = 0; spin_us = 0;',
    "patient": 'role = "client"; lanes = [ "shm" ]; action = "require"; deadline_ms = 60000;',
    "impatient": 'role = "client"; lanes = [ "shm" ]; action = "require"; deadline_ms = 200;',
}


def echo(conn):
    with conn:
        while data := conn.recv(65536):
            conn.sendall(data)


def serve(ports):
    def accept_all(listener):
        while True:
            conn, _ = listener.accept()
            threading.Thread(target=echo, args=(conn,), daemon=True).start()

    for port in ports:
        listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=accept_all, args=(listener,), daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()


def exchange(conn, turns):
    for _ in range(turns):
        conn.sendall(b"x" * 64)
        conn.recv(64, socket.MSG_WAITALL)


def row_of(pid):
    clean = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    stat = subprocess.run([SHUNT, "stat", "--json"], env=clean, capture_output=True, check=True)
    rows = json.loads(stat.stdout)["connections"]
    return next((row for row in rows if row["pid"] == pid), None)


def mapped_bytes(name):
    with open("/proc/self/maps", encoding="ascii") as maps:
        ranges = [line.split()[0].split("-") for line in maps if f"memfd:{name}" in line]
    return sum(int(end, 16) - int(start, 16) for start, end in ranges)


def talk(port, turns):
    """Waits for the lane only where one was asked for: shuntd may be slow on a busy machine."""
    with socket.create_connection(("127.0.0.1", port)) as conn:
        exchange(conn, turns)
        row = row_of(os.getpid())
        end = time.monotonic() + PATIENCE_S
        while row and row["reason"].startswith("waiting") and time.monotonic() < end:
            time.sleep(0.1)
            exchange(conn, 20)
            row = row_of(os.getpid())
        exchange(conn, turns)
        row = row_of(os.getpid())
        row["mapped"] = mapped_bytes("shunt-channel")
        print(json.dumps(row))


def hold(port, wait_s):
    """Waits for a connection whose peer is not under Shunt."""
    with socket.socket() as conn:
        conn.setblocking(False)
        conn.connect_ex(("127.0.0.1", port))
        ended = bool(select.select([conn], [], [], wait_s)[0])
        print(json.dumps({"ended": ended}))


class Test:
    def __init__(self, folder):
        self.count = self.failed = 0
        held = [socket.create_server(("127.0.0.1", 0)) for _ in RULES]
        self.ports = {name: one.getsockname()[1] for name, one in zip(RULES, held)}
        for one in held:
            one.close()
        self.conf = folder / "shunt.conf"
        rules = ",\n".join(f'{{ name = "{name}"; port = {self.ports[name]}; {keys} }}'
                           for name, keys in RULES.items())
        self.conf.write_text(f"rules = ( {rules} );\n")
        self.env = {**os.environ, "SHUNT_SOCKET": str(folder / "shuntd.sock")}
        for name in ("SHUNT_CONFIG", "SHUNT_PROFILE", "SHUNT_LOG", "LD_PRELOAD"):
            self.env.pop(name, None)

    def ok(self, name, passed, found="", skip=None):
        self.count += 1
        self.failed += not passed
        print(f"{'' if passed else 'not '}ok {self.count} - {name}" + (f" # SKIP {skip}" if skip else ""))
        if not passed:
            print("#", str(found).replace("\n", "\n# "))

    def command(self, *words):
        return [SHUNT, "run", "-c", self.conf, "--", sys.executable, __file__, *map(str, words)]

    def run(self, *words):
        done = subprocess.run(self.command(*words), env=self.env, capture_output=True, text=True,
                              timeout=120)
        if done.returncode:
            self.ok(f"{words} runs", False, done)
            return {}
        return json.loads(done.stdout)

    def talk(self, name, turns=500):
        return self.run("talk", self.ports[name], turns)

    def lane(self, name, lane):
        row = self.talk(name)
        self.ok(f"{name}: {lane}", (row.get("rule"), row.get("lane_tx")) == (name, lane), row)
        return row

    def lanes(self):
        self.lane("few bytes", "shm")
        self.lane("many bytes", "kernel")
        self.lane("soon", "shm")
        self.lane("late", "kernel")
        small, large = self.lane("small rings", "shm"), self.lane("large rings", "shm")
        # two rings, each mapped twice, and a header
        self.ok("ring_bytes: 64 KiB", 4 * 2**16 < small.get("mapped", 0) < 4 * 2**17, small)
        self.ok("ring_bytes: 1 MiB", 4 * 2**20 < large.get("mapped", 0) < 4 * 2**21, large)
        spins, sleeps = self.lane("spins", "shm"), self.lane("sleeps", "shm")
        one = "one core: nobody spins" if os.cpu_count() < 2 else None
        self.ok("spin_us: spins", one or spins.get("waits_spin", 0) > 0, spins, one)
        self.ok("spin_us = 0: never", sleeps.get("waits_spin") == 0 < sleeps.get("waits_sleep", 0),
                sleeps)

    def deadlines(self):
        """Nobody here is under Shunt, so the lane never comes."""
        for name, wait_s, ended in (("patient", 3, False), ("impatient", PATIENCE_S, True)):
            with socket.create_server(("127.0.0.1", self.ports[name])):
                found = self.run("hold", self.ports[name], wait_s)
            self.ok(f"deadline_ms: {name}", found.get("ended") is ended, found)


def main():
    with tempfile.TemporaryDirectory() as folder:
        test = Test(pathlib.Path(folder))
        ports = [port for name, port in test.ports.items() if not name.endswith("patient")]
        with subprocess.Popen(test.command("serve", *ports), env=test.env, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as server:
            try:
                server.stdout.readline()
                test.lanes()
            finally:
                server.stdin.close()
        test.deadlines()
        print(f"1..{test.count}")
        return 1 if test.failed else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve([int(port) for port in sys.argv[2:]])
    elif sys.argv[1:2] == ["talk"]:
        talk(int(sys.argv[2]), int(sys.argv[3]))
    elif sys.argv[1:2] == ["hold"]:
        hold(int(sys.argv[2]), int(sys.argv[3]))
    else:
        sys.exit(main())
