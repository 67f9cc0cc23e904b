#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Two hosts, programs whose connections are on lane rdma, and what becomes of these when something
breaks: every byte once, or an error in time, never a hang. SHUNT_LONG=1 runs all cases, else some.

usage: faults.py [CASE]..."""
import os
import sys
import time
from pathlib import Path

import guest
from hosts import ERRORS, Command, Flow, Pair
from shunted import build_dir

LONG = bool(os.environ.get("SHUNT_LONG"))
# 10 s to go back after a loss, after the time in which it is noticed; all of it emulated.
DEADLINE_S = 60
CASES = {}


def case(short=False, **options):
    """Marks a case, with the options of its Pair; a short one runs in any case."""
    def add(function):
        CASES[function.__name__] = (function, short, options)
        return function
    return add


def tell(tap, flow):
    """What can be known of a transfer that did not do as it should."""
    for host, one in zip(flow.pair.hosts, flow.ends):
        tap.note(f"{host.name}: {host.run(build_dir() / 'shunt', 'stat')}")
        tap.note(f"status {one.status}: {one.text()}")
        tap.note(host.daemon.text()[-2000:])


def goes(tap, flow, lane, words):
    if not tap.ok(flow.moves_to(lane), words):
        tell(tap, flow)


def moved(tap, pair, **more):
    """A transfer that has moved to the lane."""
    flow = Flow(pair, **more)
    goes(tap, flow, "rdma", "a transfer between two hosts moves to lane rdma")
    return flow


def ends_exact(tap, flow, words="every byte came once, both ways"):
    results = flow.end(2 * DEADLINE_S)
    if not tap.ok(guest.is_exact(results), words):
        tap.note(results)
        tell(tap, flow)


def ends(tap, flow, words):
    """Exact, or an error on both sides: a link that the machine's load breaks cannot be left without shuntd."""
    results = flow.end(2 * DEADLINE_S)
    if not tap.ok(guest.is_exact(results) or all(one and one[2] in ERRORS for one in results), words):
        tell(tap, flow)
    tap.note(results)


def fails(tap, one, words):
    """One end of a transfer says an error in time."""
    began = time.monotonic()
    result = Flow.result(one, DEADLINE_S)
    tap.ok(bool(result) and result[2] in ERRORS, f"{words}: an error in time, no end of file")
    tap.note(f"{result} after {time.monotonic() - began:.0f} s: {one.text()}")


def stays(tap, pair, reason):
    """A transfer that stays on TCP, and says why on host a."""
    flow = Flow(pair)
    told = guest.within(lambda: any(reason in one["reason"] for one in pair.a.connections("python3")))
    if not tap.ok(told and flow.moves_to("kernel"), f"it stays on TCP: {reason}"):
        tell(tap, flow)
    ends_exact(tap, flow)


@case(short=True)
def redis(tap, pair):
    server = pair.b.program("redis-server", "--bind", pair.b.address, "--port", 25000, "--save", "",
                            "--protected-mode", "no", "--logfile", "/dev/null")
    client = ["redis-cli", "-h", pair.b.address, "-p", 25000]
    guest.within(lambda: pair.a.run(*client, "ping") == "PONG")
    talk = pair.a.program(*client, "-r", 1000000, "-i", 0.05, "incr", "n")
    tap.ok(guest.within(lambda: pair.a.lanes("redis") == [("rdma", "rdma")] and
                        ("rdma", "rdma") in pair.b.lanes("redis")), "redis: both ends are on lane rdma")
    time.sleep(2)
    talk.kill()
    answers = [int(word) for word in talk.text().split() if word.isdigit()]
    tap.ok(len(answers) > 5 and answers == list(range(1, len(answers) + 1)), "every answer is the right one")
    server.kill()


@case(short=True)
def one_transfer_through_it_all(tap, pair):
    flow = moved(tap, pair)
    delete = Command("a", "rdma", "link", "delete", "rxe0")
    goes(tap, flow, "kernel", "the device is removed: it goes on by TCP")
    tap.ok(delete.wait() is not None and delete.status == 0, "no process holds the device")
    pair.a.run("rdma", "link", "add", "rxe0", "type", "rxe", "netdev", "eth0")
    goes(tap, flow, "rdma", "the device is back: it moves to it again")
    time.sleep(6)  # longer than a connection may last after its end
    guest.run("vmctl", "link", "off")
    time.sleep(3)
    guest.run("vmctl", "link", "on")
    goes(tap, flow, "rdma", "the cable is cut and plugged: it moves to the lane again")
    pair.b.kill_daemon()
    ends(tap, flow, "shuntd is killed at last: every byte came once, or both sides hear of it")


@case()
def device_is_removed_from_a_large_transfer(tap, pair):
    flow = moved(tap, pair, mib=512)
    for host in pair.hosts:
        host.run("rdma", "link", "delete", "rxe0")
        host.run("rdma", "link", "add", "rxe0", "type", "rxe", "netdev", "eth0")
    results = flow.results(900)
    if not tap.ok(guest.is_exact(results), "1 GiB in all, both devices removed meanwhile: every byte came once"):
        tap.note(results)
        tell(tap, flow)


@case()
def cable_is_cut_for_good(tap, pair):
    flow = moved(tap, pair)
    guest.run("vmctl", "link", "off")
    for one in flow.ends:
        fails(tap, one, "the cable is cut for good")
    guest.run("vmctl", "link", "on")


@case()
def shuntd_is_killed(tap, pair):
    for host in pair.hosts:
        flow = moved(tap, pair)
        host.kill_daemon()
        time.sleep(1)
        ends(tap, flow, f"shuntd of {host.name} is killed: every byte came once, or both sides hear of it")
        host.start_daemon()


@case()
def shuntd_is_killed_and_then_the_device_removed(tap, pair):
    flow = moved(tap, pair)
    pair.b.kill_daemon()
    pair.a.run("rdma", "link", "delete", "rxe0")
    for one in flow.ends:
        fails(tap, one, "nobody is left to tell how far each side is")
    pair.a.run("rdma", "link", "add", "rxe0", "type", "rxe", "netdev", "eth0")


@case()
def program_is_killed(tap, pair):
    for dying, other in ((0, 1), (1, 0)):
        flow = moved(tap, pair)
        flow.ends[dying].kill()
        fails(tap, flow.ends[other], f"the program on host {'ab'[dying]} is killed")


@case()
def agents_port_is_blocked(tap, pair):
    rule = ["pref", "5", "ipproto", "tcp", "sport", "7470", "blackhole"]
    pair.b.run("ip", "rule", "add", *rule)
    pair.a.run("ip", "rule", "add", *rule)
    stays(tap, pair, "the peer's shuntd")
    for host in pair.hosts:
        host.run("ip", "rule", "del", *rule)


@case(keys=("k" * 40, "o" * 40))
def keys_differ(tap, pair):
    stays(tap, pair, "the peer's shuntd")


@case(b={"port": 7471})
def versions_differ(tap, pair):
    """Host b's agent is played, and says that it speaks version 2."""
    other = Command("b", "python3", Path(__file__).resolve().parent / "other_version.py")
    stays(tap, pair, "version")
    other.kill()


@case(short=True)
def power_is_gone(tap, pair):
    flow = moved(tap, pair)
    guest.run("vmctl", "off", "b")
    fails(tap, flow.ends[0], "the other host's power is gone")


def main():
    tap = guest.Tap()
    for name in sys.argv[1:] or [name for name, (_, short, _) in CASES.items() if short or LONG]:
        function, _, options = CASES[name]
        began = time.monotonic()
        with Pair(**options) as pair:
            function(tap, pair)
        tap.note(f"{name}: {time.monotonic() - began:.1f} s")
    tap.end()


main()
