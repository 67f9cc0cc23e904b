#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The network changes under programs on Shunt's own TCP, one that connected and one that listens: both
go on as on the kernel's, with every byte right, or hear an error; nothing hangs."""
import os
import time

import rig
from streams import IP6, end_all, on_tcp, pair


def here(words):
    rig.run("ip", *words.split())


def peer(words):
    rig.run("ip", "-n", "peer", *words.split())


def link_flaps():
    here("link set wire0 down")
    time.sleep(0.5)
    here("link set wire0 up")


def cable_is_out():
    peer("link set wire1 down")
    time.sleep(0.5)
    peer("link set wire1 up")


def address_moves_away():
    here(f"address del {rig.HERE}/24 dev wire0")
    here(f"address del {rig.HERE6}/64 dev wire0")
    time.sleep(0.5)
    here(f"address add {rig.HERE}/24 dev wire0")
    here(f"address add {rig.HERE6}/64 dev wire0 nodad")


def another_address():
    here("address add 10.28.0.9/24 dev wire0")
    here("address add fd28::9/64 dev wire0 nodad")
    here("address del 10.28.0.9/24 dev wire0")
    here("address del fd28::9/64 dev wire0")


def by_a_router():
    peer("address add 10.28.0.3/24 dev wire1")
    peer("address add fd28::3/64 dev wire1 nodad")
    here(f"route add {rig.PEER}/32 via 10.28.0.3 dev wire0 src {rig.HERE}")
    here(f"-6 route add {rig.PEER6}/128 via fd28::3 dev wire0 src {rig.HERE6}")


def without_the_router():
    here(f"route del {rig.PEER}/32")
    here(f"-6 route del {rig.PEER6}/128")
    peer("address del 10.28.0.3/24 dev wire1")
    peer("address del fd28::3/64 dev wire1")


def route_is_prohibited():
    here(f"route add prohibit {rig.PEER}/32")
    here(f"-6 route add prohibit {rig.PEER6}/128")
    time.sleep(0.5)
    here(f"route del prohibit {rig.PEER}/32")
    here(f"-6 route del prohibit {rig.PEER6}/128")


def mtu(size):
    def change():
        here(f"link set wire0 mtu {size}")
        peer(f"link set wire1 mtu {size}")
    return change


def another_card():
    peer("link set wire1 address 02:00:00:28:00:02")
    for address in rig.PEER, rig.PEER6:
        here(f"neighbour replace {address} lladdr 02:00:00:28:00:02 dev wire0 nud reachable")


def neighbours_forgotten():
    here("neighbour flush dev wire0")
    peer("neighbour flush dev wire1")


def silent_card():
    """Found out only by the kernel's asking again."""
    peer("link set wire1 address 02:00:00:28:00:03")


CHANGES = (("the link goes down and up", link_flaps),
           ("the peer's link goes down and up", cable_is_out),
           ("the address is removed and added", address_moves_away),
           ("another address comes and goes", another_address),
           ("the route leads to a router", by_a_router),
           ("and no more", without_the_router),
           ("the route is prohibited for a while", route_is_prohibited),
           ("the MTU is 1280", mtu(1280)),
           ("the MTU is 9000", mtu(9000)),
           ("the MTU is 1500 again", mtu(1500)),
           ("the neighbour has another card", another_card),
           ("the neighbours are forgotten", neighbours_forgotten))

LONG = (("another card, of which nobody tells", silent_card),) if os.environ.get("SHUNT_LONG") else ()


def changes(tap, shunt):
    keep = "echo 1 >/proc/sys/net/ipv6/conf/wire{}/keep_addr_on_down"
    rig.run("sh", "-c", keep.format(0))
    rig.run(*rig.IN_PEER, "sh", "-c", keep.format(1))
    echoes, streams = zip(pair(shunt), pair(shunt, IP6))
    echoes, streams = sum(echoes, []), sum(streams, [])
    on_tcp(tap, shunt, streams)
    for name, change in CHANGES + LONG:
        begun = time.monotonic()
        change()
        good = [stream.goes_on() for stream in streams]
        tap.ok(all(good), f"{name}: all streams go on") \
            or tap.note(" and ".join(stream.last for stream in streams))
        tap.note(f"{time.monotonic() - begun:.1f} s")
    return echoes, streams


def deleted(tap, echoes, streams):
    """Nothing is left to send by: the connection ends, as does whoever waits."""
    here("link delete wire0")
    for stream in streams[::2]:  # ours
        ended = stream.wait(lambda: not stream.is_well())
        tap.ok(ended and stream.last.startswith("error"),
               "the interface is deleted: an error, and no hang") or tap.note(stream.last)


def main():
    rig.enter()
    tap = rig.Tap()
    with rig.Shunt(rig.WIRE) as shunt:
        echoes, streams = changes(tap, shunt)
        deleted(tap, echoes, streams)
        end_all(echoes, streams)
        rig.cable()
        echoes, streams = pair(shunt)
        on_tcp(tap, shunt, streams)
        tap.ok(all(stream.goes_on() for stream in streams), "and made again: so are connections")
        end_all(echoes, streams)
    tap.end()


main()
