#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Reads back what the capture wrapper wrote, by the pcapng draft and, where it is here, by capinfos."""
import os
import shutil
import struct
import subprocess
import tempfile
import time
from pathlib import Path

FRAMES = 50
INBOUND, OUTBOUND = 1, 2


def blocks(data):
    """Yields (type, body); both lengths of a block must agree and be multiples of four."""
    while data:
        kind, length = struct.unpack_from("<II", data)
        assert length % 4 == 0 and 12 <= length <= len(data), f"a block of {length} bytes"
        assert struct.unpack_from("<I", data, length - 4)[0] == length, "the lengths differ"
        yield kind, data[8:length - 4]
        data = data[length:]


def options(data):
    """{code: value} up to the end option, which must be there."""
    found = {}
    while True:
        code, length = struct.unpack_from("<HH", data)
        if code == 0:
            assert length == 0 and len(data) == 4, "something follows the end of the options"
            return found
        found[code] = data[4:4 + length]
        data = data[4 + (length + 3) // 4 * 4:]


def section(kind, body):
    assert kind == 0x0A0D0D0A
    magic, major, minor, length = struct.unpack_from("<IHHq", body)
    assert (magic, major, minor, length) == (0x1A2B3C4D, 1, 0, -1)


def interface(kind, body):
    link, _, snap = struct.unpack_from("<HHI", body)
    assert (kind, link, snap) == (1, 1, 0)
    found = options(body[8:])
    assert found[2] == b"sample", found
    assert found[9] == b"\x09", "not nanoseconds"


def packet(kind, body):
    """(direction, nanoseconds, bytes)"""
    assert kind == 6
    number, high, low, captured, length = struct.unpack_from("<IIIII", body)
    assert number == 0 and captured == length
    rest = body[20 + (captured + 3) // 4 * 4:]
    direction = struct.unpack("<I", options(rest)[2])[0]
    return direction, high << 32 | low, body[20:20 + captured]


def expected():
    for i in range(FRAMES):
        frame = bytes([i]) * (14 + i * i * 9000 // (FRAMES * FRAMES))
        yield OUTBOUND, frame
        yield INBOUND, frame


def read_back(path):
    section_block, interface_block, *packets = blocks(path.read_bytes())
    section(*section_block)
    interface(*interface_block)
    read = [packet(*block) for block in packets]
    assert [(direction, frame) for direction, _, frame in read] == list(expected())
    times = [when for _, when, _ in read]
    assert times == sorted(times)
    assert abs(times[-1] / 1e9 - time.time()) < 60


def main():
    print("1..2")
    sample = Path(os.environ["top_builddir"]) / "tests/queue/capture_sample"
    with tempfile.TemporaryDirectory(prefix="shunt-capture-") as folder:
        path = Path(folder) / "sample.pcapng"
        subprocess.run([sample, path], check=True, timeout=60)
        try:
            read_back(path)
            print("ok 1 - every frame is there, with its direction and time")
        except AssertionError as wrong:
            print(f"not ok 1 - every frame is there, with its direction and time\n# {wrong!r}")
        if not shutil.which("capinfos"):
            print("ok 2 - capinfos reads it # SKIP no capinfos here (wireshark-common)")
            return
        said = subprocess.run(["capinfos", "-c", "-T", "-r", path], capture_output=True, text=True)
        good = said.returncode == 0 and said.stdout.split()[-1] == str(2 * FRAMES)
        print(f"{'ok' if good else 'not ok'} 2 - capinfos reads it")


main()
