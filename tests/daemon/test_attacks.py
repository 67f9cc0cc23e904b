#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Two programs that exchange bytes under Shunt while something goes wrong: memory is short, shuntd
stands still, or one of the three is stopped or killed at some moment. Every byte that was read is checked.
SHUNT_LONG=1: more rounds, and more connections."""
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time

TOP = os.path.abspath(os.environ.get("top_builddir", "build"))
SHUNT, SHUNTD = os.path.join(TOP, "shunt"), os.path.join(TOP, "shuntd")
LONG = os.environ.get("SHUNT_LONG") == "1"
PATIENCE = 120  # seconds until something hangs
SEED = int(os.environ.get("SEED", time.time_ns() % 10**6))
PR_SET_PDEATHSIG = 1

END = r"""
import json, os, random, resource, socket, struct, sys, threading, time
role, total = sys.argv[1], int(sys.argv[2])
BLOCK = random.Random(1).randbytes(1 << 20)
def part(at, n): return (BLOCK + BLOCK)[at % len(BLOCK):][:n]
took = 0.0
if role == "server":
    l = socket.create_server(("127.0.0.1", 0))
    print(l.getsockname()[1], flush=True)
    s, _ = l.accept()
else:
    t = time.monotonic()
    s = socket.create_connection(("127.0.0.1", int(sys.argv[3])))
    took = time.monotonic() - t
print("connected", flush=True)
told = {"read": 0, "bad": False, "end": "eof", "shm": 0, "took": took}
def write():
    at = 0
    try:
        while at < total:
            n = s.send(part(at, min(5000, total - at)))
            if "restless" in sys.argv and at >> 20 != at + n >> 20:
                s.setsockopt(0x5348, 2, 1) # back to TCP, and claimed again
            at += n
        s.shutdown(socket.SHUT_WR)
    except OSError:
        pass
w = threading.Thread(target=write)
w.start()
if "tight" in sys.argv:
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (8 << 20),) * 2)
try:
    while data := s.recv(70000):
        told["bad"] |= data != part(told["read"], len(data))
        told["read"] += len(data)
except OSError as e:
    told["end"] = e.strerror
w.join()
told["shm"] = struct.unpack_from("Q", s.getsockopt(0x5348, 1, 256), 56)[0]
print(json.dumps(told), flush=True)
"""

# Opens them all and uses each until all are switched, or for half a minute.
MANY = r"""
import socket, sys, time
n = int(sys.argv[1])
l = socket.create_server(("127.0.0.1", 0), backlog=4096)
pairs = []
for i in range(n):
    a = socket.create_connection(l.getsockname())
    pairs.append((a, l.accept()[0]))
bad, turn, switched, end = 0, 0, 0, time.monotonic() + 30
while switched < n and time.monotonic() < end:
    turn += 1
    for i, (a, b) in enumerate(pairs):
        for x, y in ((a, b), (b, a)):
            text = b"%d %d" % (turn, i)
            x.sendall(text)
            bad += y.recv(100) != text
    switched = sum(a.getsockopt(0x5348, 1, 256)[4] == 1 for a, _ in pairs)
print(bad, switched, flush=True)
"""

tests = 0
work = tempfile.TemporaryDirectory(prefix="shunt-attacks.")
sock = os.path.join(work.name, "shuntd.sock")
conf = os.path.join(work.name, "shunt.conf")


def check(name, good, *notes):
    global tests
    tests += 1
    print("ok" if good else "not ok", tests, "-", name, flush=True)
    for note in notes if not good else ():
        print("#", note, flush=True)


def skip(name, why):
    global tests
    tests += 1
    print("ok", tests, "-", name, "# SKIP", why, flush=True)


def die_with_us():
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def start(args, before=die_with_us):
    env = dict(os.environ, SHUNT_SOCKET=sock, SHUNT_CONFIG=conf)
    return subprocess.Popen(args, stdout=subprocess.PIPE, text=True, env=env, preexec_fn=before)


def start_daemon():
    daemon = start([SHUNTD, "--socket", sock])
    for _ in range(1500):
        if os.path.exists(sock):
            break
        time.sleep(0.01)
    return daemon


def end_daemon(daemon):
    daemon.kill()
    daemon.wait()
    os.path.exists(sock) and os.unlink(sock)


class Pair:
    """A server and a client that send each other total bytes."""

    def __init__(self, total, *more, under=()):
        run = [*under, SHUNT, "run", "--", sys.executable, "-c", END]
        self.server = start([*run, "server", str(total), *(word for word in more if word != "tight")])
        port = self.server.stdout.readline().strip()
        self.client = start([*run, "client", str(total), port, *more])
        for end in (self.server, self.client):
            end.stdout.readline()

    def told(self, end):
        try:
            return json.loads(end.communicate(timeout=PATIENCE)[0])
        except (subprocess.TimeoutExpired, ValueError) as e:
            end.kill()
            end.wait()
            return {"read": -1, "bad": True, "end": repr(e), "shm": -1, "took": -1}

    def both(self):
        return self.told(self.server), self.told(self.client)


def whole(told, total):
    return not told["bad"] and told["read"] == total and told["end"] == "eof"


def rounds_of_death(victim, rounds, rng):
    """What the survivors of so many killings say, as far as it is wrong."""
    total = 8 << 20
    wrong, switched = [], 0
    for _ in range(rounds):
        daemon = start_daemon()
        pair = Pair(total)
        time.sleep(rng.random() * 0.2)
        dead = {"server": pair.server, "client": pair.client, "shuntd": daemon}[victim]
        dead.kill()
        dead.wait()
        for name, end in (("server", pair.server), ("client", pair.client)):
            if name == victim:
                end.stdout.close()
                continue
            told = pair.told(end)
            switched += told["shm"] > 0
            good = whole(told, total) if victim == "shuntd" else not told["bad"] and told["read"] <= total
            if not good:
                wrong.append((name, told))
        end_daemon(daemon)
    return wrong, switched


def short_of_address_space():
    total = 4 << 20
    # rings of 16 MiB, each mapped twice: the client cannot have them
    pair = Pair(total, "tight")
    server, client = pair.both()
    check("without memory for the rings all goes by TCP", whole(server, total) and whole(client, total) and not client["shm"],
          server, client)


def no_room_for_channels(daemon):
    """As where memory for files is full: the memfd of a channel cannot have its size."""
    total = 1 << 20
    limits = resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    server, client = Pair(total).both()
    check("where shuntd gets no memory for rings all goes by TCP", whole(server, total) and whole(client, total) and not client["shm"]
          and daemon.poll() is None, server, client)
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, limits)
    server, client = Pair(8 << 20).both()
    check("and switches again when it has some", client["shm"] > 0 and whole(client, 8 << 20), server, client)


def full_dev_shm():
    total = 8 << 20
    fill = "mount -t tmpfs -o size=4k full /dev/shm && head -c 4096 /dev/zero >/dev/shm/x && exec \"$@\""
    if subprocess.run(["unshare", "-m", "sh", "-c", fill, "_", "true"], capture_output=True).returncode:
        return skip("with /dev/shm full connections are switched", "no mount namespace to be had")
    server, client = Pair(total, under=["unshare", "-m", "sh", "-c", fill, "_"]).both()
    check("with /dev/shm full connections are switched", client["shm"] > 0 and whole(server, total) and whole(client, total), server, client)


def shuntd_stands_still(daemon):
    total = 4 << 20
    os.kill(daemon.pid, signal.SIGSTOP)
    began = time.monotonic()
    server, client = Pair(total).both()
    took = time.monotonic() - began
    os.kill(daemon.pid, signal.SIGCONT)
    check("programs do without a shuntd that stands still", whole(server, total) and whole(client, total), server, client)
    check("which no connect() waits for", 0 <= client["took"] < 5 and took < PATIENCE, client, took)


def many_connections(n):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    need = min(8 * n + 2000, hard)
    small = os.path.join(work.name, "small.conf")
    with open(small, "w") as f:
        f.write('rules = ( { lanes = [ "shm" ]; after_bytes = 0; after_ms = 0; ring_bytes = 65536; } );\n')
    run = start([SHUNT, "run", "-c", small, "--", sys.executable, "-c", MANY, str(n)],
                lambda: (die_with_us(), resource.setrlimit(resource.RLIMIT_NOFILE, (need, hard))))
    said = run.communicate(timeout=3 * PATIENCE)[0].split()
    check(f"{n} connections opened at once are all switched", said == ["0", str(n)], said)


def no_moment_of_peace(rounds, rng):
    """Ends and shuntd are stopped and go on, shuntd is killed and comes back, while connections move to
    and fro. What is wrong, and how often that was done."""
    total = 12 << 20
    wrong, turns = [], 0
    for _ in range(rounds):
        daemon = start_daemon()
        pair = Pair(total, "restless")
        while pair.server.poll() is None and pair.client.poll() is None:
            victim = rng.choice((pair.server, pair.client, daemon) * 3 + (None,))
            if victim:
                victim.send_signal(signal.SIGSTOP)
                time.sleep(rng.random() * 0.05)
                victim.send_signal(signal.SIGCONT)
            else:
                end_daemon(daemon)
                time.sleep(rng.random() * 0.05)
                daemon = start_daemon()
            time.sleep(rng.random() * 0.05)
            turns += 1
        wrong += [told for told in pair.both() if not whole(told, total)]
        end_daemon(daemon)
    return wrong, turns


def main():
    rng = random.Random(SEED)
    rounds = 30 if LONG else 1
    print("1..11")
    print("# seed", SEED)
    with open(conf, "w") as f:
        f.write('rules = ( { name = "all"; lanes = [ "shm" ]; after_bytes = 0; after_ms = 0; ring_bytes = 16777216; } );\n')
    daemon = start_daemon()
    short_of_address_space()
    no_room_for_channels(daemon)
    full_dev_shm()
    shuntd_stands_still(daemon)
    many_connections(2000 if LONG else 500)
    end_daemon(daemon)
    with open(conf, "w") as f:
        f.write('rules = ( { name = "all"; lanes = [ "shm" ]; after_bytes = 0; after_ms = 0; } );\n')
    for victim in ("server", "client", "shuntd"):
        wrong, switched = rounds_of_death(victim, rounds, rng)
        check(f"{victim} is killed: the others read nothing wrong", not wrong, *wrong, f"seed {SEED}, switched {switched}")
    wrong, turns = no_moment_of_peace(rounds, rng)
    check("all are stopped again and again: every byte comes", not wrong, *wrong, f"seed {SEED}, {turns} times")


main()
