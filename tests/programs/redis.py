#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""redis: pipelines, a replica, a background save (which forks), redis-benchmark."""
import live


def server(way, port, *more):
    return way.start(["redis-server", "--port", port, "--bind", live.HOST, "--save", "",
                      "--protected-mode", "no", "--repl-diskless-sync-delay", "0",
                      "--enable-debug-command", "local", "--dbfilename", f"{port}.rdb",
                      "--dir", way.dir, *more], port)


def cli(way, port, *words):
    return way.run(["redis-cli", "-h", live.HOST, "-p", port, *words]).decode().strip()


def field(way, port, section, name):
    """A field of `info`. By its whole name: async_loading stands there as well as loading."""
    lines = cli(way, port, "info", section).splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line).get(name)


def replica(way, port):
    other = live.free_port()
    server(way, other, "--replicaof", f"{live.HOST} {port}")
    live.wait_until(lambda: field(way, other, "replication", "master_link_status") == "up",
                    "the replica is in step")
    way.ok(way.client("redis", port) == b"good\n", "pipelines are right beside a replica")
    live.wait_until(lambda: cli(way, other, "dbsize") == cli(way, port, "dbsize"), "same size")
    same = cli(way, port, "debug", "digest")
    live.wait_until(lambda: cli(way, other, "debug", "digest") == same, "same digest")
    way.ok(len(same) == 40 and same.strip("0"), "the replica has the same data")
    way.on_lane(port, "the replica's link is")


def save(way, port):
    digest = cli(way, port, "debug", "digest")
    # not before the child that fed the replica is gone
    live.wait_until(lambda: "started" in cli(way, port, "bgsave"), "a background save begins")
    way.ok(way.client("redis", port) == b"good\n", "pipelines are right during a background save")
    live.wait_until(lambda: field(way, port, "persistence", "rdb_bgsave_in_progress") == "0",
                    "the save has ended")
    way.ok(field(way, port, "persistence", "rdb_last_bgsave_status") == "ok", "it is saved")
    other = live.free_port()
    server(way, other, "--dbfilename", f"{port}.rdb")
    live.wait_until(lambda: field(way, other, "persistence", "loading") == "0", "it is loaded")
    way.ok(cli(way, other, "debug", "digest") == digest, "what was saved is what was there")


def body(way):
    port = live.free_port()
    server(way, port)
    way.ok(cli(way, port, "set", "answer", "42") == "OK", "set")
    way.ok(cli(way, port, "get", "answer") == "42", "get")
    way.ok(way.client("redis", port) == b"good\n", "pipelines are right")
    way.run(["redis-benchmark", "-h", live.HOST, "-p", port, "-n", "20000", "-c", "30", "-P", "8", "-q",
             "-t", "set,get,incr,lpush,lrange_100"])
    way.ok(True, "redis-benchmark runs")
    cli(way, port, "flushall")
    replica(way, port)
    save(way, port)


live.both_ways(body, ["redis-server", "redis-cli", "redis-benchmark"])
