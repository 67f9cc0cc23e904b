#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""action = "require" and the rule's deadline, for programs that do not block and only wait.

usage: test_require.py                      the test
       test_require.py connect HOW PORT     opens a connection to PORT, waits for it by HOW
       test_require.py accept HOW PORT      takes one on PORT, and does the same
HOW: poll, select, epoll, blocking. Both print what became of the connection.
"""
import errno
import os
import pathlib
import select
import socket
import subprocess
import sys
import tempfile
import time

BUILD = pathlib.Path(os.environ.get("top_builddir", "build")).resolve()
SHUNT = BUILD / "shunt"
HOWS = ("poll", "select", "epoll", "blocking")
LONG_S = 25
RULES = """
rules = (
  {{ name = "lonely"; port = {port}; lanes = [ "shm" ]; action = "require"; deadline_ms = {ms}; }},
  {{ name = "absent"; lanes = [ "rdma" ]; action = "require"; }}
);
"""


def wait_in(how, sock):
    """Waits until there is something to read, or the end."""
    if how == "poll":
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        poll.poll(LONG_S * 1000)
    elif how == "select":
        select.select([sock], [], [], LONG_S)
    elif how == "epoll":
        with select.epoll() as epoll:
            epoll.register(sock, select.EPOLLIN)
            epoll.poll(LONG_S)


def end_of(how, sock):
    wait_in(how, sock)
    err = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if err:
        return errno.errorcode[err]
    try:
        return f"{len(sock.recv(1))} bytes"
    except OSError as e:
        return errno.errorcode[e.errno]


def connect(how, port):
    sock = socket.socket()
    sock.setblocking(how == "blocking")
    err = sock.connect_ex(("127.0.0.1", port))
    if err not in (0, errno.EINPROGRESS):
        return errno.errorcode[err]
    return end_of(how, sock)


def accept(how, port):
    with socket.create_server(("127.0.0.1", port)) as listener:
        print("ready", flush=True)
        sock, _ = listener.accept()
    sock.setblocking(how == "blocking")
    return end_of(how, sock)


class Test:
    def __init__(self, folder):
        self.count = self.failed = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.conf = folder / "shunt.conf"
        self.conf.write_text(RULES.format(port=self.port, ms=300))
        self.env = {**os.environ, "SHUNT_SOCKET": str(folder / "shuntd.sock")}
        for name in ("SHUNT_CONFIG", "SHUNT_PROFILE", "SHUNT_LOG", "LD_PRELOAD"):
            self.env.pop(name, None)

    def ok(self, name, passed, found=""):
        self.count += 1
        self.failed += not passed
        print(f"{'' if passed else 'not '}ok {self.count} - {name}")
        if not passed:
            print("#", str(found).replace("\n", "\n# "))

    def start(self, *words):
        return subprocess.Popen(
            [SHUNT, "run", "-c", self.conf, "--", sys.executable, __file__, *map(str, words)],
            env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )

    def ended(self, name, program, start, outcome, reason):
        out, log = program.communicate(timeout=2 * LONG_S)
        took = time.monotonic() - start
        self.ok(f"{name}: {outcome}", out.split()[-1:] == [outcome], (out, log))
        self.ok(f"{name}: by its deadline, not by the program's", took < LONG_S, took)
        self.ok(f"{name}: the log has rule and reason", f"{reason}: " in log, log)

    def opened(self, how):
        """Our end is not under Shunt and never claims anything."""
        start = time.monotonic()
        program = self.start("connect", how, self.port)
        ours, _ = self.listener.accept()
        self.ended(f"connect, {how}", program, start, "ECONNREFUSED",
                   'rule "lonely" requires a lane')
        ours.close()

    def taken(self, how):
        self.listener.close()
        with self.start("accept", how, self.port) as program:
            program.stdout.readline()
            start = time.monotonic()
            with socket.create_connection(("127.0.0.1", self.port)) as ours:
                self.ended(f"accept, {how}", program, start, "ECONNRESET",
                           'rule "lonely" requires a lane')
                ours.settimeout(LONG_S)
                try:
                    end = ours.recv(1)
                except ConnectionResetError:
                    end = b""
                self.ok(f"accept, {how}: the peer sees the end", end == b"", end)

    def absent(self):
        """What cannot be had at all is said at once, to who does not block, too."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            for how in ("blocking", "poll"):
                start = time.monotonic()
                program = self.start("connect", how, listener.getsockname()[1])
                self.ended(f"no such lane, {how}", program, start, "ECONNREFUSED",
                           'rule "absent" requires a lane')

    def refused(self, folder):
        """shuntd has room for no channel: no leave to stay on TCP, for neither end."""
        strict, place = folder / "strict.conf", folder / "strict.sock"
        strict.write_text("channel_budget = 0;")
        self.conf.write_text(RULES.format(port=self.port, ms=3000))
        daemon = subprocess.Popen([BUILD / "shuntd", "--socket", place],
                                  env={**self.env, "SHUNT_CONFIG": str(strict)})
        while not place.exists():
            time.sleep(0.01)
        self.env["SHUNT_SOCKET"] = str(place)
        server = self.start("accept", "blocking", self.port)
        server.stdout.readline()
        start = time.monotonic()
        client = self.start("connect", "blocking", self.port)
        reason = 'rule "lonely" requires a lane: the user has too many channels'
        out, log = client.communicate(timeout=2 * LONG_S)
        self.ok("shuntd refuses: ECONNREFUSED", out.split()[-1:] == ["ECONNREFUSED"], (out, log))
        self.ok("shuntd refuses: the log says why", reason in log, log)
        self.ended("shuntd refuses, accept", server, start, "ECONNRESET", reason.split(":")[0])
        daemon.terminate()
        daemon.wait()


def main():
    with tempfile.TemporaryDirectory() as folder:
        test = Test(pathlib.Path(folder))
        for how in HOWS:
            test.opened(how)
        test.absent()
        for how in HOWS:
            test.taken(how)
        test.refused(pathlib.Path(folder))
        print(f"1..{test.count}")
        return 1 if test.failed else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["connect"]:
        print(connect(sys.argv[2], int(sys.argv[3])))
    elif sys.argv[1:2] == ["accept"]:
        print(accept(sys.argv[2], int(sys.argv[3])))
    else:
        sys.exit(main())
