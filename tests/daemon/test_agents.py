#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Two shuntds on two hosts: network namespaces joined by a veth pair. Programs with lane rdma are
played by far_client. No RDMA is needed: what the lanes would do with their channels is not tried."""
import concurrent.futures
import ctypes
import os
import queue
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

CLONE_NEWNET, PR_SET_PDEATHSIG = 0x40000000, 1
libc = ctypes.CDLL(None, use_errno=True)
BUILD = os.environ.get("top_builddir", ".")
PORT = 7470
PATIENCE = 15.0


def dies_with_parent():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Host:
    """A network namespace with a shuntd in it."""

    def __init__(self, name, ip, top):
        self.name, self.ip = name, ip
        self.dir = os.path.join(top, name)
        os.mkdir(self.dir)
        self.sock = os.path.join(self.dir, "shuntd.sock")
        self.daemon = None
        self.holder = subprocess.Popen(["sleep", "infinity"], preexec_fn=self.unshare)
        while os.readlink(f"/proc/{self.holder.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
            time.sleep(0.01)
        self.run("ip", "link", "set", "lo", "up")

    @staticmethod
    def unshare():
        dies_with_parent()
        if libc.unshare(CLONE_NEWNET):
            os._exit(1)

    def enter(self, *command):
        return ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net", *command]

    def run(self, *command, **kw):
        return subprocess.run(self.enter(*command), check=True, capture_output=True, text=True, **kw)

    def start(self, **agent):
        conf = os.path.join(self.dir, "shunt.conf")
        agent.setdefault("peers", '[ "10.77.0.0/16", "[fd77::/16]" ]')
        with open(conf, "w", encoding="utf-8") as f:
            f.write("agent = {\n" + "".join(f"  {k} = {v};\n" for k, v in agent.items()) + "};\n")
        env = dict(os.environ, SHUNT_LOG="info")
        log = open(os.path.join(self.dir, "log"), "a", encoding="utf-8")
        self.daemon = subprocess.Popen(
            self.enter(os.path.join(BUILD, "shuntd"), "-v", "--socket", self.sock, "-c", conf),
            env=env, stderr=log, preexec_fn=dies_with_parent)
        log.close()
        end = time.monotonic() + PATIENCE
        while True:
            try:
                self.counts()
                return
            except (OSError, AssertionError):
                up = self.daemon.poll() is None and time.monotonic() < end
                assert up, "shuntd does not start:\n" + self.log()
                time.sleep(0.02)

    def stop(self, sig=signal.SIGTERM):
        if self.daemon:
            self.daemon.send_signal(sig)
            status = self.daemon.wait(PATIENCE)
            assert sig != signal.SIGTERM or status == 0, f"shuntd ended with {status}"
        self.daemon = None

    def log(self):
        if not os.path.exists(os.path.join(self.dir, "log")):
            return "never started"
        with open(os.path.join(self.dir, "log"), encoding="utf-8") as f:
            return f.read()

    def counts(self):
        out = subprocess.run([os.path.join(BUILD, "shunt"), "stat", "--json"], text=True,
                             env=dict(os.environ, SHUNT_SOCKET=self.sock), capture_output=True,
                             check=False)
        assert out.returncode == 0, out.stderr
        found = re.findall(r'"(\w+)": *(\d+)', out.stdout)
        return {name: int(value) for name, value in found}

    def wait_count(self, name, least):
        end = time.monotonic() + PATIENCE
        while self.counts()[name] < least:
            assert time.monotonic() < end, f"{name} is {self.counts()[name]}, not {least}"
            time.sleep(0.05)

    def program(self):
        return Program(self)


class Program:
    """A far_client, and what it has said."""

    def __init__(self, host):
        self.proc = subprocess.Popen(
            host.enter(os.path.join(BUILD, "tests/daemon/far_client"), host.sock),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
            preexec_fn=dies_with_parent)
        self.lines, self.heard = queue.Queue(), []
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.proc.stdout:
            self.lines.put(line.strip())

    def say(self, line):
        self.proc.stdin.write(line + "\n")
        self.proc.stdin.flush()

    def hear(self, pattern, seconds=PATIENCE):
        """The next line that matches, which may have been said before; None: none came."""
        end = time.monotonic() + seconds
        while True:
            for i, line in enumerate(self.heard):
                found = re.match(pattern, line)
                if found:
                    del self.heard[i]
                    return found
            try:
                self.heard.append(self.lines.get(timeout=max(end - time.monotonic(), 0.001)))
            except queue.Empty:
                return None
            assert not self.heard[-1].startswith("died"), self.heard[-1]

    def expect(self, pattern, seconds=PATIENCE):
        found = self.hear(pattern, seconds)
        assert found, f"/{pattern}/ was not said in {seconds} s, but {self.heard}"
        return found

    def ask(self, line, pattern):
        self.say(line)
        return self.expect(pattern)

    def end(self, sig=signal.SIGKILL):
        self.proc.send_signal(sig)
        self.proc.wait()


class Pair:
    """Two hosts, and a program on each, with a TCP connection between them that nobody claimed."""

    def __init__(self, a=None, b=None, ipv6=False, **both):
        self.top = tempfile.mkdtemp(prefix="shunt-agents-")
        self.programs = []
        self.a = Host("a", "10.77.0.1", self.top)
        self.b = Host("b", "10.77.0.2", self.top)
        self.a.run("ip", "link", "add", "v0", "type", "veth", "peer", "name", "v0", "netns",
                   str(self.b.holder.pid))
        for host, n in (self.a, 1), (self.b, 2):
            host.run("ip", "addr", "add", f"10.77.0.{n}/24", "dev", "v0")
            host.run("ip", "addr", "add", f"fd77::{n}/64", "dev", "v0", "nodad")
            host.run("ip", "link", "set", "v0", "up")
        if a is not False:
            self.a.start(**{**both, **(a or {})})
        if b is not False:
            self.b.start(**{**both, **(b or {})})
        self.client, self.server = self.program(self.a), self.program(self.b)
        self.server.ask("listen 9000", "listening")
        self.to = "fd77::2" if ipv6 else "10.77.0.2"
        self.connect()

    def program(self, host):
        self.programs.append(host.program())
        return self.programs[-1]

    def connect(self):
        """The numbers that the two programs give the next connection."""
        c = self.client.ask(f"connect {self.to} 9000", r"conn (\d+)").group(1)
        return c, self.server.ask("accept", r"conn (\d+)").group(1)

    def match(self, c="0", s="0"):
        self.server.say(f"claim {s} server")
        self.client.say(f"claim {c} client")
        mine = self.client.expect(rf"matched {c} 2 (\w+) server")
        theirs = self.server.expect(rf"matched {s} 2 (\w+) client")
        assert mine.group(1) == theirs.group(1) != "0" * 16

    def talk(self, c="0", s="0"):
        self.client.say(f"relay {c} hello")
        self.server.expect(f"relayed {s} hello")
        self.server.say(f"relay {s} welcome")
        self.client.expect(f"relayed {c} welcome")

    def __enter__(self):
        return self

    def __exit__(self, kind, value, tb):
        if kind:
            for host in self.a, self.b:
                print("# " + host.name + ": " + "\n# ".join(host.log().splitlines()[-12:]) + "\n",
                      end="", flush=True)
        for program in self.programs:
            program.end()
        try:
            for host in self.a, self.b:
                host.stop()
        finally:
            for host in self.a, self.b:
                host.holder.kill()
                host.holder.wait()
            shutil.rmtree(self.top)


class Skip(Exception):
    pass


def key_dir():
    """A directory for key files; skips the test where there can be no keys."""
    top = tempfile.mkdtemp(prefix="shunt-agents-key-")
    conf = os.path.join(top, "shunt.conf")
    with open(conf, "w", encoding="utf-8") as f:
        f.write('agent = { peers = [ "10.0.0.1" ]; key_file = "/x"; };')
    said = subprocess.run([os.path.join(BUILD, "shunt"), "check", conf], check=False,
                          capture_output=True, text=True)
    if "without libsodium" in said.stdout:
        shutil.rmtree(top)
        raise Skip("built without libsodium")
    return top


def key_file(top, name, text, mode=0o600):
    path = os.path.join(top, name)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(path, mode)
    return f'"{path}"'


TESTS = []


def test(f):
    TESTS.append(f)
    return f


@test
def both_claim_and_are_matched():
    with Pair() as p:
        p.match()
        p.talk()
        p.client.say("drop 0")
        p.server.expect("gone 0 left")
        p.match()  # the same connection, again
        p.client.end()
        p.server.expect("gone 0 died")


@test
def ipv6_too():
    with Pair(ipv6=True) as p:
        p.match()
        p.talk()


@test
def the_first_claim_waits_whoever_it_is():
    with Pair() as p:
        p.client.say("claim 0 client")
        p.client.expect("noted 0 rdma: waiting for the peer to claim it, too")
        p.server.say("claim 0 server")
        p.client.expect("matched 0 2")
        p.server.expect("matched 0 2")
        c, s = p.connect()
        p.server.say(f"claim {s} server")
        p.server.expect(f"noted {s} rdma: waiting")
        p.client.say(f"claim {c} client")
        p.client.expect(f"matched {c} 2")
        p.server.expect(f"matched {s} 2")
        assert p.b.counts()["agent_yes_total"] == p.a.counts()["agent_yes_total"] == 1


@test
def many_crossing_claims_all_match_once():
    with Pair() as p:
        for _ in range(300):
            p.connect()
        for n in range(301):
            p.client.say(f"claim {n} client")
            p.server.say(f"claim {n} server")
        for n in range(301):
            mine = p.client.expect(rf"matched {n} 2 (\w+) server")
            theirs = p.server.expect(rf"matched {n} 2 (\w+) client")
            assert mine.group(1) == theirs.group(1)
        for host in p.a, p.b:
            counts = host.counts()
            assert counts["channels"] == 301 and counts["claims"] == 0, counts
            assert counts["agent_tries_total"] <= 1, counts


@test
def another_address_of_this_host_is_no_other_host():
    with Pair(peers='[ "10.99.0.0/16" ]') as p:
        p.a.run("ip", "addr", "add", "10.77.5.5/32", "dev", "lo")
        other = p.program(p.a)
        other.ask("listen 9001", "listening")
        c = p.client.ask("connect 10.77.5.5 9001", r"conn (\d+)").group(1)
        s = other.ask("accept", r"conn (\d+)").group(1)
        p.client.say(f"claim {c} client")
        p.client.expect(f"noted {c} rdma: waiting for the peer to claim it")
        other.say(f"claim {s} server")
        p.client.expect(rf"matched {c} 2 \w+ server")


@test
def a_claim_that_is_taken_back_is_not_matched():
    with Pair() as p:
        p.client.say("claim 0 client")
        p.client.expect("noted 0 rdma: waiting")
        p.client.say("drop 0")
        time.sleep(0.3)
        p.server.say("claim 0 server")
        p.server.expect("noted 0 rdma: waiting")
        assert not p.server.hear("matched", 0.3)
        p.client.say("claim 0 client")
        p.client.expect("matched 0 2")


@test
def a_translated_address_is_no_match():
    with Pair() as p:
        p.a.run("ip", "addr", "add", "10.77.1.1/32", "dev", "lo")
        p.b.run("ip", "addr", "add", "10.77.9.9/32", "dev", "lo")
        p.a.run("ip", "route", "add", "10.77.9.9/32", "via", "10.77.0.2")
        # what a sends to 10.77.8.8 arrives at 10.77.9.9, as behind a load balancer
        p.a.run("ip", "route", "add", "10.77.8.8/32", "via", "10.77.0.2")
        p.b.run("nft", "add table ip lb; add chain ip lb pre "
                "{ type nat hook prerouting priority -100; }; "
                "add rule ip lb pre ip daddr 10.77.8.8 dnat to 10.77.9.9")
        p.to = "10.77.8.8"
        c, s = p.connect()
        p.server.say(f"claim {s} server")
        p.client.say(f"claim {c} client")
        p.client.expect(f"refused {c} rdma: the addresses are seen otherwise here: NAT")


@test
def a_connection_that_the_host_lacks_is_no_match():
    with Pair() as p:
        # the peer's own side was closed and forgotten, as a host behind NAT has never had it
        p.b.run("nft", "add table ip quiet; add chain ip quiet out "
                "{ type filter hook output priority 0; }; "
                "add rule ip quiet out tcp flags rst drop")
        p.b.run("ss", "-K", "sport", "=", ":9000", "dst", "10.77.0.1")
        p.client.say("claim 0 client")
        p.client.expect("refused 0 rdma: the peer's host has no such connection: NAT")


@test
def with_the_same_key_they_match():
    top = key_dir()
    key = key_file(top, "key", "k" * 40)
    with Pair(key_file=key) as p:
        p.match()
        p.talk()
        p.client.say("count 0 0 5000")
        p.server.expect("counted 0 4999")
    shutil.rmtree(top)


@test
def another_key_no_key_or_an_open_file_is_refused():
    top = key_dir()
    key, other = key_file(top, "key", "k" * 40), key_file(top, "other", "o" * 40)
    with Pair(a={"key_file": key}, b={"key_file": other}) as p:
        p.client.say("claim 0 client")
        p.client.expect("noted 0 rdma: the peer's shuntd: it has (another key|hung up)")
        p.server.say("claim 0 server")
        p.server.expect("noted 0 rdma: the peer's shuntd: it has (another key|hung up)")
        assert not p.client.hear("matched", 0.3)
    for mine, theirs in ((key, None), (None, key)):
        with Pair(a={"key_file": mine} if mine else {}, b={"key_file": theirs} if theirs else {}) as p:
            p.client.say("claim 0 client")
            p.client.expect("noted 0 rdma: the peer's shuntd: refused: only one of the two shuntds "
                            "has a key")
    with Pair() as p:
        p.a.stop()
        try:
            p.a.start(key_file=key_file(top, "open", "k" * 40, 0o644))
            raise RuntimeError("a key that all can read was taken")
        except AssertionError:
            assert "others than its owner may use it" in p.a.log(), p.a.log()
        p.a.daemon.wait()
        p.a.daemon = None
    shutil.rmtree(top)


@test
def a_host_that_is_not_listed_is_neither_asked_nor_heard():
    with Pair(b={"peers": '[ "10.66.0.0/16" ]'}) as p:
        p.client.say("claim 0 client")
        p.client.expect("noted 0 rdma: the peer's shuntd: refused: this host does not list yours")
        p.server.say("claim 0 server")
        p.server.expect("noted 0 rdma: agent.peers of shunt.conf does not list the peer")
        counts = p.b.counts()
        assert counts["agent_tries_total"] == 0 and counts["agent_turned_away_total"] >= 1, counts


def record(body):
    return struct.pack(">I", len(body)) + body


def dial(host, to):
    """A socket in host's namespace, connected to the agent of to."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/proc/{host.holder.pid}/ns/net", os.O_RDONLY)
    try:
        assert libc.setns(there, CLONE_NEWNET) == 0
        return socket.create_connection((to, PORT), 5)
    finally:
        assert libc.setns(here, CLONE_NEWNET) == 0
        os.close(here)
        os.close(there)


def read_to_end(sock, seconds=PATIENCE):
    sock.settimeout(seconds)
    got = b""
    try:
        while True:
            piece = sock.recv(65536)
            if not piece:
                return got
            got += piece
    except ConnectionResetError:
        return got


GREETING = b"\x08\x01" + b"\x1a\x20" + b"f" * 32


@test
def other_versions_and_garbage_are_hung_up_on():
    with Pair() as p:
        with dial(p.a, "10.77.0.2") as s:
            s.sendall(record(b"\x08\x63" + GREETING[2:]))
            assert b"versions that do not understand each other" in read_to_end(s)
        for garbage in (b"\xff" * 64, record(b"\xff" * 40), struct.pack(">I", 1 << 30),
                        record(GREETING) + record(b"\xff" * 9), record(GREETING) + record(b""),
                        record(GREETING) + struct.pack(">I", 600), b"GET / HTTP/1.0\r\n\r\n",
                        record(GREETING) + record(b"\x08\x01\x82\x01\x02\x08\x07")):
            with dial(p.a, "10.77.0.2") as s:
                s.sendall(garbage)
                read_to_end(s)
        assert p.b.counts()["agent_turned_away_total"] >= 9
        p.match()
        p.talk()


@test
def who_is_slow_keeps_nobody_out():
    with Pair() as p:
        slow = []
        for _ in range(40):
            s = dial(p.a, "10.77.0.2")
            s.sendall(b"\0")
            slow.append(s)
        begin = time.monotonic()
        alive = list(slow)
        while alive and time.monotonic() - begin < 8:
            for s in list(alive):
                s.setblocking(False)
                try:
                    if not s.recv(4096):
                        alive.remove(s)
                except BlockingIOError:
                    pass
                except OSError:
                    alive.remove(s)
            time.sleep(0.1)
        assert not alive, f"{len(alive)} of 40 slow links live"
        for s in slow:
            s.close()
        p.match()


@test
def ten_thousand_asks():
    with Pair() as p:
        for n in range(5):
            p.client.ask("many 2000 10.77.0.2 9000", "many 2000")
            p.server.ask("accept 2000", "accepted 2000")
            p.a.wait_count("agent_asks_total", 2000 * (n + 1))
        p.b.wait_count("agent_asked_total", 10000)
        counts = p.a.counts()
        assert counts["agent_tries_total"] == 1, counts
        with open(f"/proc/{p.b.daemon.pid}/status", encoding="utf-8") as f:
            rss = int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))
        assert rss < 64 << 10, f"shuntd holds {rss} KiB"
        p.server.say("claim 3 late")
        p.server.expect("matched 3 2")
        p.client.expect("matched 3 2 \\w+ late")


def answers(host, to):
    try:
        dial(host, to).close()
        return True
    except OSError:
        return False


@test
def a_killed_shuntd_is_found_out_and_asked_again():
    with Pair(lost_ms=1500, absent_s=1) as p:
        p.match()
        p.b.stop(signal.SIGKILL)
        p.server.expect("gone 0 cut")
        p.client.expect("gone 0 cut")  # after lost_ms
        p.client.say("claim 0 client")
        p.client.expect("noted 0 rdma: the peer's shuntd: ")
        p.b.start(lost_ms=1500, absent_s=1)
        time.sleep(1.1)  # a program connects to shuntd once a second at most
        p.server.say("claim 0 server")
        p.client.expect("matched 0 2")
        p.server.expect("matched 0 2")
        p.talk()


@test
def a_restarted_shuntd_is_noticed_at_once():
    with Pair(lost_ms=10000) as p:
        p.client.say("claim 0 client")  # so that a is the one that made the link
        p.client.expect("noted 0 rdma: waiting")
        p.server.say("claim 0 server")
        p.client.expect("matched 0 2")
        p.server.expect("matched 0 2")
        p.b.stop(signal.SIGKILL)
        p.b.start(lost_ms=10000)
        begin = time.monotonic()
        p.client.expect("gone 0 cut")
        assert time.monotonic() - begin < 5


def drop_agents(host, cut):
    """Drops all that goes to or from agents' port at host, or no more."""
    if cut:
        host.run("nft", f"add table inet cut; add chain inet cut in "
                 f"{{ type filter hook input priority 0; }}; "
                 f"add rule inet cut in tcp dport {PORT} drop; "
                 f"add rule inet cut in tcp sport {PORT} drop")
    else:
        host.run("nft", "delete table inet cut")


@test
def a_lost_link_is_made_anew_and_nothing_is_lost_or_doubled():
    with Pair(lost_ms=30000) as p:
        p.match()
        p.talk()
        p.client.say("count 0 0 8000")
        p.server.say("count 0 0 8000")
        p.server.expect("counted 0 999")
        for host in p.a, p.b, p.a:  # the kernel's own connections are killed under the agents
            host.run("ss", "-K", f"( sport = :{PORT} or dport = :{PORT} )")
            time.sleep(0.4)
        p.server.expect("counted 0 7999", 20)
        p.client.expect("counted 0 7999", 20)
        assert p.a.counts()["agent_resumed_total"] + p.b.counts()["agent_resumed_total"] >= 2
        drop_agents(p.a, True)
        p.client.say("count 0 8000 10000")
        p.server.say("count 0 8000 10000")
        time.sleep(8)  # both find out that it is silent
        assert p.a.counts()["agent_links"] == 0
        drop_agents(p.a, False)
        p.server.expect("counted 0 9999", 20)
        p.client.expect("counted 0 9999", 20)
        assert not p.client.hear("gone", 0.1) and not p.server.hear("gone", 0.1)


@test
def a_blocked_port_cuts_the_channel_at_the_deadline():
    with Pair(lost_ms=1000) as p:
        p.match()
        drop_agents(p.a, True)
        begin = time.monotonic()
        p.client.expect("gone 0 cut", 12)
        p.server.expect("gone 0 cut", 12)
        assert time.monotonic() - begin < 12


@test
def one_way_blocked_still_matches():
    with Pair(absent_s=600) as p:
        p.b.run("nft", f"add table inet cut; add chain inet cut in "
                f"{{ type filter hook input priority 0; }}; "
                f"add rule inet cut in tcp dport {PORT} drop")
        p.client.say("claim 0 client")  # cannot ask
        p.client.expect("noted 0 rdma: the peer's shuntd: it does not answer", 8)
        p.server.say("claim 0 server")  # can
        p.server.expect("matched 0 2")
        p.client.expect("matched 0 2")
        c, s = p.connect()
        p.server.say(f"claim {s} server")
        p.server.expect(f"noted {s} rdma: waiting")
        p.client.say(f"claim {c} client")  # its ask is answered by the one that waits here
        p.client.expect(f"matched {c} 2")
        p.server.expect(f"matched {s} 2")


@test
def hosts_without_shuntd_cost_nothing():
    with Pair(b=False, absent_s=600) as p:
        p.b.run("nft", f"add table inet cut; add chain inet cut in "
                f"{{ type filter hook input priority 0; }}; "
                f"add rule inet cut in tcp dport {PORT} drop")
        for n in range(50):
            p.b.run("ip", "addr", "add", f"10.77.{n + 1}.1/32", "dev", "lo")
        p.a.run("ip", "route", "add", "10.77.0.0/16", "via", "10.77.0.2")
        worst = 0
        for n in range(50):
            said = p.client.ask(f"many 20 10.77.{n + 1}.1 9000", r"many 20 longest_us (\d+)")
            worst = max(worst, int(said.group(1)))
        assert worst < 1000000, f"a claim took {worst} us"  # waiting for a SYN takes 3 s
        p.client.expect(r"noted \d+ rdma: the peer's shuntd: it does not answer")
        p.a.wait_count("agent_absent", 50)
        for n in range(50):
            p.client.ask(f"many 20 10.77.{n + 1}.1 9000", "many 20")
        p.a.wait_count("claims", 2000)
        counts = p.a.counts()
        assert counts["agent_tries_total"] == counts["agent_failures_total"] == 50, counts
        assert counts["agent_spared_total"] >= 1000, counts


@test
def the_agent_does_not_ask_itself():
    with Pair(b=False) as p:
        p.a.run("ip", "addr", "add", "10.77.0.77/32", "dev", "lo")
        own = p.program(p.a)
        own.ask("listen 9000", "listening")
        n = p.client.ask("connect 10.77.0.77 9000", r"conn (\d+)").group(1)
        p.client.say(f"claim {n} client")
        own.ask("accept", "conn 0")
        own.say("claim 0 own")
        p.client.expect(f"matched {n} 2 \\w+ own")


@test
def without_peers_nothing_listens():
    with Pair(a=False, b={"peers": "[ ]"}) as p:
        assert not answers(p.a, "10.77.0.2")


def needs():
    """Why this cannot be run here, or None."""
    if os.geteuid():
        return "not root"
    for tool in ("ip", "nft", "nsenter", "ss"):
        if not shutil.which(tool):
            return f"no {tool}"
    child = subprocess.run(["unshare", "-n", "true"], check=False, capture_output=True)
    return None if child.returncode == 0 else "no network namespaces"


def run(number, t, why):
    """What there is to print of one test, and whether it failed."""
    name, begin = t.__name__, time.monotonic()
    if why:
        return f"ok {number} - {name} # SKIP {why}\n", False
    try:
        t()
        said, failed = f"ok {number} - {name}\n", False
    except Skip as e:
        said, failed = f"ok {number} - {name} # SKIP {e}\n", False
    except Exception as e:  # pylint: disable=broad-except
        told = f"{type(e).__name__}: {str(e)[:2000]}".replace("\n", "\n# ")
        said, failed = f"# {told}\nnot ok {number} - {name}\n", True
    return f"{said}# {time.monotonic() - begin:.1f} s\n", failed


def main():
    """They mostly wait: so some at a time."""
    wanted = sys.argv[1:]
    tests = [t for t in TESTS if not wanted or t.__name__ in wanted]
    why = needs()
    print(f"1..{len(tests)}")
    failures = 0
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(run, i, t, why) for i, t in enumerate(tests, 1)]:
            text, failed = done.result()
            print(text, end="", flush=True)
            failures += failed
    return failures > 0


sys.exit(main())
