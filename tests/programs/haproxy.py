#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""haproxy in front of nginx: two connections in a row, each moved by itself; splicing too."""
import threading

import live
from nginx_conf import Nginx, fetch_ok, wrk_ok

CONFIG = """
global
    maxconn 200
    nbthread 2
defaults
    mode http
    timeout connect 5s
    timeout client 20s
    timeout server 20s
frontend in
    bind {host}:{front}
    default_backend out
backend out
    {option}
    server one {host}:{back}
"""


def proxied(way, nginx, option):
    front = live.free_port()
    conf = way.dir / f"haproxy.{front}"
    conf.write_text(CONFIG.format(host=live.HOST, front=front, back=nginx.port, option=option))
    haproxy = way.start(["haproxy", "-db", "-f", conf], front)
    base = f"http://{live.HOST}:{front}"
    for name in nginx.digests:
        fetch_ok(way, nginx, f"{base}/{name}", name)
    load = threading.Thread(target=wrk_ok, args=(way, f"{base}/page"))
    load.start()
    way.on_lane(front, "what comes to haproxy is")
    way.on_lane(nginx.port, "what goes on to nginx is")
    load.join()
    way.stop(haproxy)


def body(way):
    nginx = Nginx(way)
    nginx.start()
    try:
        proxied(way, nginx, "option http-keep-alive")
        proxied(way, nginx, "option splice-auto")
    finally:
        nginx.stop()


live.both_ways(body, ["haproxy", "nginx", "curl", "wrk"])
