#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Holds the table of rooms against the includes. usage: includes.py TOP"""
import re

import tree

# room -> rooms whose headers it may include, besides its own and the public ones
ALLOWED = {
    "include": set(),
    "base": set(),
    "wire": {"base"},
    "tcp": {"wire", "base"},
    "queue": {"base"},
    "net": {"tcp", "queue", "wire", "base"},
    "chan": {"base"},
    "lane": {"chan", "net", "base"},
    "policy": {"base"},
    "cm": {"policy", "lane", "chan", "base", "proto"},
    "sock": {"cm", "chan", "base"},
    "msg": {"cm", "chan", "base"},
    "daemon": {"cm", "net", "policy", "base", "proto"},
    "cli": {"cm", "daemon", "policy", "base"},
    "shim": {"sock", "base"},
}
# the lanes do not know one another, and only one of them knows the stack
LANES = {"shm", "rdma", "tcp", "kernel"}
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"')


def room_of(path):
    return path.parts[1] if path.parts[0] == "src" else path.parts[0]


def lane_of(parts):
    """('shm_ring.c',) and ('shm', 'ring.h') are both of the lane shm."""
    return re.split(r"[._]", parts[0])[0]


def mistake(path, target):
    """What is wrong with `path` including `target`, or None."""
    room = room_of(path)
    if target == "config.h":
        return None
    if target.endswith(".pb-c.h"):
        other = "proto"
    elif "/" not in target:
        return 'write the include from src: "ROOM/FILE.h"'
    else:
        other = target.split("/")[0]
    if other == "shunt":
        return None
    if other != room and other not in ALLOWED.get(room, set()):
        return f"the room {room} may not include {other}"
    if room == "lane":
        own = lane_of(path.parts[2:])
        if other == "net" and own != "tcp":
            return "only the tcp lane may include net"
        if other == "lane":
            sibling = lane_of(target.split("/")[1:])
            if own in LANES and sibling in LANES and own != sibling:
                return f"the lane {own} may not include the lane {sibling}"
    return None


def main():
    top = tree.top_from_argv()
    mistakes = []
    for path in tree.files(top, ".c", ".h", under=("src", "shim")):
        for number, line in enumerate((top / path).read_text().splitlines(), 1):
            found = INCLUDE.match(line)
            wrong = found and mistake(path, found[1])
            if wrong:
                mistakes.append(f"{path}:{number}: {wrong}")
    tree.finish(mistakes)


main()
