#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""One guest: unmodified programs whose connections are on lane rdma, and what becomes of them when the
device goes and when the peer is killed."""
import signal
import subprocess
from pathlib import Path

import guest
from shunted import Shunt, build_dir

CONFIG = 'rules = ( { name = "all"; lanes = [ "rdma" ]; after_bytes = 1; after_ms = 0; } );\n'
FLOW = Path(__file__).resolve().parent / "flow.py"
PORT = 26100
MIB = 1 << 20  # without end: they are told to end


def lanes(shunt, program):
    return [(c["lane_tx"], c["lane_rx"]) for c in shunt.stat()["connections"]
            if c["program"].startswith(program)]


def start(shunt, *command):
    return subprocess.Popen([str(word) for word in shunt.command(command)], env=shunt.env(), text=True,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)


def all_are(shunt, program, lane, how_many=2):
    found = lanes(shunt, program)
    return len(found) == how_many and all(one == (lane, lane) for one in found)


def flows(shunt, port):
    return [start(shunt, "python3", FLOW, role, guest.PEER, port, MIB)
            for role in ("server", "client")]


def results(both):
    for one in both:
        one.send_signal(signal.SIGUSR1)
    return [guest.flow_result(one.communicate(timeout=120)[0]) for one in both]


def redis(tap, shunt):
    server = start(shunt, "redis-server", "--bind", guest.PEER, "--port", PORT, "--save", "",
                   "--protected-mode", "no", "--logfile", "/dev/null")
    client = ["redis-cli", "-h", guest.PEER, "-p", PORT]
    tap.ok(guest.retried(lambda: guest.run(*client, "ping")), "redis answers")
    talk = start(shunt, *client, "-r", 1000000, "-i", 0.02, "incr", "n")
    tap.ok(guest.within(lambda: all_are(shunt, "redis", "rdma")), "redis and its client are on lane rdma")
    talk.send_signal(signal.SIGTERM)
    answers = [int(word) for word in talk.communicate(timeout=30)[0].split()]
    tap.ok(answers == list(range(1, len(answers) + 1)), "every answer is the right one")
    server.kill()
    server.wait()


def device_goes(tap, shunt):
    both = flows(shunt, PORT + 1)
    tap.ok(guest.within(lambda: all_are(shunt, "python3", "rdma")), "a transfer moves to lane rdma")
    delete = guest.start("rdma", "link", "delete", "rxe1")
    tap.ok(guest.within(lambda: all_are(shunt, "python3", "kernel")),
           "the device is removed: it goes on by TCP")
    # which does not return before the last process has let go of the device
    tap.ok(guest.within(lambda: delete.poll() == 0), "no process holds the device")
    guest.run("rdma", "link", "add", "rxe1", "type", "rxe", "netdev", "vb")
    tap.ok(guest.within(lambda: all_are(shunt, "python3", "rdma")), "it is back: so are they, on lane rdma")
    tap.ok(guest.is_exact(results(both)), "every byte came once, both ways")


def explained(tap, shunt):
    """The other end is this host's, too: no agent has to be asked."""
    text = guest.run(build_dir() / "shunt", "explain", "connect", "--program", "x", "-c", shunt.config,
                     "--local", guest.ADDR, "--remote", f"{guest.PEER}:80", env=shunt.env())[1]
    tap.ok("rdma   can be used now" in text and "agent.peers" not in text, "shunt explain: the lane can be used")


def peer_dies(tap, shunt):
    server, client = flows(shunt, PORT + 2)
    tap.ok(guest.within(lambda: all_are(shunt, "python3", "rdma")), "another transfer moves to lane rdma")
    server.kill()
    server.wait()
    said = client.communicate(timeout=30)[0].strip()
    tap.ok(said.split()[-1] in ("ConnectionResetError", "BrokenPipeError"),
           f"the peer is killed: an error, not an end ({said})")


def main():
    tap = guest.Tap()
    with Shunt(CONFIG) as shunt:
        for part in (explained, redis, device_goes, peer_dies):
            part(tap, shunt)
    tap.end()


main()
