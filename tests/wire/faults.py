#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Real programs on Shunt's own TCP over bad links, as shunt.conf makes them: every byte is right.
SHUNT_LONG=1: each fault by itself, at 0.1, 1 and 5 percent; else a few at once."""
import os
import shutil
import subprocess
import sys
import tempfile
import time

import programs
import rig

ACTOR = [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "actor.py")]
LONG = "SHUNT_LONG" in os.environ
CHANCES = ("drop_ppm", "duplicate_ppm", "corrupt_ppm", "reorder_ppm")
SIZES = {0.1: 50000000, 1: 10000000, 5: 3000000}  # a frame carries up to 64 KB
FEW = [("a bad link", 2000000, {"drop_ppm": 10000, "duplicate_ppm": 10000, "corrupt_ppm": 10000,
                                "reorder_ppm": 20000}),
       ("a slow one", 200000, {"delay_us": 5000, "rate_bytes_per_s": 5000000})]
ALL = [(f"{key[:-4]} {percent} %", size, {key: int(percent * 10000)})
       for key in CHANCES for percent, size in SIZES.items()] + \
      [(f"delay {ms} ms", 300000, {"delay_us": ms * 1000}) for ms in (1, 20)] + \
      [(f"{mega} MB/s", 1000000, {"rate_bytes_per_s": mega * 1000000}) for mega in (1, 20)]
NGINX = """daemon off; worker_processes 1; pid {work}/nginx.pid; user root; error_log {work}/err;
events {{ worker_connections 64; }}
http {{ access_log off; sendfile on; server {{ listen {host}:{port}; root {work}; }}
    client_body_temp_path {work}/b; proxy_temp_path {work}/p; fastcgi_temp_path {work}/f;
    uwsgi_temp_path {work}/u; scgi_temp_path {work}/s; }}
"""


def web(run, size):
    """nginx and curl: a file out, and one in."""
    data = os.urandom(size)
    with open(os.path.join(run.work, "data"), "wb") as f:
        f.write(data)
    for ours, host, port in (True, rig.HERE, 28940), (False, rig.PEER, 28941):
        conf = os.path.join(run.work, f"nginx.{port}")
        with open(conf, "w", encoding="ascii") as f:
            f.write(NGINX.format(work=run.work, host=host, port=port))
        run.serve(["nginx", "-c", conf, "-p", run.work], ours)
        url = f"http://{host}:{port}/data"
        run.until(["curl", "-sf", "-r", "0-9", "-o", "/dev/null", url], not ours)
        good = [run.ask(["curl", "-sf", url], not ours)[1] == data for _ in range(2)]
        run.tap.ok(all(good), f"nginx serves and curl gets a file, {'out' if ours else 'in'}")


def iperf3(run, size):
    port = 28942
    run.serve(["iperf3", "-s", "-B", rig.PEER, "-p", port], ours=False)
    run.until(["iperf3", "-c", rig.PEER, "-p", port, "-n", 1000])
    for more in [], ["-R"]:
        status, said = run.ask(["iperf3", "-c", rig.PEER, "-p", port, "-n", size, *more], ours=True)
        run.tap.ok(status == 0, f"iperf3 {' '.join(more) or 'out'}") or run.tap.note(said)


def checker(run, size):
    """Python: an echo of ours and one of the peer's, every byte compared."""
    for ours, host, port in (True, rig.HERE, 28943), (False, rig.PEER, 28944):
        run.serve([*ACTOR, "serve-echo", host, port], ours)
        run.until([*ACTOR, "client", host, port, "1"], not ours)
        said = run.ask([*ACTOR, "client", host, port, f"1,{size}"], not ours)[1].strip()
        run.tap.ok(said == (b"good plain" if ours else b"good tcp"),
                   f"an echo, {'out' if ours else 'in'}") or run.tap.note(said)


def main():
    rig.enter()
    tap = rig.Tap()
    parts = []
    for part, tools in (web, ("nginx", "curl")), (iperf3, ("iperf3",)), (checker, ()):
        missing = [tool for tool in tools if not shutil.which(tool)]
        if missing:
            tap.skip(part.__name__, f"there is no {missing[0]}")
        else:
            parts.append(part)
    for name, size, keys in ALL if LONG else FEW:
        config = "tcp = { " + "".join(f"{key} = {value}; " for key, value in keys.items()) + "};\n"
        with rig.Shunt(config + rig.WIRE) as shunt:
            for part in parts:
                began = time.monotonic()
                with tempfile.TemporaryDirectory(prefix="shunt-wire.") as work:
                    run = programs.Run(programs.Named(tap, name), shunt, work)
                    try:
                        part(run, size)
                    except (RuntimeError, subprocess.TimeoutExpired) as e:
                        tap.ok(False, f"{name}: {part.__name__}: {e}")
                    finally:
                        run.end()
                tap.note(f"{part.__name__}: {time.monotonic() - began:.1f} s")
    tap.end()


if __name__ == "__main__":
    main()
