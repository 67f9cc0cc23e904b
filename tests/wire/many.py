#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Many connections of programs on Shunt's own TCP, both ways, at once and one after the other; and
that nothing of them is left when they are over. SHUNT_LONG=1: 10,000 at once, 100,000 in all.

10,000 are two users', since a keeper needs two descriptors a connection, and a process gets 20,000."""
import os
import selectors
import socket
import subprocess
import sys
import time
from pathlib import Path

import rig
from shunted import as_user

LONG = "SHUNT_LONG" in os.environ
USERS = (0, 65534) if LONG else (0,)
OF_EACH = 5 if LONG else 2  # programs of each user and direction
AT_ONCE = 500 if LONG else 100  # connections of each program
CHURN = 5000 if LONG else 100  # of each program, one after the other
PATIENCE_S = 900 if LONG else 60
MAIN = os.path.abspath(__file__)
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
PORTS = iter(range(24000, 24100))
BYTES = bytes(range(100))
PAGES = 16384  # of each stack, at most, when all is over


# ---- what the programs do: arguments and answers are lines ----

def say(line):
    print(line, flush=True)


def serve(address, port):
    """Echoes; closes first where a message ends with q."""
    listener = socket.create_server((address, port), backlog=1024)
    listener.setblocking(False)
    sel = selectors.DefaultSelector()
    sel.register(listener, selectors.EVENT_READ)
    say("listening")
    while True:
        for key, _ in sel.select():
            if key.fileobj is listener:
                try:
                    sock, _ = listener.accept()
                except BlockingIOError:
                    continue
                sel.register(sock, selectors.EVENT_READ)
                continue
            said = key.fileobj.recv(4096)
            if said and not said.endswith(b"q"):
                key.fileobj.sendall(said)
                continue
            sel.unregister(key.fileobj)
            key.fileobj.close()


def receive(sock, n):
    got = b""
    while len(got) < n:
        part = sock.recv(n - len(got))
        if not part:
            break
        got += part
    return got


def finish(sock):
    """The other side closes first, so that no port of ours rests in TIME-WAIT."""
    sock.sendall(b"q")
    good = sock.recv(1) == b""
    sock.close()
    return good


def hold(address, port, count):
    socks = [socket.create_connection((address, port), timeout=PATIENCE_S) for _ in range(count)]
    say(f"holds {len(socks)}")
    sys.stdin.readline()
    for sock in socks:
        sock.sendall(BYTES)
    say(f"echoed {sum(receive(sock, len(BYTES)) == BYTES for sock in socks)}")
    sys.stdin.readline()
    say(f"ended {sum(finish(sock) for sock in socks)}")


def churn(address, port, count):
    good = 0
    for _ in range(count):
        sock = socket.create_connection((address, port), timeout=PATIENCE_S)
        sock.sendall(BYTES)
        good += receive(sock, len(BYTES)) == BYTES and finish(sock)
    say(f"ended {good}")


ROLES = {"serve": serve, "hold": hold, "churn": churn}


# ---- the test ----

class Program:
    """One that is started on either host, and listens to lines."""

    def __init__(self, prefix, env, uid, *words):
        self.process = subprocess.Popen([*prefix, PYTHON, MAIN, *map(str, words)], env=env, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/",
                                        **as_user(uid))

    def hear(self):
        return self.process.stdout.readline().strip()

    def go_on(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Hosts:
    """Pairs of a client and a server: each user's, in each direction."""

    def __init__(self, shunt):
        self.shunt = shunt
        self.servers = []
        self.ways = []
        for uid in USERS:
            for out in (True, False):
                port = next(PORTS)
                server = self.start(not out, uid, "serve", rig.PEER if out else rig.HERE, port)
                assert server.hear() == "listening"
                self.servers.append(server)
                self.ways.append((out, uid, rig.PEER if out else rig.HERE, port))

    def start(self, ours, uid, *words):
        if ours:
            return Program(self.shunt.command([]), self.shunt.env(), uid, *words)
        return Program(rig.IN_PEER, rig.plain_env(), 0, *words)

    def clients(self, role, count):
        return [self.start(out, uid, role, address, port, count)
                for out, uid, address, port in self.ways for _ in range(OF_EACH)]

    def end(self):
        for server in self.servers:
            server.end()


def children(pid):
    return [int(word) for task in Path(f"/proc/{pid}/task").iterdir()
            for word in (task / "children").read_text().split()]


def held(shunt):
    """What shuntd and its keepers hold: descriptors, and memory of stacks in pages. The servers, which
    live on, keep the memory of their connections' state, shunt-ends."""
    count, pages = 0, 0
    for pid in [shunt.daemon.pid, *children(shunt.daemon.pid)]:
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            try:
                name = os.readlink(fd)
                if pid == shunt.daemon.pid and "shunt-stack" in name:
                    pages += os.stat(fd).st_blocks // 8
                count += "shunt-ends" not in name
            except OSError:
                pass  # closed meanwhile
    return count, pages


def settled(shunt, fds, seconds):
    """What is held when that are no more than fds descriptors, or after so many seconds."""
    end = time.monotonic() + seconds
    now = held(shunt)
    while now[0] > fds and time.monotonic() < end:
        time.sleep(0.2)
        now = held(shunt)
    return now


def run(clients, steps):
    """The sums of what the clients say to each step; all of them are at the same step."""
    sums = []
    for number in range(steps):
        if number:
            for client in clients:
                client.go_on()
        said = [client.hear().split() for client in clients]
        sums.append(sum(int(words[1]) for words in said if len(words) == 2))
    for client in clients:
        client.end()
    return sums


def by_us(shunt):
    """Connections that were Shunt's own TCP's so far."""
    said = shunt.stat()["shuntd"]
    return said["tcp_opened_total"] + said["tcp_accepted_total"]


def at_once(tap, shunt, hosts):
    clients = hosts.clients("hold", AT_ONCE)
    want = len(clients) * AT_ONCE
    start = by_us(shunt)
    sums = run(clients, 3)
    tap.ok(sums == [want] * 3, f"{want} connections at once carry their bytes") or tap.note(sums)
    done = by_us(shunt) - start
    tap.ok(done == want, "all of them on Shunt's own TCP") or tap.note(f"{done} of {want}")


def one_by_one(tap, shunt, hosts):
    clients = hosts.clients("churn", CHURN)
    want = len(clients) * CHURN
    start = by_us(shunt)
    sums = run(clients, 1)
    tap.ok(sums == [want], f"{want} connections, one after the other in each program") \
        or tap.note(sums)
    done = by_us(shunt) - start
    tap.ok(done == want, "all of them on Shunt's own TCP") or tap.note(f"{done} of {want}")


def main():
    rig.enter()
    tap = rig.Tap()
    with rig.Shunt(rig.WIRE) as shunt:
        hosts = Hosts(shunt)
        run(hosts.clients("churn", 1), 1)
        fds, _ = settled(shunt, 0, 3)
        for part in (at_once, one_by_one):
            part(tap, shunt, hosts)
            left = settled(shunt, fds, PATIENCE_S)
            tap.ok(left[0] <= fds, "no descriptor of shuntd or a keeper is left") \
                or tap.note(f"{left[0]}, {fds} at first")
            tap.ok(left[1] < PAGES, "nor much memory of a stack") or tap.note(f"{left[1]} pages")
        hosts.end()
    tap.end()


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in ROLES:
        ROLES[sys.argv[1]](sys.argv[2], *map(int, sys.argv[3:]))
    else:
        main()
