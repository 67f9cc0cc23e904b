#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""postgres, which forks a process a connection, with psql and pgbench over TCP. It will not run as root,
so then it and everything around it are the user postgres's."""
import os
import subprocess
from pathlib import Path

import live

PLACES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
USER = "postgres" if os.getuid() == 0 else None


class Postgres:
    def __init__(self, way):
        self.way = way
        self.port = live.free_port()
        self.data = way.dir / "data"
        self.bin = PLACES[-1]
        way.run([self.bin / "initdb", "-D", self.data, "-A", "trust", "-U", "me", "--no-sync",
                 "--locale", "C", "-E", "UTF8"])
        with (self.data / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {live.HOST}/24 trust\n")
        way.start([self.bin / "postgres", "-D", self.data, "-p", self.port,
                   "-c", f"listen_addresses={live.HOST}", "-c", "unix_socket_directories=",
                   "-c", "fsync=off"], self.port)
        live.wait_until(self.ready, "postgres is ready")

    def to(self):
        return ["-h", live.HOST, "-p", self.port, "-U", "me"]

    def ready(self):
        command = [str(word) for word in [self.bin / "pg_isready", "-q", "-d", "postgres",
                                             *self.to()]]
        return subprocess.run(command).returncode == 0

    def sql(self, text, database="postgres"):
        command = [self.bin / "psql", *self.to(), "-XAtq", "-v", "ON_ERROR_STOP=1", database]
        return self.way.run(command, text.encode(), 120).decode().strip()

    def bench(self, *words):
        return self.way.run([self.bin / "pgbench", *self.to(), *words, "postgres"],
                            seconds=120).decode()


def large_rows(pg):
    """Answers and questions of megabytes, and a copy in and out."""
    pg.way.ok(pg.sql("select md5(string_agg(i::text, ',')) from generate_series(1, 300000) i")
              == live.hashlib.md5(",".join(map(str, range(1, 300001))).encode()).hexdigest(),
              "a sum over a series is right")
    rows = "".join(f"{i}\t{live.digest(str(i).encode())}\n" for i in range(40000))
    pg.sql("create table t (i int, h text)")
    pg.sql(f"copy t from stdin;\n{rows}\\.\n")
    pg.way.ok(pg.sql("copy (select * from t order by i) to stdout") == rows.strip(),
              "40,000 rows copied in come out the same")


def body(way):
    pg = Postgres(way)
    large_rows(pg)
    pg.bench("-i", "-q", "-s", "1")
    said = pg.bench("-c", "8", "-j", "2", "-T", "3", "-n")
    way.ok("number of failed transactions: 0" in said, "pgbench with 8 clients fails nowhere")
    said = pg.bench("-c", "4", "-C", "-t", "20", "-n", "-S")
    way.ok("processed: 80/80" in said, "and with a connection a transaction")
    way.ok(pg.sql("select sum(abalance) = (select sum(delta) from pgbench_history) from "
                  "pgbench_accounts") == "t", "the balances add up")


def may_enter(path):
    """May the user postgres read what is built here?"""
    return subprocess.run(["test", "-x", str(path)], **live.as_user(USER)).returncode == 0


if not PLACES:
    print("1..0 # SKIP no postgres here")
elif not may_enter(live.build_dir() / "shuntd"):
    print(f"1..0 # SKIP the user {USER} may not read {live.build_dir()}")
else:
    live.both_ways(body, [], USER)
