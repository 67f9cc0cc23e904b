# SPDX-License-Identifier: BSD-2-Clause
"""Puts the listening sockets of Python's own tests on another host, a network namespace, so that a
connection which a test makes with itself over 127.0.0.1 goes over the wire. What the tests see of
names is then the other host's address, with and without Shunt.

    import there        where PYTHON_THERE is "NAMESPACE'S-FILE ADDRESS"
"""
import ctypes
import os
import socket

CLONE_NEWNET = 0x40000000
FILE, ADDRESS = os.environ["PYTHON_THERE"].split()
LOOPBACK = ("localhost", "127.0.0.1")
libc = ctypes.CDLL(None, use_errno=True)
ports = set()  # bound there
bind, connect, connect_ex = socket.socket.bind, socket.socket.connect, socket.socket.connect_ex
getsockname = socket.socket.getsockname


def enter(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        if libc.setns(fd, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(fd)


def move(sock):
    """The same number is a socket of the other host."""
    here = f"/proc/self/task/{libc.gettid()}/ns/net"
    home = os.open(here, os.O_RDONLY)
    enter(FILE)
    try:
        other = socket.socket(sock.family, sock.type, sock.proto)
    finally:
        libc.setns(home, CLONE_NEWNET)
        os.close(home)
    other.setblocking(os.get_blocking(sock.fileno()))
    reuse = sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
    os.dup2(other.fileno(), sock.fileno(), inheritable=os.get_inheritable(sock.fileno()))
    other.close()


def is_ours(sock, address, hosts):
    return sock.family == socket.AF_INET and sock.type == socket.SOCK_STREAM and \
        isinstance(address, tuple) and len(address) == 2 and address[0] in hosts


def bind_there(sock, address):
    if not is_ours(sock, address, (*LOOPBACK, ADDRESS)):
        return bind(sock, address)
    move(sock)
    bind(sock, (ADDRESS, address[1]))
    ports.add(getsockname(sock)[1])
    return None


def to_there(sock, address):
    if is_ours(sock, address, LOOPBACK) and address[1] in ports:
        return (ADDRESS, address[1])
    return address


socket.socket.bind = bind_there
socket.socket.connect = lambda sock, address: connect(sock, to_there(sock, address))
socket.socket.connect_ex = lambda sock, address: connect_ex(sock, to_there(sock, address))
