#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A connection that carries one request and its reply costs no system call more than without Shunt, in
any profile; one that goes on is moved.

usage: test_short.py                  the test
       test_short.py requests N       N such connections with oneself
       test_short.py turns N          one connection, N requests and replies
       test_short.py slow N           the same, with pauses
"""
import collections
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "common"))
import shunted

CONNECTIONS = 100
# 64 bytes there and back so often: more calls than it takes to be moved, at far too few bytes
GOES_ON = {"latency": 20, "balanced": 60, "quiet": 200}
# one name for calls that do the same
SAME = {"epoll_pwait2": "epoll_wait", "epoll_pwait": "epoll_wait", "sendmsg": "write", "sendto": "write",
        "recvmsg": "read", "recvfrom": "read"}
# what the interpreter and the allocator do now and then
OTHERS = {"brk", "mmap", "munmap", "futex", "madvise", "mremap", "rt_sigaction"}


def exchange(client, server, size=64):
    client.sendall(b"x" * size)
    server.recv(size, socket.MSG_WAITALL)
    server.sendall(b"y" * size)
    client.recv(size, socket.MSG_WAITALL)


def pair(listener):
    client = socket.create_connection(listener.getsockname())
    return client, listener.accept()[0]


def run(what, times):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        if what != "requests":
            client, server = pair(listener)
            for _ in range(times):
                exchange(client, server)
                time.sleep(0.3 if what == "slow" else 0)
            return
        for _ in range(times):
            client, server = pair(listener)
            exchange(client, server)
            server.close()
            client.close()


def calls(prefix, env, times):
    """System calls by name of a process that makes so many connections."""
    with tempfile.NamedTemporaryFile("r") as out:
        subprocess.run([*prefix, "strace", "-f", "-c", "-o", out.name, sys.executable, __file__,
                        "requests", str(times)], env=env, check=True, timeout=60)
        found = collections.Counter()
        for line in out:
            row = re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", line)
            if row and row[2] not in OTHERS | {"total"}:
                found[SAME.get(row[2], row[2])] += int(row[1])
    return found


def each(prefix, env):
    """System calls by name for a connection; the few that do not grow with their number are none."""
    few, many = calls(prefix, env, 1), calls(prefix, env, CONNECTIONS + 1)
    per = {name: round((many[name] - few[name]) / CONNECTIONS, 1) for name in many}
    return {name: n for name, n in per.items() if n >= 0.2}


def main():
    tap = shunted.Tap()
    plain = each([], shunted.plain_env())
    tap.ok(plain.get("accept4") == 1, "strace counts calls")
    for profile, turns in GOES_ON.items():
        with shunted.Shunt(f'profile = "{profile}"; defaults = {{ lanes = [ "shm" ]; }};\n') as shunt:
            found = each(shunt.command([]), shunt.env())
            if not tap.ok(found == plain, f"{profile}: the same calls for one request and its reply"):
                tap.note(f"without {plain}\nunder Shunt {found}")
            before = shunt.channels_made()
            subprocess.run(shunt.command([sys.executable, __file__, "turns", str(turns)]), env=shunt.env(),
                           check=True, timeout=60)
            tap.ok(shunt.channels_made() > before, f"{profile}: a connection of small messages is moved soon")
    with shunted.Shunt('defaults = { lanes = [ "shm" ]; after_bytes = 0; };\n') as shunt:
        before = shunt.channels_made()
        subprocess.run(shunt.command([sys.executable, __file__, "slow", "3"]), env=shunt.env(),
                       check=True, timeout=60)
        tap.ok(shunt.channels_made() > before, "after_bytes = 0: a connection is moved at once")
    tap.end()


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2])) if len(sys.argv) > 2 else main()
