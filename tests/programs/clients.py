#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Clients that check every answer, run by the tests of real programs: clients.py NAME PORT [SHARE]. They say
"good" when all was right, else they raise. SHARE: how many times less there is to do."""
import os
import random
import socket
import sys
import threading

SHARE = int(sys.argv[3]) if len(sys.argv) > 3 else 1


def connect(port):
    host = os.environ.get("SHUNT_TEST_HOST", "127.0.0.1")
    sock = socket.create_connection((host, port), timeout=30)
    return sock, sock.makefile("rb")


def want(got, wanted):
    if got != wanted:
        raise AssertionError(f"got {got[:80]!r}, want {wanted[:80]!r}")


def in_threads(count, work):
    """work(i) in each of count threads; any failure is the program's."""
    failures = []

    def guarded(i):
        try:
            work(i)
        except BaseException as failure:  # told below, by the main thread
            failures.append(failure)

    threads = [threading.Thread(target=guarded, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def redis_command(*words):
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        word = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
    return b"".join(parts)


def redis(port):
    """Pipelines of sets and gets with values of up to 300 KB, on four connections at once."""
    def work(i):
        rng = random.Random(i)
        sock, reader = connect(port)
        for batch in range(max(6 // SHARE, 2)):
            values = {f"key:{i}:{batch}:{n}": rng.randbytes(1 + rng.randrange(2000))
                      for n in range(200 // SHARE)}
            values[f"big:{i}:{batch}"] = rng.randbytes(300000 // SHARE)
            sock.sendall(b"".join(redis_command("SET", k, v) for k, v in values.items()))
            for _ in values:
                want(reader.readline(), b"+OK\r\n")
            sock.sendall(b"".join(redis_command("GET", k) for k in values))
            for value in values.values():
                want(reader.readline(), b"$%d\r\n" % len(value))
                want(reader.read(len(value) + 2), value + b"\r\n")
        sock.close()
    in_threads(4, work)


def memcached(port):
    """Sets, gets, several gets at once, deletes; values of up to 900 KB, on six connections."""
    def store(sock, reader, key, value):
        sock.sendall(b"set %s 7 0 %d\r\n%s\r\n" % (key, len(value), value))
        want(reader.readline(), b"STORED\r\n")

    def fetch(sock, reader, items):
        sock.sendall(b"get " + b" ".join(items) + b"\r\n")
        for key, value in items.items():
            want(reader.readline(), b"VALUE %s 7 %d\r\n" % (key, len(value)))
            want(reader.read(len(value) + 2), value + b"\r\n")
        want(reader.readline(), b"END\r\n")

    def work(i):
        rng = random.Random(i)
        sock, reader = connect(port)
        for batch in range(max(20 // SHARE, 2)):
            items = {b"k-%d-%d" % (i, n): rng.randbytes(1 + rng.randrange(3000)) for n in range(20)}
            items[b"big-%d" % i] = rng.randbytes(rng.randrange(900000 // SHARE))
            for key, value in items.items():
                store(sock, reader, key, value)
            fetch(sock, reader, items)
        sock.sendall(b"delete big-%d\r\nget big-%d\r\n" % (i, i))
        want(reader.readline(), b"DELETED\r\n")
        want(reader.readline(), b"END\r\n")
        sock.close()
    in_threads(6, work)


def echo(port):
    """Random sizes to a server that sends back what it gets, read while written, on four connections."""
    def work(i):
        rng = random.Random(i)
        sock, reader = connect(port)
        data = rng.randbytes(1500000 // SHARE)

        def send():
            at = 0
            while at < len(data):
                size = 1 + rng.randrange(60000)
                sock.sendall(data[at:at + size])
                at += size
            sock.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        want(reader.read(), data)
        sender.join()
        sock.close()
    in_threads(4, work)


def main():
    {"redis": redis, "memcached": memcached, "echo": echo}[sys.argv[1]](int(sys.argv[2]))
    print("good")


if __name__ == "__main__":
    main()
