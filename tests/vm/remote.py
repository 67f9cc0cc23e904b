# SPDX-License-Identifier: BSD-2-Clause
"""Runs commands on the other one of two guests, over a link that is not the one under test.

One connection is one command: the caller sends a JSON line {command, cwd, env}; back come frames of a
kind byte, a four-byte length and that many bytes: 1 stdout, 2 stderr, 0 the exit status in decimal.
Each further byte of the caller's is the number of a signal for the command and its children. A command
whose caller is gone is killed."""
import json
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
import threading

PORT = 23000
HEAD = struct.Struct("!BI")
STATUS, STDOUT, STDERR = 0, 1, 2


def _frame(connection, kind, data):
    connection.sendall(HEAD.pack(kind, len(data)) + data)


def _carry(connection, child):
    """Output to the caller until the command has closed it or the caller is gone."""
    watch = selectors.DefaultSelector()
    watch.register(connection, selectors.EVENT_READ)
    watch.register(child.stdout, selectors.EVENT_READ, STDOUT)
    watch.register(child.stderr, selectors.EVENT_READ, STDERR)
    while len(watch.get_map()) > 1:
        for key, _ in watch.select():
            data = os.read(key.fd, 65536)
            if key.data is None:
                if not data:
                    raise ConnectionError("the caller is gone")
                for number in data:
                    os.killpg(child.pid, number)
            elif data:
                _frame(connection, key.data, data)
            else:
                watch.unregister(key.fileobj)


def _serve_one(connection, env):
    words = json.loads(connection.makefile().readline())
    try:
        child = subprocess.Popen(words["command"], cwd=words["cwd"], env={**words["env"], **env},
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 start_new_session=True)
    except OSError as error:
        _frame(connection, STDERR, f"{error}\n".encode())
        _frame(connection, STATUS, b"127")
        return
    with child:
        try:
            _carry(connection, child)
            _frame(connection, STATUS, str(child.wait()).encode())
        except OSError:
            os.killpg(child.pid, signal.SIGKILL)


def _serve_and_close(connection, env):
    with connection:
        _serve_one(connection, env)


def serve(address, env):
    """Serves for ever; env: what this guest's commands find beside the caller's environment."""
    listener = socket.create_server(address)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_serve_and_close, args=(connection, env), daemon=True).start()


def order(address, command, env=None):
    """Has the command begin there, in this environment or the caller's; returns the connection.

    A guest whose power is taken away says no goodbye: asks every second, gives up after ten."""
    connection = socket.create_connection(address, 10)
    connection.settimeout(None)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in ((socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, 10)):
        connection.setsockopt(socket.IPPROTO_TCP, option, value)
    words = {"command": command, "cwd": os.getcwd(), "env": dict(os.environ) if env is None else env}
    connection.sendall(json.dumps(words).encode() + b"\n")
    return connection


def call(address, command):
    """Runs the command there; returns its exit status. Raises OSError where that guest is not, or no more."""
    stream = order(address, command).makefile("rb")
    while True:
        head = stream.read(HEAD.size)
        if len(head) < HEAD.size:
            raise ConnectionError("the other guest is gone")
        kind, length = HEAD.unpack(head)
        data = stream.read(length)
        if kind == STATUS:
            return int(data)
        target = sys.stdout if kind == STDOUT else sys.stderr
        target.buffer.write(data)
        target.buffer.flush()
