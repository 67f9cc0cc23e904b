#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""node: an HTTP server and client in JavaScript."""
import live


def body(way):
    port = live.free_port()
    way.start(["node", live.HERE / "echo.js", "server", port], port)
    for _ in range(2):
        way.ok(way.run(["node", live.HERE / "echo.js", "client", port]) == b"good\n",
               "what is posted comes back")


live.both_ways(body, ["node"])
