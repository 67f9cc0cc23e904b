# SPDX-License-Identifier: BSD-2-Clause
"""An nginx with two workers that serves files which tests can check."""
import os
from pathlib import Path

import live

SIZES = {"small": 100, "page": 20000, "big": 24 << 20}

CONFIG = """
{user}
daemon on;
worker_processes 2;
pid {dir}/nginx.pid;
error_log {dir}/log.nginx warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;
    uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
    server {{
        listen {host}:{port} reuseport;
        root {dir}/www;
        location /once/ {{ alias {dir}/www/; keepalive_timeout 0; }}
        location /copied/ {{ alias {dir}/www/; sendfile off; output_buffers 2 64k; }}
    }}
}}
"""


class Nginx:
    def __init__(self, way):
        self.way = way
        self.port = live.free_port()
        www = way.dir / "www"
        www.mkdir()
        self.digests = {}
        for name, size in SIZES.items():
            data = live.some_bytes(size)
            (www / name).write_bytes(data)
            self.digests[name] = live.digest(data)
        self.conf = way.dir / "nginx.conf"
        user = "user root;" if os.getuid() == 0 else ""
        self.conf.write_text(CONFIG.format(dir=way.dir, host=live.HOST, port=self.port, user=user))

    def control(self, *words):
        self.way.run(["nginx", "-e", self.way.dir / "log.nginx", "-c", self.conf, *words])

    def start(self):
        self.control()
        live.wait_until(lambda: live.listens(self.port), "nginx listens")

    def workers(self):
        pid = int((self.way.dir / "nginx.pid").read_text())
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return {int(child) for child in children.split()}

    def stop(self):
        self.control("-s", "quit")
        live.wait_until(lambda: not live.listens(self.port), "nginx has gone")
        live.wait_until(lambda: not (self.way.dir / "nginx.pid").exists(), "its pid file too")


def fetch_ok(way, nginx, url, name, *more):
    """Gets a file by curl and compares it."""
    data = way.run(["curl", "-sSf", *more, url])
    way.ok(live.digest(data) == nginx.digests[name], f"curl {' '.join(more)} gets {name} right")


def wrk_ok(way, url, *more, closing=False):
    """Loads nginx for two seconds; closing: it may close connections that wait for a request."""
    said = way.run(["wrk", "-t2", "-c24", "-d2s", *more, url]).decode()
    good = "Non-2xx" not in said and "Requests/sec" in said
    good = good and (closing or "Socket errors" not in said)
    if not way.ok(good, f"wrk {' '.join(more)} has no errors"):
        way.tap.note(said)
