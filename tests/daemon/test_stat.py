#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""`shunt stat` of a program whose both ends are under Shunt: JSON, and lines that fit a terminal."""
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
import time

TOP = os.environ.get("top_srcdir", ".")
SHUNT = os.path.join(os.environ.get("top_builddir", "build"), "shunt")
PROGRAM = """
import socket, sys
l = socket.create_server(("127.0.0.1", 0))
a = socket.create_connection(l.getsockname())
b, _ = l.accept()
for _ in range(2000):
    a.sendall(b"ping" * 25)
    n = 0
    while n < 100: n += len(b.recv(100))
    b.sendall(b"pong!" * 40)
    n = 0
    while n < 200: n += len(a.recv(200))
print("done", flush=True)
sys.stdin.read()
"""
tests = 0
failures = 0


def check(name, good, *notes):
    global tests, failures
    tests += 1
    failures += not good
    print(("ok" if good else "not ok"), tests, "-", name)
    for note in notes if not good else ():
        print("#", note)


def run(*args, **more):
    return subprocess.run([SHUNT, *args], capture_output=True, text=True, timeout=30, **more)


def man_names():
    """The names that shunt(1) explains: of a connection, of shuntd."""
    with open(os.path.join(TOP, "docs/man/shunt.1")) as page:
        text = page.read().split(".SH COUNTERS")[1].split(".SH EXIT STATUS")[0]
    connection, shuntd = text.split("\nOf shuntd", 1)
    return [set(re.findall(r"^\.B ([a-z_]+)$\n[A-Z]", part, re.M)) for part in (connection, shuntd)]


def on_terminal(columns):
    """What stat writes to a terminal of that width."""
    pid, fd = pty.fork()
    if pid == 0:
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        os.execv(SHUNT, [SHUNT, "stat"])
    text = b""
    try:
        while data := os.read(fd, 4096):
            text += data
    except OSError:
        pass
    os.waitpid(pid, 0)
    os.close(fd)
    return text.decode().splitlines()


def check_connections(told):
    rows = told["connections"]
    check("both ends are there", [r["role"] for r in sorted(rows, key=lambda r: r["role"])] == ["client", "server"], rows)
    if len(rows) != 2:
        return
    client, server = sorted(rows, key=lambda r: r["role"])
    check("they are each other's ends", client["local"] == server["remote"] and client["remote"] == server["local"])
    check("of the same process", client["pid"] == server["pid"])
    check("every byte is counted once", sum(client["bytes_tx"].values()) == 200000 and sum(server["bytes_tx"].values()) == 400000, rows)
    check("what one sent the other got", client["bytes_tx"] == server["bytes_rx"] and server["bytes_tx"] == client["bytes_rx"], rows)
    check("the lane is shared memory", {r[k] for r in rows for k in ("lane_tx", "lane_rx")} == {"shm"}, rows)
    connection, shuntd = man_names()
    check("shunt(1) explains every name of a connection, and no other", set(client) == connection, set(client) ^ connection)
    check("and of shuntd", set(told["shuntd"]) == shuntd, set(told["shuntd"]) ^ shuntd)
    check("shuntd counts the channel", told["shuntd"]["channels"] == 1 and told["shuntd"]["matches_total"] == 1)


def check_configured_socket(work):
    conf = work + "/shunt.conf"
    with open(conf, "w") as file:
        file.write(f'daemon_socket = "{os.environ["SHUNT_SOCKET"]}";')
    env = {k: v for k, v in os.environ.items() if k != "SHUNT_SOCKET"} | {"SHUNT_CONFIG": conf}
    told = json.loads(run("stat", "--json", env=env).stdout or "{}")
    check("stat finds shuntd by daemon_socket, too", len(told.get("connections", [])) == 2, told)


def check_text():
    text = run("stat").stdout
    check("for people, too", "shm" in text and "PROGRAM" in text and "shuntd: " in text, text)
    for columns in (40, 80, 200):
        lines = on_terminal(columns)
        check(f"{columns} columns are not exceeded", len(lines) > 4 and max(map(len, lines)) <= columns, *lines)


def check_log(log, rows):
    for row in rows:
        line = f"fd {row['fd']}, {row['local']} to {row['remote']}: out by shm, in by shm"
        check(f"-v tells that the {row['role']} has moved", line in log, *log.splitlines())


def check_watch():
    with subprocess.Popen([SHUNT, "stat", "--json", "--watch"], stdout=subprocess.PIPE, text=True) as watch:
        lines = [json.loads(watch.stdout.readline()) for _ in range(2)]
        watch.kill()
    check("watching gives an object a line", all(len(o["connections"]) == 2 for o in lines))


# Becomes another program, which goes on with both ends.
EXEC = """
import os, socket, sys
if len(sys.argv) == 1:
    l = socket.create_server(("127.0.0.1", 0))
    a = socket.create_connection(l.getsockname())
    b, _ = l.accept()
else:
    a, b = (socket.socket(fileno=int(fd)) for fd in sys.argv[1:])
for _ in range(2000):
    a.sendall(b"ping"); b.recv(4); b.sendall(b"pong"); a.recv(4)
if len(sys.argv) == 1:
    for s in a, b: s.set_inheritable(True)
    os.execv(sys.executable, ["the-second", "-c", os.environ["EXEC"], str(a.fileno()), str(b.fileno())])
print("done", flush=True)
sys.stdin.read()
"""


def check_exec():
    program = subprocess.Popen([SHUNT, "run", sys.executable, "-c", EXEC], env={**os.environ, "EXEC": EXEC},
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    program.stdout.readline()
    names = [c["program"] for c in json.loads(run("stat", "--json").stdout)["connections"] if c["pid"] == program.pid]
    check("after exec a connection is the new program's", names == ["the-second"] * 2, names)
    program.communicate()


def main():
    with tempfile.TemporaryDirectory() as work:
        os.environ["SHUNT_SOCKET"] = work + "/shuntd.sock"
        os.environ.pop("SHUNT_CONFIG", None)
        absent = run("stat")
        check("without shuntd it says so", absent.returncode == 1 and "no shuntd is running" in absent.stderr)
        program = subprocess.Popen(
            [SHUNT, "run", "-v", sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        check("the program runs", program.stdout.readline() == "done\n")
        told = json.loads(run("stat", "--json").stdout)
        check_connections(told)
        check_configured_socket(work)
        check_text()
        check_watch()
        check_exec()
        check_log(program.communicate()[1], told["connections"])
        end = time.monotonic() + 12
        while os.path.exists(os.environ["SHUNT_SOCKET"]) and time.monotonic() < end:
            time.sleep(0.1)
        check("shuntd is gone when it is over", not os.path.exists(os.environ["SHUNT_SOCKET"]))
    print(f"1..{tests}")
    return failures > 0


sys.exit(main())
