#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""socat: a process a connection, and the connection as another program's standard input and output."""
import live


def body(way):
    data = live.some_bytes(3 << 20)
    for target in ("EXEC:cat", "EXEC:cat,nofork", "SYSTEM:cat"):
        port = live.free_port()
        server = way.start(["socat", f"TCP-LISTEN:{port},bind={live.HOST},reuseaddr,fork", target], port)
        for _ in range(3):
            back = way.run(["socat", "-t10", "-", f"TCP:{live.HOST}:{port}"], data)
            way.ok(back == data, f"{target} gives back what it gets")
        way.ok(way.client("echo", port) == b"good\n", f"{target} serves four at once")
        way.stop(server)


live.both_ways(body, ["socat"])
