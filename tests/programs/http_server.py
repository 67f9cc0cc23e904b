#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""python's http.server and curl: files, ranges, many at once, uploads."""
import live


def body(way):
    port = live.free_port()
    data = live.some_bytes(16 << 20)
    (way.dir / "file").write_bytes(data)
    way.start(["/usr/bin/python3", "-m", "http.server", "--bind", live.HOST, port], port)
    url = f"http://{live.HOST}:{port}/file"
    way.ok(way.run(["curl", "-sSf", url]) == data, "curl gets the file")
    way.ok(way.run(["curl", "-sSf", "--limit-rate", "20M", url]) == data, "and slowly")
    way.ok(b"File not found" in way.run(["curl", "-sS", url + "-not"]), "404 is 404")
    outs = [f"-ocopy{i}" for i in range(6)]
    way.run(["curl", "-sSf", "-Z", *[word for out in outs for word in (out, url)]])
    copies = [(way.dir / f"copy{i}").read_bytes() == data for i in range(6)]
    way.ok(all(copies), "six at once are right")


live.both_ways(body, ["curl"])
