# SPDX-License-Identifier: BSD-2-Clause
"""Programs under Shunt, on a shuntd and a config of the test's own."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LANE = os.environ.get("SHUNT_TEST_LANE", "shm")
CONFIG = f'rules = ( {{ name = "all"; lanes = [ "{LANE}" ]; after_bytes = 0; after_ms = 0; }} );\n'
# A program that starts with these would not run as it does without Shunt.
OURS = ("LD_PRELOAD", "SHUNT_SOCKET", "SHUNT_CONFIG", "SHUNT_PROFILE", "SHUNT_LOG")


def build_dir():
    return Path(os.environ.get("top_builddir") or Path(__file__).resolve().parents[2] / "build")


def plain_env():
    return {name: value for name, value in os.environ.items() if name not in OURS}


def as_user(user):
    """What subprocess needs to be another user; none: the caller."""
    return {"user": user, "group": user, "extra_groups": []} if user else {}


def _cut_off(*_):
    """Leaves all blocks, and so nothing behind; timeout(1) sends its signal twice."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(143)


signal.signal(signal.SIGTERM, _cut_off)


class Shunt:
    """with Shunt() as shunt: a shuntd that ends with the block, and what runs under it."""

    def __init__(self, config=CONFIG, user=None):
        """user: another user, for root to run shuntd as."""
        self.user = user
        self.dir = tempfile.TemporaryDirectory(prefix="shunt-test.")
        self.config = Path(self.dir.name) / "shunt.conf"
        self.config.write_text(config)
        self.socket = Path(self.dir.name) / "shuntd.sock"
        self.daemon = None
        os.chmod(self.dir.name, 0o755)
        if user:
            shutil.chown(self.dir.name, user, user)

    def start(self):
        command = [build_dir() / "shuntd", "--socket", self.socket, "-c", self.config]
        self.daemon = subprocess.Popen(command, env=plain_env(), stdin=subprocess.DEVNULL,
                                       **as_user(self.user))
        for _ in range(500):
            if self.socket.exists() or self.daemon.poll() is not None:
                break
            time.sleep(0.01)
        if not self.socket.exists():
            raise RuntimeError("shuntd did not start")

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.daemon.terminate()
        self.daemon.wait()
        self.dir.cleanup()

    def env(self):
        return {**plain_env(), "SHUNT_SOCKET": str(self.socket)}

    def command(self, command):
        return [build_dir() / "shunt", "run", "-c", self.config, "--", *command]

    def stat(self):
        """What `shunt stat --json` says now: {"connections": [...], "shuntd": {...}}."""
        command = [build_dir() / "shunt", "stat", "--json"]
        return json.loads(subprocess.run(command, env=self.env(), check=True, timeout=20,
                                         stdout=subprocess.PIPE, **as_user(self.user)).stdout)

    def channels_made(self):
        return self.stat()["shuntd"]["matches_total"]


class Tap:
    """TAP on stdout: as many as it turns out, with the plan at the end."""

    def __init__(self):
        self.count = 0
        self.failed = 0

    def note(self, text):
        for line in str(text).splitlines():
            print("#", line, flush=True)

    def ok(self, good, name):
        self.count += 1
        self.failed += not good
        print("ok" if good else "not ok", self.count, "-", name, flush=True)
        return good

    def skip(self, name, reason):
        self.count += 1
        print("ok", self.count, "-", name, "# SKIP", reason, flush=True)

    def end(self):
        print(f"1..{self.count}", flush=True)
        sys.exit(self.failed > 0)
