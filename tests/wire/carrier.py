#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Programs on Shunt's own TCP over veth, against peers that know nothing of Shunt."""
import itertools
import os
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import rig

ACTOR = [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "actor.py")]


class Host:
    """Starts actors on one of the two hosts, and ends them."""

    def __init__(self, prefix=(), env=None):
        self.prefix = list(prefix)
        self.env = env or rig.plain_env()
        self.running = []

    def start(self, *words, until=None):
        process = subprocess.Popen([str(word) for word in [*self.prefix, *ACTOR, *words]],
                                   env=self.env, stdout=subprocess.PIPE, text=True,
                                   stdin=subprocess.PIPE)
        self.running.append(process)
        if until:
            line = process.stdout.readline()
            if until not in line:
                raise RuntimeError(f"{words}: said {line!r}, not {until!r}")
            process.said = line
        return process

    def ask(self, *words, seconds=30):
        """What the actor says till it ends."""
        process = self.start(*words)
        try:
            return process.communicate(timeout=seconds)[0].strip()
        except subprocess.TimeoutExpired:
            process.kill()
            return f"hangs: {process.communicate()[0].strip()}"

    def end(self):
        for process in self.running:
            process.kill()
            process.wait()
        self.running = []


def free_port(ports=iter(range(28100, 28900))):
    return next(ports)


def is_(tap, got, want, name):
    if not tap.ok(got == want, name):
        tap.note(f"got {got!r}, want {want!r}")


def connecting(tap, ours, peer):
    port = free_port()
    peer.start("serve-echo", rig.PEER, port, until="listening")
    sizes = "1,1000,100000,3000000"
    is_(tap, ours.ask("client", rig.PEER, port, sizes), "good tcp", "bytes come back as sent")
    is_(tap, ours.ask("client-ways", rig.PEER, port).splitlines(),
        [f"{way} good tcp" for way in ("blocking", "select", "poll", "epoll", "edge")],
        "blocking, select, poll, epoll by level and by edge")
    is_(tap, ours.ask("client-async-connect", rig.PEER, port), "True 4 0 tcp",
        "a connect that does not block, in an epoll set before")
    is_(tap, ours.ask("client-options", rig.PEER, port), "1 1 33 True 1 tcp", "options")
    is_(tap, ours.ask("client-timeout", rig.PEER, port), "good tcp", "SO_RCVTIMEO")
    is_(tap, ours.ask("client-refused", rig.PEER, free_port()), "111 111", "refused, twice")
    is_(tap, ours.ask("client-fork", rig.PEER, port), "good tcp", "a forked child writes on")
    is_(tap, ours.ask("client-exec", rig.PEER, port), "good tcp", "an executed program goes on")
    # by a pair that the sender made: nobody can tell who receives, so the lifeline is relayed
    is_(tap, ours.ask("client-pass", rig.PEER, port), "good kernel (passed to another process)",
        "passed by SCM_RIGHTS")
    for words in (["-n", "peer", "route", "add", "prohibit", "10.29.0.0/24"],
                  ["-n", "peer", "route", "add", "prohibit", "fd29::/64"],
                  ["route", "add", "10.29.0.0/24", "via", rig.PEER],
                  ["-6", "route", "add", "fd29::/64", "via", rig.PEER6]):
        rig.run("ip", *words)
    rig.run(*rig.IN_PEER, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward; "
                                      "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
    is_(tap, ours.ask("client-refused", "10.29.0.1", port), "113 113", "an ICMP error ends connect")
    is_(tap, ours.ask("client-denied6", "fd29::1", port), "13", "and one of ICMPv6")
    peer6 = free_port()
    peer.start("serve-echo", rig.PEER6, peer6, until="listening")
    is_(tap, ours.ask("client", rig.PEER6, peer6, "100000"), "good tcp", "IPv6")


def listening(tap, ours, peer):
    for role, address, to in (("serve-echo", rig.HERE, rig.HERE),
                              ("serve-asyncio", rig.HERE, rig.HERE),
                              ("serve-echo", "0.0.0.0", rig.HERE),
                              ("serve-echo", rig.HERE6, rig.HERE6)):
        port = free_port()
        ours.start(role, address, port, until="listening")
        is_(tap, peer.ask("client", to, port, "1,1000,2000000"), "good plain",
            f"{role} at {address}")
    port = free_port()
    ours.start("serve-workers", rig.HERE, port, 3, until="listening")
    said = peer.ask("ask-workers", rig.HERE, port, 60)
    tap.ok(re.fullmatch("[123] tcp", said), "workers share a listener") or tap.note(said)
    port = free_port()
    ours.start("serve-echo", "0.0.0.0", port, until="listening")
    said = ours.ask("client", "127.0.0.1", port, "1000")
    tap.ok(said.startswith("good kernel"), "the kernel serves loopback beside it") or tap.note(said)


def ending(tap, ours, peer):
    port = free_port()
    server = peer.start("serve-watch", rig.PEER, port, until="listening")

    def how(after):
        kind, at, *_ = server.stdout.readline().split()
        return kind, float(at) - after

    client = ours.start("client-hold", rig.PEER, port, until="connected tcp")
    killed = time.monotonic()
    client.send_signal(signal.SIGKILL)
    kind, took = how(killed)
    tap.ok(kind in ("fin", "rst") and took < 0.1, "SIGKILL: the peer hears of it at once") \
        or tap.note(f"{kind} after {took} s")
    said = ours.ask("client-reset", rig.PEER, port)
    kind, took = how(float(said.split()[1]))
    tap.ok(kind == "rst" and took < 0.1, "SO_LINGER 0 is a reset") or tap.note(f"{kind} {took}")
    stopped = ours.start("client-hold", rig.PEER, port, until="connected tcp")
    stopped.send_signal(signal.SIGSTOP)
    echo = free_port()
    peer.start("serve-echo", rig.PEER, echo, until="listening")
    is_(tap, ours.ask("client", rig.PEER, echo, "1,300000"), "good tcp",
        "others go on beside a stopped program")
    stopped.send_signal(signal.SIGCONT)
    stopped.kill()
    how(time.monotonic())


def says(process):
    """A line of it, or why there is none."""
    ready, _, _ = select.select([process.stdout], [], [], 20)
    return process.stdout.readline().strip() if ready else "nothing in 20 s"


def stop_keeper():
    """While it sleeps: one that drives the stack holds its lock."""
    epoll_wait = ("232", "281", "22")  # and epoll_pwait; the last is aarch64's
    keeper, = rig.processes("shuntd-keeper")
    while True:
        os.kill(keeper, signal.SIGSTOP)
        while rig.status(keeper)["State"][0] != "T":
            time.sleep(0.001)
        if Path(f"/proc/{keeper}/syscall").read_text().split()[0] in epoll_wait:
            return keeper
        os.kill(keeper, signal.SIGCONT)
        time.sleep(0.001)


def closing(tap, ours, peer):
    """As by the kernel: FIN has left when close() or exit() is over, whatever the keeper does."""
    port = free_port()
    server = peer.start("serve-watch", rig.PEER, port, until="listening")
    for way in ("close", "dup2", "child", "exit", "_exit"):
        client = ours.start("client-ending", rig.PEER, port, way, until="connected tcp")
        keeper = stop_keeper()
        client.stdin.write("\n")
        client.stdin.flush()
        said = says(server)
        os.kill(keeper, signal.SIGCONT)
        tap.ok(said.startswith("fin") and said.endswith("goodbye"),
               f"a keeper stopped: FIN leaves in {way}") or tap.note(said)
        client.kill()


def limit_files(shunt, room):
    """shuntd can open so many more; None: as many as it could."""
    taken = {int(fd.name) for fd in Path(f"/proc/{shunt.daemon.pid}/fd").iterdir()}
    free = (number for number in range(1 << 20) if number not in taken)
    hard = resource.prlimit(shunt.daemon.pid, resource.RLIMIT_NOFILE)[1]
    soft = hard if room is None else next(itertools.islice(free, room, None))
    resource.prlimit(shunt.daemon.pid, resource.RLIMIT_NOFILE, (soft, hard))


def no_files(tap, shunt, ours, peer):
    """At each of these limits another of shuntd's descriptors is missing: at some its own, at some those
    that the keeper passes to it."""
    port = free_port()
    peer.start("serve-echo", rig.PEER, port, until="listening")
    client = ours.start("client-asked", rig.PEER, port, until="connected tcp")

    def ask():
        client.stdin.write("\n")
        client.stdin.flush()
        return says(client)

    is_(tap, ask(), "good, good, tcp", "a connection beside one that is held")
    said = []
    for room in range(6):
        limit_files(shunt, room)
        said.append(ask())
    limit_files(shunt, None)
    good = all(re.fullmatch(r"good, good, (tcp|kernel \(tcp: .*)", line) for line in said)
    missed = sum("no file descriptors left" in line for line in said)
    tap.ok(good and missed > 1, "without descriptors shuntd refuses connections, and those that there "
                                "are go on") or tap.note("\n".join(said))
    is_(tap, ask(), "good, good, tcp", "and makes them when it has some")


def cpu_s(pid):
    user, system = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def daemon_dies(tap, shunt, ours, peer):
    port, echo, here, _ = (free_port() for _ in range(4))
    servers = [ours.start(kind, rig.HERE, here + i, until="listening")
               for i, kind in enumerate(("serve-echo", "serve-poll"))]
    for i in range(2):
        is_(tap, peer.ask("client", rig.HERE, here + i, "1000"), "good plain",
            "a listener of ours is heard")
    peer.start("serve-watch", rig.PEER, port, until="listening")
    peer.start("serve-echo", rig.PEER, echo, until="listening")
    client = ours.start("client-hold", rig.PEER, port, until="connected tcp")
    start = time.monotonic()
    shunt.daemon.kill()
    line = client.stdout.readline().strip()
    tap.ok(line == "error 104" and time.monotonic() - start < 0.5,
           "shuntd killed: ECONNRESET at once") or tap.note(line)
    said = ours.ask("client", rig.PEER, echo, "1000")
    tap.ok(said.startswith("good"), "and programs that start then connect") or tap.note(said)
    is_(tap, peer.ask("client", rig.PEER, echo, "1000"), "good plain", "the peer's host is well")
    before = [cpu_s(server.pid) for server in servers]
    time.sleep(0.5)
    for i, server in enumerate(servers):
        tap.ok(cpu_s(server.pid) - before[i] < 0.1, "the listener sleeps on")
        is_(tap, peer.ask("client", rig.HERE, here + i, "1000"), "good plain",
            "and the kernel serves it")


def daemon_late(tap):
    """shuntd answers when the program has given up: nothing of the listener is Shunt's then."""
    with rig.Shunt(rig.WIRE.replace("20000", "500")) as shunt:
        ours = Host(shunt.command([]), shunt.env())
        peer = Host(rig.IN_PEER)
        port = free_port()
        ours.start("serve-stopping", rig.HERE, port, shunt.daemon.pid, until="listening")
        is_(tap, peer.ask("client", rig.HERE, port, "1000"), "good plain",
            "shuntd stopped: the kernel listens")
        shunt.daemon.send_signal(signal.SIGCONT)
        said = {peer.ask("client", rig.HERE, port, "1000") for _ in range(5)}
        is_(tap, said, {"good plain"}, "and listens on when shuntd answers late")
        ours.end()
        peer.end()


def nat(port, to):
    """The kernel sends to another port what is for that one, which is deaf, and to the peer what is for
    10.28.0.99, which is nobody. False: it cannot."""
    rules = (f"table ip wire {{ chain out {{ type nat hook output priority -100; "
             f"ip daddr {rig.PEER} tcp dport {port} dnat to {rig.PEER}:{to}; "
             f"ip daddr 10.28.0.99 dnat to {rig.PEER}; }}; }}")
    deaf = (f"table ip wire {{ chain in {{ type filter hook input priority 0; "
            f"tcp dport {port} drop; }}; }}")
    return all(subprocess.run([*where, "nft", text], check=False, stderr=subprocess.DEVNULL).returncode == 0
               for where, text in ((["env"], rules), (rig.IN_PEER, deaf)))


def unanswered(tap):
    """The kernel's frames arrive, and ours do not."""
    port, deaf = free_port(), free_port()
    if not shutil.which("nft") or not nat(deaf, port):
        tap.skip("unanswered", "no NAT by nft here")
        return
    want = "good kernel (tcp: the peer did not answer before the deadline)"
    with rig.Shunt(rig.WIRE.replace("20000", "3000")) as shunt:
        ours = Host(shunt.command([]), shunt.env())
        peer = Host(rig.IN_PEER)
        peer.start("serve-echo", "0.0.0.0", port, until="listening")
        ours.ask("client", rig.PEER, port, "1")  # there is a stack from then on
        asking = [(ours.start("client-fork", *to), name) for to, name in (
            ((rig.PEER, deaf), "the kernel connects where only its frames are answered"),
            (("10.28.0.99", port), "and to a host that only the kernel knows"))]
        for process, name in asking:
            is_(tap, process.communicate(timeout=30)[0].strip(), want, name)
        ours.end()
        peer.end()


def main():
    rig.enter()
    tap = rig.Tap()
    with rig.Shunt(rig.WIRE) as shunt:
        ours = Host(shunt.command([]), shunt.env())
        peer = Host(rig.IN_PEER)
        for part in (connecting, listening, ending, closing):
            part(tap, ours, peer)
            ours.end()
            peer.end()
        no_files(tap, shunt, ours, peer)
        ours.end()
        peer.end()
        daemon_dies(tap, shunt, ours, peer)
        ours.end()
        peer.end()
    daemon_late(tap)
    unanswered(tap)
    tap.end()


main()
