# SPDX-License-Identifier: BSD-2-Clause
"""The machine: quiet processes on their own core, one measurement at a time, and what it is."""
import fcntl
import functools
import os
import platform
import re
import signal
import subprocess
import time
from pathlib import Path

LOCK = os.environ.get("SHUNT_BENCH_LOCK", "/tmp/shunt-bench.lock")


def take_lock():
    """Waits until nobody else measures here. The descriptor is not inherited by what we start."""
    lock = open(LOCK, "w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def _be_quiet(cpus):
    """In the child: own cores, and first among the sessions (a plain nice does not reach across
    sessions where sched_autogroup is on)."""
    os.sched_setaffinity(0, cpus)
    try:
        Path("/proc/self/autogroup").write_text("-20")
    except OSError:
        pass  # not root, or no autogroups: noisier, and still in turn


class Program:
    """A program in a session of its own, ended with everything it started."""

    def __init__(self, command, cpus, log, env=None, cwd=None):
        self.command = [str(word) for word in command]
        self.log = log
        self.process = subprocess.Popen(
            self.command, start_new_session=True, preexec_fn=lambda: _be_quiet(cpus), cwd=cwd,
            env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._signal(signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            pass
        self._signal(signal.SIGKILL)
        self.process.wait()

    def _signal(self, number):
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass

    def wait_for_port(self, port, seconds=10):
        """Until somebody listens there. Looks at the kernel's table: a trial connection would be
        the one that iperf3 -1 serves."""
        self._wait_until(lambda: port in listening(), seconds, f"listen on {port}")

    def wait_for_file(self, path, seconds=10):
        self._wait_until(path.exists, seconds, f"make {path}")

    def _wait_until(self, there, seconds, what):
        for _ in range(int(seconds / 0.02)):
            if there():
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise RuntimeError(f"{' '.join(self.command)}: did not {what}; {tail(self.log)}")


def tail(log):
    """The last words of a log, for a message."""
    log.flush()
    return " / ".join(Path(log.name).read_text(errors="replace").strip().splitlines()[-3:])


def run(command, cpus, log, seconds, env=None):
    """Runs a client to its end and returns its standard output and error."""
    mark = os.path.getsize(log.name)
    with Program(command, cpus, log, env) as program:
        try:
            status = program.process.wait(seconds)
        except subprocess.TimeoutExpired:
            status = f"still running after {seconds} s"
    output = Path(log.name).read_text(errors="replace")[mark:]
    if status:
        raise RuntimeError(f"{' '.join(program.command)}: {status}; {tail(log)}")
    return output


def listening():
    """Local TCP ports in LISTEN."""
    ports = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A":
                ports.add(int(words[1].split(":")[1], 16))
    return ports


def _git(top, *words):
    done = subprocess.run(["git", "-C", top, *words], capture_output=True, text=True, check=False)
    return done.stdout.strip()


@functools.cache
def describe(top):
    """What a stored figure must say about where it was measured; the tree as it was at the first
    question."""
    cpu = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    return {
        "commit": _git(top, "rev-parse", "--short", "HEAD") or "unknown",
        "modified": bool(_git(top, "status", "--porcelain", "--untracked-files=no")),
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {
            "cpu": cpu[1] if cpu else platform.machine(),
            "cores": os.cpu_count(),
            "kernel": platform.release(),
            "congestion_control": Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip(),
        },
    }
