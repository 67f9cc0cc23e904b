#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Plays an agent that speaks another version of the protocol (proto/agent.proto), on its usual port."""
import socket
import struct

VERSION, FRESH = b"\x08\x02", b"\x1a\x20" + bytes(32)  # fields 1 and 3 of Greeting
GREETING = VERSION + FRESH

with socket.create_server(("", 7470)) as listener:
    while True:
        link = listener.accept()[0]
        link.sendall(struct.pack("!I", len(GREETING)) + GREETING)
        while link.recv(4096):
            pass
