# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of the tcp carrier run on either side: actor.py ROLE ADDRESS PORT [ARGUMENT]."""
import array
import asyncio
import hashlib
import os
import select
import selectors
import signal
import socket
import struct
import sys
import time

SOL_SHUNT, SHUNT_INFO = 0x5348, 1
LANES = ("kernel", "shm", "rdma", "tcp")


def lane(sock):
    """Where its bytes go, and why not elsewhere."""
    try:
        info = sock.getsockopt(SOL_SHUNT, SHUNT_INFO, 400)
    except OSError:
        return "plain"
    reason = info[-96:].split(b"\0")[0].decode()
    return LANES[info[4]] + (f" ({reason})" if reason else "")


def listen(address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(100)
    print("listening", flush=True)
    return listener


def pattern(n, seed):
    out = bytearray()
    while len(out) < n:
        out += hashlib.sha256(f"{seed}.{len(out)}".encode()).digest() * 32
    return bytes(out[:n])


def echo_on(conn):
    while True:
        data = conn.recv(1 << 16)
        if not data:
            return
        conn.sendall(data)


def serve_echo(address, port, _):
    """One after the other, each in a child."""
    listener = listen(address, port)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        conn, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            echo_on(conn)
            os._exit(0)
        conn.close()


def serve_poll(address, port, _):
    """The same, waiting by poll() for a listener that blocks."""
    listener = listen(address, port)
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while True:
        if poll.poll():
            conn, _ = listener.accept()
            echo_on(conn)
            conn.close()


def serve_stopping(address, port, pid):
    """With shuntd stopped from before listen() on."""
    os.kill(int(pid), signal.SIGSTOP)
    serve_echo(address, port, "")


def serve_asyncio(address, port, _):
    async def one(reader, writer):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def main():
        server = await asyncio.start_server(one, address, port)
        print("listening", flush=True)
        async with server:
            await server.serve_forever()
    asyncio.run(main())


def serve_workers(address, port, count):
    """Several processes accept from one listener."""
    listener = listen(address, port)
    for _ in range(int(count)):
        if os.fork() == 0:
            while True:
                conn, _ = listener.accept()
                conn.sendall(f"{os.getpid()} {lane(conn)}\n".encode())
                conn.close()
    while True:
        signal.pause()


def ask_workers(address, port, count):
    seen = set()
    lanes = set()
    for _ in range(int(count)):
        with socket.create_connection((address, port), timeout=10) as conn:
            line = b""
            while not line.endswith(b"\n"):
                line += conn.recv(100)
            pid, where = line.decode().split(maxsplit=1)
            seen.add(pid)
            lanes.add(where.strip())
    print(len(seen), *sorted(lanes))


def bounce(conn, data):
    """Sends data while it reads the echo, in one thread by poll."""
    conn.setblocking(False)
    got, sent = bytearray(), 0
    poll = select.poll()
    while len(got) < len(data):
        poll.register(conn, select.POLLIN | (select.POLLOUT if sent < len(data) else 0))
        if not poll.poll(60000):
            raise TimeoutError(f"{sent} sent, {len(got)} got")
        try:
            if sent < len(data):
                sent += conn.send(data[sent:sent + (1 << 18)])
        except BlockingIOError:
            pass
        try:
            part = conn.recv(1 << 18)
            if not part:
                break
            got += part
        except BlockingIOError:
            pass
    return bytes(got) == data


def client(address, port, sizes):
    with socket.create_connection((address, port), timeout=10) as conn:
        name, peer = conn.getsockname(), conn.getpeername()
        good = peer[:2] == (address, port) and name[1] > 0
        where = lane(conn)
        for size in sizes.split(","):
            good = bounce(conn, pattern(int(size), size)) and good
        conn.setblocking(True)
        conn.shutdown(socket.SHUT_WR)
        good = conn.recv(1) == b"" and good
        print("good" if good else "bad", where)


def client_steady(address, port, size):
    """Has block after block echoed, with a line for each, until nobody reads those."""
    with socket.create_connection((address, port)) as conn:
        print("connected", lane(conn), flush=True)
        for turn in range(1 << 30):
            try:
                good = bounce(conn, pattern(int(size), turn % 8))
            except OSError as e:
                print("error", e.errno, flush=True)
                return
            print(turn if good else "bad", flush=True)


def client_ways(address, port, _):
    """The same by blocking calls, select, and epoll by level and by edge."""
    def blocking(conn, data):
        conn.sendall(data)
        got = b""
        while len(got) < len(data):
            got += conn.recv(len(data) - len(got))
        return got == data

    def by(selector):
        def way(conn, data):
            conn.setblocking(False)
            got, left = b"", memoryview(data)
            with selector() as sel:
                sel.register(conn, selectors.EVENT_READ | selectors.EVENT_WRITE)
                while len(got) < len(data):
                    for _, events in sel.select(10) or [(None, 0)]:
                        if not events:
                            return False
                        if events & selectors.EVENT_WRITE and left:
                            left = left[conn.send(left):]
                        if events & selectors.EVENT_READ:
                            got += conn.recv(1 << 16)
                    if not left:
                        sel.modify(conn, selectors.EVENT_READ)
            return got == data
        return way

    def edge(conn, data):
        conn.setblocking(False)
        got, left = b"", memoryview(data)
        with select.epoll() as ep:
            ep.register(conn, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)
            while len(got) < len(data):
                if not ep.poll(10):
                    return False
                try:
                    while left:
                        left = left[conn.send(left):]
                except BlockingIOError:
                    pass
                try:
                    while part := conn.recv(1 << 16):
                        got += part
                except BlockingIOError:
                    pass
        return got == data

    ways = {"blocking": blocking, "select": by(selectors.SelectSelector),
            "poll": by(selectors.PollSelector), "epoll": by(selectors.EpollSelector), "edge": edge}
    for name, way in ways.items():
        with socket.create_connection((address, port), timeout=None) as conn:
            print(name, "good" if way(conn, pattern(60000, name)) else "bad", lane(conn))


def client_async_connect(address, port, _):
    """connect() that does not block, registered before it is begun."""
    conn = socket.socket()
    conn.setblocking(False)
    with select.epoll() as ep:
        ep.register(conn, select.EPOLLOUT | select.EPOLLIN)
        error = conn.connect_ex((address, port))
        events = ep.poll(5)
        state = conn.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        print(error == 115, events[0][1] if events else 0, state, lane(conn))


def client_refused(address, port, _):
    """Nobody listens there: what connect says, twice on the same socket."""
    conn = socket.socket()
    print(conn.connect_ex((address, port)), conn.connect_ex((address, port)))


def client_denied6(address, port, _):
    conn = socket.socket(socket.AF_INET6)
    print(conn.connect_ex((address, port)))


def client_fork(address, port, _):
    """The child writes and ends, the parent reads the echo and goes on."""
    conn = socket.create_connection((address, port))
    conn.sendall(b"parent ")
    if os.fork() == 0:
        conn.sendall(b"child ")
        os._exit(0)
    os.wait()
    got = b""
    while len(got) < 13:
        got += conn.recv(100)
    conn.sendall(b"end")
    tail = conn.recv(100)
    print("good" if got == b"parent child " and tail == b"end" else f"bad {got} {tail}", lane(conn))


def client_exec(address, port, _):
    """Another program under Shunt takes the connection over."""
    conn = socket.create_connection((address, port))
    conn.sendall(b"before ")
    conn.recv(7)
    os.set_inheritable(conn.fileno(), True)
    os.execv(sys.executable, [sys.executable, __file__, "on-fd", address, str(port),
                              str(conn.fileno())])


def on_fd(_address, _port, fd):
    conn = socket.socket(fileno=int(fd))
    conn.sendall(b"after")
    print("good" if conn.recv(100) == b"after" else "bad", lane(conn))


def client_pass(address, port, _):
    """A child that was forked before the connection gets it by SCM_RIGHTS."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        _, fds, _, _ = socket.recv_fds(theirs, 1, 1)
        conn = socket.socket(fileno=fds[0])
        conn.sendall(b"passed")
        print("good" if conn.recv(100) == b"passed" else "bad", lane(conn), flush=True)
        os._exit(0)
    conn = socket.create_connection((address, port))
    socket.send_fds(ours, [b"x"], [conn.fileno()])
    conn.close()
    os.waitpid(pid, 0)


def client_hold(address, port, _):
    """Says that it is connected, and sits there."""
    conn = socket.create_connection((address, port))
    conn.sendall(b"hello")
    conn.recv(5)
    print("connected", lane(conn), flush=True)
    try:
        got = conn.recv(1)
        print("end", got, flush=True)
    except OSError as e:
        print("error", e.errno, flush=True)


def client_asked(address, port, _):
    """Holds a connection, and for each line makes another and says how both do."""
    held = socket.create_connection((address, port))
    print("connected", lane(held), flush=True)
    for turn, _ in enumerate(sys.stdin):
        said = []
        with socket.create_connection((address, port)) as conn:
            for sock in (held, conn):
                try:
                    said.append("good" if bounce(sock, pattern(1000, turn)) else "bad")
                except OSError as e:
                    said.append(f"error {e.errno}")
            print(*said, lane(conn), sep=", ", flush=True)


def client_ending(address, port, way):
    """Is connected until a line comes, and ends that then."""
    conn = socket.create_connection((address, port))
    conn.sendall(b"hello")
    conn.recv(5)
    print("connected", lane(conn), flush=True)
    sys.stdin.readline()
    conn.sendall(b"good")
    if way == "child":
        ready, done = os.pipe()
        if os.fork():
            conn.close()
            os.close(done)
            signal.pause()
        os.close(done)
        os.read(ready, 1)
    conn.sendall(b"bye")
    if way == "exit":
        sys.exit()
    if way == "_exit":
        os._exit(0)
    if way == "dup2":
        os.dup2(1, conn.fileno())
    else:
        conn.close()
    signal.pause()


def serve_watch(address, port, _):
    """Echoes 5 bytes, then tells when and how the connection ends."""
    listener = listen(address, port)
    while True:
        conn, _ = listener.accept()
        conn.sendall(conn.recv(5))
        try:
            got = b""
            while data := conn.recv(1000):
                got += data
            print("fin", time.monotonic(), got.decode(), flush=True)
        except ConnectionResetError:
            print("rst", time.monotonic(), flush=True)
        conn.close()


def client_options(address, port, _):
    conn = socket.socket()
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    conn.connect((address, port))
    conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 33)
    state = conn.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)[0]
    print(conn.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
          conn.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY),
          conn.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
          conn.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM,
          state, lane(conn))


def client_reset(address, port, _):
    """SO_LINGER with time 0."""
    conn = socket.create_connection((address, port))
    conn.sendall(b"hello")
    conn.recv(5)
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.close()
    print("closed", time.monotonic(), flush=True)


def client_unread(address, port, _):
    """Closes with bytes unread."""
    conn = socket.create_connection((address, port))
    conn.sendall(b"hello")
    time.sleep(0.2)
    conn.close()


def nothing(*_):
    """Shows that this runs at all."""


def client_timeout(address, port, _):
    conn = socket.create_connection((address, port))
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 200000))
    start = time.monotonic()
    try:
        conn.recv(1)
        print("bad")
    except BlockingIOError:
        print("good" if 0.15 < time.monotonic() - start < 1 else "bad", lane(conn))


def main():
    role, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    globals()[role.replace("-", "_")](address, port, sys.argv[4] if len(sys.argv) > 4 else "")


main()
