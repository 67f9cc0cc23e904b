#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""One guest: the devices are there, and verbs and rdma_cm work between its two ends."""
from pathlib import Path

import guest


def frames(device):
    return int(Path(f"/sys/class/net/{device}/statistics/tx_packets").read_text())


def served(server, client):
    """What the client says, with the server beside it."""
    process = guest.start(*server)
    text = guest.retried(lambda: guest.run(*client))
    process.kill()
    process.wait()
    return text or ""


def main():
    tap = guest.Tap()
    for name in ("rdma_cm", "uverbs0", "uverbs1"):
        tap.ok((Path("/dev/infiniband") / name).exists(), f"/dev/infiniband/{name} is there")
    before = frames("va"), frames("vb")
    for family, address in (("IPv4", guest.PEER), ("IPv6", guest.PEER6)):
        text = served(["rping", "-s", "-a", address, "-C", "5"], ["rping", "-c", "-a", address, "-C", "5", "-v"])
        tap.ok("rdma-ping-4" in text, f"rping over {family}")
    text = served(["ib_send_lat", "-d", "rxe1", "-n", "200"], ["ib_send_lat", "-d", "rxe0", "-n", "200", guest.PEER])
    tap.ok("99% percentile" in text, "ib_send_lat from rxe0 to rxe1")
    tap.ok(frames("va") - before[0] > 200 and frames("vb") - before[1] > 200, "its frames crossed the veth")
    tap.end()


main()
