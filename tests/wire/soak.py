#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Streams both ways, and connections that come and go beside them, on a link that loses frames, for
SHUNT_SOAK_S seconds (2): every byte is right, nothing stalls, and nothing grows."""
import os
import time

import many
import rig
import streams

SECONDS = float(os.environ.get("SHUNT_SOAK_S", "2"))
CONFIG = "tcp = { drop_ppm = 1000; reorder_ppm = 1000; };\n" + rig.WIRE
MIB = 1 << 20
GROWTH = 8 * MIB  # of shuntd's processes together
DESCRIPTORS = 16


class Soak:
    def __init__(self, tap):
        self.tap = tap
        self.end = time.monotonic() + SECONDS
        self.connections = 0

    def churn(self, hosts):
        clients = hosts.clients("churn", 10)
        said = many.run(clients, 1)
        self.connections += said[0]
        return said == [10 * len(clients)]

    def run(self, shunt, flows, hosts):
        """Until the time is over, or something is wrong: the descriptors and the memory of shuntd and
        its keepers after the first round; None where it is wrong."""
        first = None
        while first is None or time.monotonic() < self.end:
            if not all(flow.goes_on() for flow in flows):
                self.tap.note(f"a stream ends or stalls: {[flow.last for flow in flows]}")
                return None
            if not self.churn(hosts):
                self.tap.note("a short connection fails")
                return None
            first = first or (many.held(shunt)[0], resident(shunt))
        return first


def resident(shunt):
    """Bytes of shuntd and its children."""
    return sum(int(rig.status(pid)["RssAnon"].split()[0]) << 10
               for pid in [shunt.daemon.pid, *many.children(shunt.daemon.pid)])


def main():
    rig.enter()
    tap = rig.Tap()
    soak = Soak(tap)
    with rig.Shunt(CONFIG) as shunt:
        hosts = many.Hosts(shunt)
        echoes, flows = streams.pair(shunt)
        seen = soak.run(shunt, flows, hosts)
        tap.ok(seen, "streams go on and short connections end well")
        if seen:
            fds, size = seen
            fds_then, _ = many.settled(shunt, fds + DESCRIPTORS, many.PATIENCE_S)
            size_then = resident(shunt)
            tap.ok(fds_then <= fds + DESCRIPTORS, "no descriptors are left behind") \
                or tap.note(f"{fds}, then {fds_then}")
            tap.ok(size_then <= size + GROWTH, "shuntd's memory does not grow") \
                or tap.note(f"{size >> 20} MiB, then {size_then >> 20}")
        tap.note(f"{sum(flow.count for flow in flows)} blocks of {streams.BLOCK} bytes there and "
                 f"back, and {soak.connections} connections, in {SECONDS:.0f} s")
        streams.end_all(echoes, flows)
        hosts.end()
    tap.end()


if __name__ == "__main__":
    main()
