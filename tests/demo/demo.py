# SPDX-License-Identifier: BSD-2-Clause
"""Redis and nginx, unmodified, on kernel TCP and under Shunt, side by side.

Each program runs first on plain loopback TCP and then under `shunt run`, with the same client, and
while it runs under Shunt `shunt stat` tells where its connections are. Ends by itself.
"""
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/bench"))
import cases  # noqa: E402 (the path above)
import machine  # noqa: E402

BUILD = TOP / "build"
SECONDS = 3
STAT_LINES = 6

# what to show: title, unit, measure(turn)
WORK = (
    ("redis GET, 1 client", "ops_per_s", lambda turn: cases.redis(turn, 1, 1)),
    ("redis GET, 50 clients", "ops_per_s", lambda turn: cases.redis(turn, 50, 1)),
    ("redis GET, 50 clients, 16 in a pipeline", "ops_per_s", lambda turn: cases.redis(turn, 50, 16)),
    ("nginx, 32 kept connections", "requests_per_s", cases.nginx),
    ("nginx, a connection a request", "requests_per_s",
     lambda turn: cases.nginx(turn, "-H", "Connection: close")),
)


def show_connections():
    """The head of `shunt stat`, while the connections live."""
    found = subprocess.run([cases.shunt_program(BUILD), "stat"], capture_output=True, text=True, timeout=10,
                           check=False)
    lines = (found.stdout or found.stderr).splitlines()
    print("    $ shunt stat")
    for line in lines[:STAT_LINES]:
        print(f"    {line}")
    if len(lines) > STAT_LINES:
        print(f"    ... and {len(lines) - STAT_LINES} lines more")
    sys.stdout.flush()


def measure(title, way, work, log):
    print(f"  {'under Shunt' if way == 'balanced' else 'on kernel TCP'} ...", flush=True)
    turn = cases.Round(way, SECONDS, BUILD, log)
    look = threading.Timer(SECONDS / 3, show_connections)
    if way == "balanced":
        look.start()
    try:
        return work(turn)
    finally:
        look.cancel()
        if look.is_alive():
            look.join()
        turn.close()


def cell(value):
    return f"{value:.3f}" if value is not None else "-"


def table(rows):
    print(f"\n{'':42}{'kernel TCP':>30}{'Shunt':>32}")
    print(f"{'':42}" + f"{'a second':>12}{'p50 ms':>9}{'p99 ms':>9}" * 2 + f"{'ratio':>9}")
    for title, unit, kernel, shunt in rows:
        line = f"{title:42}"
        for found in (kernel, shunt):
            line += f"{found[unit]:12,.0f}{cell(found.get('p50_ms')):>9}{cell(found.get('p99_ms')):>9}"
        print(f"{line}{shunt[unit] / kernel[unit]:8.2f}x")


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are ended
    for name in ("LD_PRELOAD", "SHUNT_LOG", "SHUNT_CONFIG"):
        os.environ.pop(name, None)
    rows = []
    with tempfile.NamedTemporaryFile("w", prefix="shunt-demo-", suffix=".log") as log, \
            machine.take_lock(), cases.own_shuntd(BUILD, log):
        for number, (title, unit, work) in enumerate(WORK, 1):
            print(f"\n{number} of {len(WORK)}: {title}", flush=True)
            kernel = measure(title, "lo", work, log)
            shunt = measure(title, "balanced", work, log)
            rows.append((title, unit, kernel, shunt))
    table(rows)
    print("\nThe programs are Debian's, unmodified. Measure more with ./dev bench.")


if __name__ == "__main__":
    try:
        main()
    except (RuntimeError, OSError) as error:
        sys.exit(f"demo: {error}")
