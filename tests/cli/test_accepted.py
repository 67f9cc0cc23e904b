#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What decides about accepted sockets: the listener's own address and program, and each one's remote
address. Nobody asks before there is one, so clients of one listener may differ."""
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "common"))
from shunted import Shunt, Tap  # noqa: E402

RULES = """
rules = (
  {{ name = "to others"; role = "server"; local = "127.0.0.1:{other}"; action = "forbid"; }},
  {{ name = "stranger"; role = "server"; remote = "127.0.0.3"; action = "forbid"; }},
  {{ name = "friend"; role = "server"; local = "*:{port}"; remote = "127.0.0.2"; lanes = [ "shm" ]; after_bytes = 0; after_ms = 0; }},
  {{ name = "server"; role = "server"; port = {port}; lanes = [ "shm" ]; after_bytes = 0; after_ms = 0; }},
  {{ name = "client"; role = "client"; lanes = [ "shm" ]; after_bytes = 0; after_ms = 0; }}
);
"""

# Two listeners and clients from three addresses in one program: prints the client's port of each
# connection, and keeps all open until stdin ends.
PROGRAM = r"""
import socket, sys
a, b = (socket.create_server(("127.0.0.1", int(port))) for port in sys.argv[1:3])
held = []
def open_one(listener, source):
    c = socket.create_connection(listener.getsockname(), source_address=(source, 0))
    s = listener.accept()[0]
    held.extend((c, s))
    for _ in range(1500):
        c.sendall(b"x"); s.recv(1); s.sendall(b"y"); c.recv(1)
    return c.getsockname()[1]
print(*(open_one(a, f"127.0.0.{i}") for i in (1, 2, 3)), open_one(b, "127.0.0.1"), flush=True)
for line in sys.stdin:
    for c, s in zip(held[::2], held[1::2]):
        c.sendall(b"x"); s.recv(1); s.sendall(b"y"); c.recv(1)
    print("done", flush=True)
"""


def free_ports(n):
    import socket
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def row_of(shunt, client_port):
    """The accepting end's row of `shunt stat`."""
    return next((row for row in shunt.stat()["connections"] if row["remote"].endswith(f":{client_port}")), {})


def settled(shunt, program, client_port, lane):
    """The row, once it is on lane, or after a while."""
    for _ in range(100):
        row = row_of(shunt, client_port)
        if row.get("lane_tx") == row.get("lane_rx") == lane:
            break
        print(file=program.stdin, flush=True)
        program.stdout.readline()
        time.sleep(0.05)
    return row


def main():
    port, other = free_ports(2)
    tap = Tap()
    with Shunt(RULES.format(port=port, other=other)) as shunt:
        command = shunt.command([sys.executable, "-c", PROGRAM, str(port), str(other)])
        with subprocess.Popen(command, env=shunt.env(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              text=True) as program:
            ports = program.stdout.readline().split()
            wanted = (("server", "shm", "the listener's rule, whoever comes"),
                      ("friend", "shm", "a rule for this remote address"),
                      ("stranger", "kernel", "one that forbids it"),
                      ("to others", "kernel", "another listener of the same program"))
            for client_port, (rule, lane, name) in zip(ports, wanted):
                row = settled(shunt, program, client_port, lane)
                if not tap.ok((row.get("rule"), row.get("lane_tx"), row.get("lane_rx")) == (rule, lane, lane), name):
                    tap.note(row)
            program.stdin.close()
    tap.end()


main()
