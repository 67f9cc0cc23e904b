#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Hostile frames, and the kernel's own traffic, on the wire of programs on Shunt's own TCP: their
streams go on with every byte right, and the kernel keeps what is its own.

    tests/wire/hostile.py [SEED]
"""
import json
import os
import random
import socket
import struct
import subprocess
import sys

import rig
from streams import end_all, on_tcp, pair

FRAMES = int(os.environ.get("SHUNT_HOSTILE", 4000))
TCP = 6


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


class Hostile:
    """Frames like those of a connection, each wrong in one way or several. What is wrong nowhere else
    is out of the window: a peer that knew the numbers might well end the connection."""

    def __init__(self, seed, local, remote):
        self.chance = random.Random(seed)
        self.local, self.remote = local, remote  # (address, port): whom it is for, and from

    def number(self):
        return self.chance.getrandbits(32)

    def options(self):
        """Up to 40 bytes: kinds, known and not, with lengths that mislead."""
        out = b""
        while len(out) < 36 and self.chance.random() < 0.8:
            kind = self.chance.choice([0, 1, 2, 3, 4, 5, 8, 19, 28, 29, 30, 34, 253])
            length = self.chance.choice([0, 1, 2, 3, 4, 10, 18, 34, 255])
            out += bytes([kind, length]) + self.chance.randbytes(self.chance.choice([0, 1, 2, 8]))
        out = out[:40]
        return out + b"\0" * (-len(out) % 4)

    def segment(self):
        """A TCP segment, its checksum right or left to chance."""
        chance = self.chance
        options = self.options()
        offset = chance.choice([5 + len(options) // 4] * 4 + [0, 4, 15])
        payload = chance.randbytes(chance.choice([0, 0, 1, 100, 1400]))
        body = struct.pack(">HHIIBBHHH", self.remote[1], self.local[1], self.number(),
                           self.number(), offset << 4,
                           chance.choice([0, 1, 2, 4, 16, 17, 18, 20, 255]),
                           chance.getrandbits(16), 0, chance.getrandbits(16)) + options + payload
        pseudo = (socket.inet_aton(self.remote[0]) + socket.inet_aton(self.local[0]) +
                  struct.pack(">HH", TCP, len(body)))
        if chance.random() < 0.7:
            return body[:16] + struct.pack(">H", checksum(pseudo + body)) + body[18:]
        return body[:16] + chance.randbytes(2) + body[18:]

    def packet(self):
        chance = self.chance
        body = self.segment()
        total = chance.choice([20 + len(body)] * 6 + [0, 19, 20, 21, 65535, chance.getrandbits(16)])
        fragment = chance.choice([0x4000] * 6 + [0x2000, 0x2001, 1, 0x1fff])
        first = chance.choice([0x45] * 8 + [0x44, 0x46, 0x4f, 0x55, 0x65])
        head = struct.pack(">BBHHHBBH4s4s", first, 0, total, chance.getrandbits(16), fragment,
                           chance.choice([64, 64, 1, 0]), TCP, 0,
                           socket.inet_aton(self.remote[0]), socket.inet_aton(self.local[0]))
        if chance.random() < 0.9:
            head = head[:10] + struct.pack(">H", checksum(head)) + head[12:]
        return head + body

    def frame(self, to, by):
        chance = self.chance
        kind = chance.choice([0x0800] * 8 + [0x0806, 0x86dd, 0x8100, 0x0000])
        frame = to + by + struct.pack(">H", kind) + self.packet()
        if chance.random() < 0.2:
            frame = frame[:chance.randrange(14, len(frame))]
        return frame[:1514]


def mac(where, link):
    words = ["ip", *where, "-j", "link", "show", "dev", link]
    said = subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout
    return bytes.fromhex(json.loads(said)[0]["address"].replace(":", ""))


def in_peer(what):
    """Calls what() on the other host, in a child."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            rig.join_peer()
            what()
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0


def attack(seed, connections):
    to, by = mac([], "wire0"), mac(["-n", "peer"], "wire1")

    def send():
        sources = [Hostile(seed + i, *c) for i, c in enumerate(connections)]
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind(("wire1", 0))
            for i in range(FRAMES):
                try:
                    raw.send(sources[i % len(sources)].frame(to, by))
                except OSError:
                    pass  # too many at once
    return in_peer(send)


def tuples(shunt):
    """((address, port) of ours, that of the peer) of each connection, in Shunt's words ADDRESS:PORT."""
    out = []
    for c in shunt.stat()["connections"]:
        ends = [c[side].rsplit(":", 1) for side in ("local", "remote")]
        out.append(tuple((address, int(port)) for address, port in ends))
    return out


def datagrams():
    """Echoes of datagrams that go as fragments, by the kernels."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((rig.HERE, 25300))
        server.settimeout(20)

        def ask():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(20)
                for size in (1, 1400, 5000, 30000):
                    client.sendto(bytes(size), (rig.HERE, 25300))
                    client.recv(65536)
        child = os.fork()
        if child == 0:
            os._exit(not in_peer(ask))
        for _ in range(4):
            data, peer = server.recvfrom(65536)
            server.sendto(data, peer)
        return os.waitpid(child, 0)[1] == 0


def echo_request():
    """ping, to our host."""
    def ask():
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
            raw.settimeout(20)
            head = struct.pack(">BBHHH", 8, 0, 0, 25300, 1)
            raw.sendto(head[:2] + struct.pack(">H", checksum(head)) + head[4:], (rig.HERE, 0))
            while struct.unpack(">BBHHH", raw.recv(2000)[20:28])[:1] != (0,):
                pass
    return in_peer(ask)


def another_port():
    """The kernels' own TCP, beside."""
    with socket.create_server((rig.HERE, 25301)) as server:
        server.settimeout(20)

        def ask():
            with socket.create_connection((rig.HERE, 25301), timeout=20) as conn:
                conn.sendall(bytes(100000))
                conn.shutdown(socket.SHUT_WR)
                assert conn.recv(10) == b"done"
        child = os.fork()
        if child == 0:
            os._exit(not in_peer(ask))
        conn, _ = server.accept()
        got = 0
        while data := conn.recv(1 << 16):
            got += len(data)
        conn.sendall(b"done")
        conn.close()
        return os.waitpid(child, 0)[1] == 0 and got == 100000


def besides(tap):
    tap.ok(echo_request(), "the kernel answers ICMP")
    tap.ok(datagrams(), "fragments of UDP are the kernel's")
    tap.ok(another_port(), "another port is the kernel's")


def main():
    rig.enter()
    tap = rig.Tap()
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else random.randrange(1 << 32)
    tap.note(f"seed {seed}")
    for queue in ("af_packet", "af_xdp"):
        with rig.Shunt(f'tcp = {{ queue = "{queue}"; }};\n' + rig.WIRE) as shunt:
            echoes, streams = pair(shunt)
            on_tcp(tap, shunt, streams)
            aims = tuples(shunt)
            tap.ok(len(aims) == 2 and attack(seed, aims),
                   f"{queue}: {FRAMES} hostile frames are sent to both") or tap.note(aims)
            tap.ok(all(stream.goes_on() for stream in streams), f"{queue}: both streams go on") \
                or tap.note(" and ".join(stream.last for stream in streams))
            besides(tap)
            tap.ok(all(stream.goes_on() for stream in streams), f"{queue}: and still do")
            rig.run("ip", "neighbour", "flush", "dev", "wire0")
            rig.run("ip", "-n", "peer", "neighbour", "flush", "dev", "wire1")
            tap.ok(all(stream.goes_on() for stream in streams),
                   f"{queue}: and when the neighbours are forgotten")
            end_all(echoes, streams)
    tap.end()


main()
