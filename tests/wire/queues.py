#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What shunt.conf says of the queues of lane tcp: which kind, with faults, and into a file."""
import os
import struct
import subprocess
import sys
from pathlib import Path

import rig

ACTOR = [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "actor.py")]
PORTS = iter(range(27100, 27200))


def config(**tcp):
    return "tcp = { " + "".join(f"{key} = {value}; " for key, value in tcp.items()) + "};\n" + rig.WIRE


def echo(shunt, sizes, seconds=60):
    """A client under Shunt against an echo on the peer: what it says."""
    port = next(PORTS)
    with subprocess.Popen([*rig.IN_PEER, *ACTOR, "serve-echo", rig.PEER, str(port)],
                          env=rig.plain_env(), stdout=subprocess.PIPE) as peer:
        peer.stdout.readline()
        words = shunt.command([*ACTOR, "client", rig.PEER, port, sizes])
        done = subprocess.run([str(word) for word in words], env=shunt.env(), text=True,
                              stdout=subprocess.PIPE, timeout=seconds, check=False)
        peer.kill()
    return done.stdout.strip()


def explain(shunt):
    words = [rig.build_dir() / "shunt", "explain", "connect", "--program", "x", "--remote",
             f"{rig.PEER}:80", "-c", shunt.config]
    said = subprocess.run(words, env=shunt.env(), text=True, stdout=subprocess.PIPE, check=False)
    return said.stdout


def choice(tap, queue):
    with rig.Shunt(config(queue=f'"{queue}"')) as shunt:
        said = echo(shunt, "1,1000,1000000")
        tap.ok(said == "good tcp", f"{queue}: bytes come back as sent") or tap.note(said)
        said = explain(shunt)
        want = {"auto": "the queue on wire0 is af_packet: without zero copy",
                "af_xdp": "the queue on wire0 is af_xdp: named by tcp.queue"}[queue]
        tap.ok(want in said, f"{queue}: shunt explain tells which and why") or tap.note(said)


def blocks(data):
    """The types of a pcapng file's blocks; None where it is not whole."""
    types = []
    while data:
        kind, size = struct.unpack_from("<II", data)
        if size < 12 or size > len(data) or struct.unpack_from("<I", data, size - 4)[0] != size:
            return None
        types.append(kind)
        data = data[size:]
    return types


def capture(tap):
    with rig.Shunt(config(capture='"/mnt/capture"')) as shunt:
        said = echo(shunt, "1,1000")
        types = blocks(Path("/mnt/capture.wire0.0.pcapng").read_bytes())
        tap.ok(said == "good tcp", "with a capture") or tap.note(said)
        tap.ok(types and types[:2] == [0x0A0D0D0A, 1] and types.count(6) >= 8,
               "its file is whole, and has frames") or tap.note(types)


def faults(tap):
    for percent, size in (0.1, 3000000), (1, 1000000), (5, 100000):
        ppm = int(percent * 10000)
        for key in ("drop_ppm", "duplicate_ppm", "corrupt_ppm", "reorder_ppm"):
            with rig.Shunt(config(**{key: ppm})) as shunt:
                said = echo(shunt, f"1,{size}")
                tap.ok(said == "good tcp", f"{key} {percent} %: every byte is right") \
                    or tap.note(said)


def main():
    rig.enter()
    tap = rig.Tap()
    for queue in ("auto", "af_xdp"):
        choice(tap, queue)
    capture(tap)
    faults(tap)
    tap.end()


main()
