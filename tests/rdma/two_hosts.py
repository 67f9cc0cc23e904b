#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Two guests: each hears the other, sees the cable cut, and sees the other's power go."""
from pathlib import Path

import guest


def main():
    tap = guest.Tap()
    tap.ok(guest.within(lambda: guest.pings(guest.PEER)), "the hosts hear each other")
    status, text = guest.on_peer("sh", "-c", "echo $VM_HOST $VM_ADDR; exit 3")
    tap.ok(status == 3 and text.strip() == f"b {guest.PEER}", "a command on the other: its output and status")
    server = guest.start("vmctl", "run", "rping", "-s", "-C", "3")
    text = guest.retried(lambda: guest.run("rping", "-c", "-a", guest.PEER, "-C", "3", "-v")) or ""
    tap.ok("rdma-ping-2" in text, "rping from one to the other")
    server.kill()
    server.wait()
    guest.run("vmctl", "link", "off")
    tap.ok(not guest.pings(guest.PEER), "the cable is cut at the other's end")
    tap.ok(Path("/sys/class/net/eth0/carrier").read_text() == "1\n", "which this end cannot see")
    guest.run("vmctl", "link", "on")
    tap.ok(guest.within(lambda: guest.pings(guest.PEER)), "it is plugged again")
    guest.run("vmctl", "link", "off", "a")
    tap.ok(guest.within(lambda: Path("/sys/class/net/eth0/carrier").read_text() == "0\n"),
           "a cut at this end is seen here")
    guest.run("vmctl", "link", "on", "a")
    waiting = guest.start("vmctl", "run", "sleep", "100")
    guest.run("vmctl", "off", "b")
    tap.ok(not guest.pings(guest.PEER), "the other's power is gone")
    tap.ok(guest.within(lambda: waiting.poll() == 125), "and who waits for a command there hears of it")
    tap.end()


main()
