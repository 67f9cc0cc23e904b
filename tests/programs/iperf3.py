#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""iperf3 with four streams, out, in, and both ways at once."""
import json

import live


def body(way):
    port = live.free_port()
    way.start(["iperf3", "-s", "-B", live.HOST, "-p", port], port)
    for words in (["-n", "256M"], ["-n", "256M", "-R"], ["-t", "2", "--bidir"], ["-t", "1", "-Z"]):
        said = json.loads(way.run(["iperf3", "-c", live.HOST, "-p", port, "-P", "4", "-J", *words]))
        if "error" in said:  # iperf3 ends with 0 all the same
            raise RuntimeError(f"iperf3 {' '.join(words)}: {said['error']}")
        end = said["end"]
        sent, got = end["sum_sent"]["bytes"], end["sum_received"]["bytes"]
        # What is under way when the clock ends is sent and not received, and no ratio is right for it.
        least = 0.8 * sent if "-n" in words else 10 << 20
        way.ok(least <= got <= 1.01 * sent,
               f"iperf3 {' '.join(words)}: what is sent arrives")


live.both_ways(body, ["iperf3"])
