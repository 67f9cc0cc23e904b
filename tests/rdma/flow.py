#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""One side of a connection on which both send the same bytes at the same time, in one thread.

usage: flow.py server|client ADDRESS PORT KIB; SIGUSR1: send as fast as can be from now on
Prints "received N same|different|ERROR"."""
import hashlib
import random
import select
import signal
import socket
import sys
import time

BLOCK = random.Random(1).randbytes(65536)
PAUSE_S = 0.02
hurry = []
signal.signal(signal.SIGUSR1, lambda *_: hurry.append(True))


def connected(role, address):
    if role == "server":
        listener = socket.create_server(address)
        return listener.accept()[0]
    for _ in range(300):
        try:
            return socket.create_connection(address)
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("nobody listens")


class Flow:
    def __init__(self, sock, total):
        sock.setblocking(False)
        self.sock, self.total = sock, total
        self.sent = self.got = 0
        self.sum, self.next = hashlib.sha256(), 0.0

    def send(self):
        at = self.sent % len(BLOCK)
        self.sent += self.sock.send(BLOCK[at:at + self.total - self.sent])
        if self.sent % len(BLOCK) == 0 and not hurry:
            self.next = time.monotonic() + PAUSE_S

    def receive(self):
        got = self.sock.recv(1 << 17)
        if not got:
            raise EOFError("ended early")
        self.sum.update(got)
        self.got += len(got)

    def run(self):
        while self.got < self.total or self.sent < self.total:
            due = self.sent < self.total and (hurry or time.monotonic() >= self.next)
            readable, writable, _ = select.select([self.sock], [self.sock] if due else [], [], 0.01)
            if readable:
                self.receive()
            if writable:
                self.send()
        wanted = hashlib.sha256(BLOCK * (self.total // len(BLOCK)))
        return "same" if wanted.digest() == self.sum.digest() else "different"


def main():
    role, host, port, kib = sys.argv[1:]
    flow = Flow(connected(role, (host, int(port))), int(kib) << 10)
    try:
        how = flow.run()
    except (OSError, EOFError) as error:
        how = type(error).__name__
    print("received", flow.got, how, flush=True)
    flow.sock.close()


main()
