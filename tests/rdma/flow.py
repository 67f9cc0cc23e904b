#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""One side of a connection on which both send the same bytes at the same time, in one thread.

usage: flow.py server|client ADDRESS PORT MIB; SIGUSR1: end after the block that is being sent
Prints "sent N received N same|different|ERROR"."""
import random
import select
import signal
import socket
import sys
import time

BLOCK = random.Random(1).randbytes(65536)
TWICE = BLOCK + BLOCK
PAUSE_S = 0.002  # after each block: so that whoever watches has some of the machine, too
told = []
signal.signal(signal.SIGUSR1, lambda *_: told.append(True))


def connected(role, host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if role == "server":
        listener = socket.create_server((host, port), family=family)
        return listener.accept()[0]
    for _ in range(600):
        try:
            return socket.create_connection((host, port))
        except OSError:
            time.sleep(0.05)
    raise TimeoutError("nobody listens")


class Flow:
    def __init__(self, sock, total):
        sock.setblocking(False)
        self.sock, self.total = sock, total
        self.sent = self.got = 0
        self.is_shut = self.is_over = self.is_wrong = False
        self.next = 0.0

    def send(self):
        at = self.sent % len(BLOCK)
        self.sent += self.sock.send(BLOCK[at:])
        if self.sent % len(BLOCK):
            return
        self.next = time.monotonic() + PAUSE_S
        if told or self.sent >= self.total:
            self.sock.shutdown(socket.SHUT_WR)
            self.is_shut = True

    def receive(self):
        data, at = self.sock.recv(len(BLOCK)), self.got % len(BLOCK)
        self.is_over = not data
        self.is_wrong |= data != TWICE[at:at + len(data)]
        self.got += len(data)

    def run(self):
        while not (self.is_shut and self.is_over):
            due = not self.is_shut and time.monotonic() >= self.next
            readable, writable, _ = select.select([] if self.is_over else [self.sock],
                                                  [self.sock] if due else [], [], PAUSE_S)
            if readable:
                self.receive()
            if writable:
                self.send()
        return "different" if self.is_wrong else "same"


def main():
    role, host, port, mib = sys.argv[1:]
    flow = Flow(connected(role, host, int(port)), int(mib) << 20)
    try:
        how = flow.run()
    except OSError as error:
        how = type(error).__name__
    print("sent", flow.sent, "received", flow.got, how, flush=True)
    flow.sock.close()


main()
