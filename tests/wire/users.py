#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Programs of two ordinary users on Shunt's own TCP, by a shuntd of root's: who may do what, and whom
the end of a keeper harms."""
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import rig
from shunted import as_user

# one that every user may execute: that of a version manager may be in root's home
PYTHON = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
ACTOR = [PYTHON, os.path.join(os.path.dirname(os.path.abspath(__file__)), "actor.py")]
USERS = (65534, 1)
# as in capabilities(7): NET_ADMIN, NET_RAW, IPC_LOCK, BPF; SETGID, SETUID, SYS_PTRACE
SHUNTD_MAY = sum(1 << bit for bit in (12, 13, 14, 39))
AIDE_MAY = sum(1 << bit for bit in (6, 7, 19))
PORTS = iter(range(27000, 27100))
DEADLINE_S = 30  # of the rule: longer than anything takes that does not wait for it


class User:
    """What one user runs under Shunt."""

    def __init__(self, shunt, uid):
        self.shunt = shunt
        self.uid = uid
        self.running = []

    def start(self, *words):
        process = subprocess.Popen(
            [str(word) for word in self.shunt.command([*ACTOR, *words])], env=self.shunt.env(),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, cwd="/", **as_user(self.uid))
        self.running.append(process)
        return process, process.stdout.readline().strip()

    def ask(self, *words):
        process, said = self.start(*words)
        process.wait(30)
        return said

    def end(self):
        for process in self.running:
            process.kill()
            process.wait()
        self.running = []


def keeper_of(uid):
    return [pid for pid in rig.processes("shuntd-keeper")
            if int(rig.status(pid)["Uid"].split()[0]) == uid]


def arenas(pid):
    """Inodes of the stacks' memory that the process maps."""
    return set(re.findall(r" (\d+) +/memfd:shunt-stack", Path(f"/proc/{pid}/maps").read_text()))


def start_peer(role, port):
    process = subprocess.Popen([*rig.IN_PEER, *ACTOR, role, rig.PEER, str(port)],
                               env=rig.plain_env(), stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    return process


def ask_plain(port):
    """What the other host gets of a server of ours."""
    done = subprocess.run([*rig.IN_PEER, *ACTOR, "client", rig.HERE, str(port), "1,100000"],
                          env=rig.plain_env(), stdout=subprocess.PIPE, text=True, timeout=60,
                          check=False)
    return done.stdout.strip()


def working(tap, users, echo):
    for user in users:
        said = user.ask("client", rig.PEER, echo, "1,1000,300000")
        tap.ok(said == "good tcp", f"uid {user.uid} connects") or tap.note(said)
        port = next(PORTS)
        user.start("serve-echo", rig.HERE, port)
        said = ask_plain(port)
        tap.ok(said == "good plain", f"uid {user.uid} listens") or tap.note(said)


def bounds(tap, shunt):
    aides = rig.processes("shuntd-aide")
    for name, pid, allowed in (("shuntd", shunt.daemon.pid, SHUNTD_MAY),
                               ("its aide", aides[0], AIDE_MAY)):
        s = rig.status(pid)
        may = {int(s[kind], 16) & ~allowed for kind in ("CapPrm", "CapEff", "CapInh", "CapBnd")}
        tap.ok(may == {0} and s["NoNewPrivs"] == "1" and len(aides) == 1,
               f"{name} has dropped what it does not need") or tap.note(s)
    good = True
    for uid in USERS:
        for pid in keeper_of(uid):
            s = rig.status(pid)
            good &= {int(s[kind], 16) for kind in ("CapPrm", "CapEff", "CapInh", "CapAmb")} == {0}
            good &= s["NoNewPrivs"] == "1" and s["Seccomp"] == "2" and not s["Groups"].split()
            good &= set(s["Uid"].split()) == {str(uid)} and "0" not in s["Gid"].split()
        good &= len(keeper_of(uid)) == 1
    tap.ok(good, "each user has a keeper with that user's identity, and no capability")


def killing(tap, users, echo):
    one, other = users
    mine, said = one.start("client-hold", rig.PEER, echo)
    theirs, said2 = other.start("client-hold", rig.PEER, echo)
    tap.ok(said == said2 == "connected tcp", "both hold a connection") or tap.note(said + said2)
    seen = [arenas(process.pid) for process in (mine, theirs)]
    tap.ok(all(len(s) == 1 for s in seen) and not seen[0] & seen[1],
           "no memory of a stack is shared between users") or tap.note(seen)
    os.kill(keeper_of(one.uid)[0], signal.SIGKILL)
    line = mine.stdout.readline().strip()
    tap.ok(line == "error 104", "a keeper killed: its connections end with ECONNRESET") \
        or tap.note(line)
    said = other.ask("client", rig.PEER, echo, "1,100000")
    tap.ok(theirs.poll() is None and said == "good tcp", "another user's go on") or tap.note(said)
    said = one.ask("client", rig.PEER, echo, "1,100000")
    tap.ok(said == "good tcp", "and that user gets another stack") or tap.note(said)


def stopping(tap, users, echo):
    one, other = users
    keeper = keeper_of(one.uid)[0]
    os.kill(keeper, signal.SIGSTOP)
    start = time.monotonic()
    said = one.ask("client", rig.PEER, echo, "1,1000")
    tap.ok(said.startswith("good kernel"), "a keeper stopped: the kernel connects") or tap.note(said)
    said = one.ask("client-async-connect", rig.PEER, echo)
    tap.ok("kernel" in said, "and where connect() does not block") or tap.note(said)
    port = next(PORTS)
    one.start("serve-echo", rig.HERE, port)
    tap.ok(ask_plain(port) == "good plain", "the kernel listens")
    took = time.monotonic() - start
    tap.ok(took < DEADLINE_S, "nobody waits for the keeper") or tap.note(f"{took:.1f} s")
    said = other.ask("client", rig.PEER, echo, "1,100000")
    tap.ok(said == "good tcp", "another user does not notice") or tap.note(said)
    os.kill(keeper, signal.SIGCONT)
    said = one.ask("client", rig.PEER, echo, "1,1000")
    tap.ok(said == "good tcp", "and goes on when it does") or tap.note(said)


def gone(tap, shunt):
    shunt.daemon.kill()
    for _ in range(100):
        left = rig.processes("shuntd-keeper") + rig.processes("shuntd-aide")
        if not left:
            break
        time.sleep(0.1)
    tap.ok(not left, "shuntd killed: neither keeper nor aide is left")


def may_run(uid):
    for command in ([rig.build_dir() / "shunt", "--version"], [*ACTOR, "nothing", "", "0"]):
        if subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/",
                          check=False, **as_user(uid)).returncode:
            return False
    return True


def main():
    rig.enter()
    tap = rig.Tap()
    try:
        readable = all(may_run(uid) for uid in USERS)
    except PermissionError:
        readable = False
    if not readable:
        print("1..0 # SKIP other users cannot read the build directory")
        return
    with rig.Shunt(rig.WIRE.replace("20000", str(1000 * DEADLINE_S))) as shunt:
        users = [User(shunt, uid) for uid in USERS]
        echo = next(PORTS)
        peer = start_peer("serve-echo", echo)
        working(tap, users, echo)
        bounds(tap, shunt)
        for part in (killing, stopping):
            part(tap, users, echo)
        gone(tap, shunt)
        for user in users:
            user.end()
        peer.kill()
        peer.wait()
    tap.end()


main()
