#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""nginx as a daemon with two workers: sendfile, keep-alive or not, many clients, reload under load."""
import threading

import live
from nginx_conf import Nginx, fetch_ok, wrk_ok


def reload_under_load(way, nginx, base):
    load = threading.Thread(target=wrk_ok, args=(way, f"{base}/page"),
                            kwargs={"closing": True})
    old = nginx.workers()
    load.start()
    way.on_lane(nginx.port, "the load is")
    nginx.control("-s", "reload")
    live.wait_until(lambda: nginx.workers() and not nginx.workers() & old,
                    "the workers are new ones", 30)
    load.join()
    way.ok(len(nginx.workers()) == 2, "a reload brings two new workers")
    fetch_ok(way, nginx, f"{base}/big", "big")


def body(way):
    nginx = Nginx(way)
    base = f"http://{live.HOST}:{nginx.port}"
    nginx.start()
    try:
        for name in nginx.digests:
            fetch_ok(way, nginx, f"{base}/{name}", name)
            fetch_ok(way, nginx, f"{base}/once/{name}", name, "--http1.0")
            fetch_ok(way, nginx, f"{base}/copied/{name}", name)
        twice = way.run(["curl", "-sSf", f"{base}/big", f"{base}/small", f"{base}/big"])
        way.ok(len(twice) == (48 << 20) + 100, "one curl gets three files over one connection")
        wrk_ok(way, f"{base}/small")
        wrk_ok(way, f"{base}/once/page", "-H", "Connection: close")
        reload_under_load(way, nginx, base)
    finally:
        nginx.stop()


live.both_ways(body, ["nginx", "curl", "wrk"])
