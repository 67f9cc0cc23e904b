#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""memcached with four threads, and a client that checks every value."""
import os

import live


def body(way):
    port = live.free_port()
    user = ["-u", "root"] if os.getuid() == 0 else []
    way.start(["memcached", "-l", live.HOST, "-p", port, "-t", "4", *user], port)
    for _ in range(2):
        way.ok(way.client("memcached", port) == b"good\n", "every value comes back")


live.both_ways(body, ["memcached"])
