# SPDX-License-Identifier: BSD-2-Clause
"""Words that the tests inside a guest of ./dev vm share."""
import os
import re
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "common"))
from shunted import Tap  # noqa: E402, F401

HOST, ADDR, PEER = (os.environ.get(name) for name in ("VM_HOST", "VM_ADDR", "VM_PEER"))
ADDR6, PEER6 = os.environ.get("VM_ADDR6"), os.environ.get("VM_PEER6")
# Everything is emulated, and other work may have the machine's cores.
PATIENCE_S = 60


def run(*command, seconds=PATIENCE_S, **more):
    """(exit status, stdout and stderr) of a command; -1 when it took too long."""
    command = [str(word) for word in command]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=seconds, check=False, **more)
    except subprocess.TimeoutExpired as late:
        return -1, (late.stdout or b"").decode(errors="replace")
    return done.returncode, done.stdout.decode(errors="replace")


def on_peer(*command, **more):
    """run(), on the other guest."""
    return run("vmctl", "run", *command, **more)


def start(*command, output=subprocess.DEVNULL, **more):
    """Starts a command and goes on."""
    return subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=output,
                            stderr=output, **more)


def within(good, seconds=PATIENCE_S):
    """Whether something becomes so in time."""
    end = time.monotonic() + seconds
    while not good():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def pings(address):
    return run("busybox", "ping", "-c", "1", "-W", "1", address)[0] == 0


def flow_result(text):
    """What a side of flow.py has said: (bytes sent, bytes received, how it ended); None: nothing."""
    found = re.search(r"sent (\d+) received (\d+) (\w+)", text or "")
    return found and (int(found[1]), int(found[2]), found[3])


def is_exact(results):
    """Has each side of flow.py got all that the other has sent, each byte once?"""
    one, other = results
    return bool(one and other) and one[2] == other[2] == "same" and one[:2] == other[1::-1] and one[0] > 0


def retried(attempt, seconds=PATIENCE_S):
    """The output of a client whose server may need its time, once it ends well; None when it never does."""
    found = []

    def ended_well():
        status, text = attempt()
        found.append(text)
        return status == 0

    return found[-1] if within(ended_well, seconds) else None
