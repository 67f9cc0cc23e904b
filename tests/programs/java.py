#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""java: NIO with a selector, blocking sockets in threads, HttpServer and HttpClient."""
import live


def body(way):
    port = live.free_port()
    way.run(["javac", "-d", way.dir, live.HERE / "Echo.java"], seconds=90)
    java = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", way.dir, "Echo"]
    way.start([*java, "server", port], port)
    for _ in range(2):
        way.ok(way.run([*java, "client", port]) == b"good\n", "what is written comes back")
    way.ok(way.run([*java, "http"]) == b"good\n", "HttpServer answers HttpClient")


live.both_ways(body, ["java", "javac"])
