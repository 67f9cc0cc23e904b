# SPDX-License-Identifier: BSD-2-Clause
"""Two hosts with a shuntd each, for tests in two guests of ./dev vm. Both guests are served by the same
means (tests/vm/remote.py), by way of a link that is not under test."""
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import guest

sys.path.insert(0, str(guest.HERE.parent / "vm"))
import remote  # noqa: E402
from shunted import build_dir, plain_env  # noqa: E402

SIDES = {guest.HOST: os.environ.get("VM_SIDE_ADDR"),
         {"a": "b", "b": "a"}.get(guest.HOST): os.environ.get("VM_SIDE_PEER")}
ADDRESSES = {"a": guest.ADDR, "b": guest.PEER}  # tests run on host a
DIR = "/tmp/shunt-hosts"
PEERS = '[ "10.31.0.0/24", "[fd31::/64]" ]'
RULES = 'rules = ( { name = "all"; lanes = [ "rdma" ]; after_bytes = 1; after_ms = 0; } );\n'


class Command:
    """A command on a host. It is killed, with its children, when this process ends."""

    def __init__(self, host, *words, env=None):
        self.words = [str(word) for word in words]
        self.status, self.output = None, b""
        self.connection = remote.order((SIDES[host], remote.PORT), self.words, {**plain_env(), **(env or {})})
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        stream = self.connection.makefile("rb")
        try:
            while head := stream.read(remote.HEAD.size):
                kind, length = remote.HEAD.unpack(head)
                data = stream.read(length)
                if kind == remote.STATUS:
                    self.status = int(data)
                    return
                self.output += data
        except OSError:
            pass
        self.status = 125  # the guest is gone

    def text(self):
        return self.output.decode(errors="replace").strip()

    def signal(self, number):
        self.connection.sendall(bytes([number]))

    def kill(self):
        """SIGKILL, and waits for the end."""
        self.signal(signal.SIGKILL)
        self.reader.join(guest.PATIENCE_S)

    def wait(self, seconds=guest.PATIENCE_S):
        """Its output when it has ended; None: it has not."""
        self.reader.join(seconds)
        return None if self.status is None else self.text()


class Host:
    def __init__(self, name):
        self.name, self.address, self.daemon = name, ADDRESSES[name], None
        self.env = {"SHUNT_SOCKET": f"{DIR}/shuntd.sock"}

    def run(self, *words, seconds=guest.PATIENCE_S):
        """What a command says; None when it takes too long."""
        return Command(self.name, *words, env=self.env).wait(seconds)

    def configure(self, rules=RULES, **agent):
        agent = {"peers": PEERS, "absent_s": 1, **agent}
        text = rules + "agent = { " + " ".join(f"{k} = {v};" for k, v in agent.items()) + " };\n"
        self.put("shunt.conf", text)

    def put(self, name, text):
        self.run("sh", "-c", 'umask 077 && mkdir -p "$1" && printf %s "$2" >"$1/$3"', "sh", DIR, text, name)

    def start_daemon(self):
        self.daemon = Command(self.name, build_dir() / "shuntd", "-v", "--socket", self.env["SHUNT_SOCKET"],
                              "-c", f"{DIR}/shunt.conf", env=self.env)
        if not guest.within(lambda: "listens on" in self.daemon.text()):
            raise RuntimeError(f"shuntd of {self.name}: {self.daemon.text()}")

    def kill_daemon(self):
        self.daemon.kill()
        self.run("rm", "-f", self.env["SHUNT_SOCKET"])

    def program(self, *words):
        """Starts a program under Shunt."""
        return Command(self.name, build_dir() / "shunt", "run", "-v", "-c", f"{DIR}/shunt.conf", "--", *words,
                       env=self.env)

    def connections(self, program):
        """What `shunt stat` tells of a program's connections; none where it tells nothing."""
        try:
            said = json.loads(self.run(build_dir() / "shunt", "stat", "--json") or "{}")
        except json.JSONDecodeError:
            return []
        return [one for one in said.get("connections", []) if one["program"].startswith(program)]

    def lanes(self, program):
        return [(one["lane_tx"], one["lane_rx"]) for one in self.connections(program)]


class Pair:
    """with Pair() as pair: two hosts with shuntds that may speak to each other."""

    def __init__(self, a=None, b=None, keys=None):
        """a, b: settings of each agent; keys: the secret of each."""
        self.hosts = self.a, self.b = Host("a"), Host("b")
        for host, own, key in zip(self.hosts, (a or {}, b or {}), keys or (None, None)):
            if key:
                host.put("key", key)
                own = {**own, "key_file": f'"{DIR}/key"'}
            host.configure(**own)

    def __enter__(self):
        for host in self.hosts:
            host.start_daemon()
        return self

    def __exit__(self, *_):
        for host in self.hosts:
            if host.daemon.status is None:
                host.kill_daemon()

    def all_on(self, lane, program, hosts=None, seconds=guest.PATIENCE_S):
        """Whether the program's only connection on each host comes to be on lane, both ways."""
        return guest.within(lambda: all(host.lanes(program) == [(lane, lane)] for host in hosts or self.hosts),
                            seconds)


class Flow:
    """A transfer both ways at once (flow.py): its server on b, its client on a."""
    PORT = 25100

    def __init__(self, pair, mib=1 << 20):
        Flow.PORT += 1
        self.pair = pair
        script = Path(__file__).resolve().parent / "flow.py"
        self.ends = [host.program("python3", script, role, pair.b.address, Flow.PORT, mib)
                     for host, role in zip(pair.hosts, ("client", "server"))]

    def moves_to(self, lane, **more):
        return self.pair.all_on(lane, "python3", **more)

    def end(self, seconds=guest.PATIENCE_S):
        """Has both sides end when they like; what each of them says, None where it never does."""
        for one in self.ends:
            if one.status is None:
                one.signal(signal.SIGUSR1)
        return self.results(seconds)

    def results(self, seconds=guest.PATIENCE_S):
        deadline = time.monotonic() + seconds
        return [self.result(one, max(deadline - time.monotonic(), 0)) for one in self.ends]

    @staticmethod
    def result(one, seconds=guest.PATIENCE_S):
        """As guest.flow_result; None when it has not ended in time."""
        return guest.flow_result(one.wait(seconds))

    def kill(self):
        for one in self.ends:
            one.kill()


ERRORS = ("ConnectionResetError", "BrokenPipeError", "TimeoutError")
