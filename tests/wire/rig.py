# SPDX-License-Identifier: BSD-2-Clause
"""Two hosts for tests of the tcp carrier: this process's own namespaces, and a network namespace
"peer" at the other end of a veth pair. All of it goes with the last process of the test."""
import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "common"))
from shunted import Shunt, Tap, build_dir, plain_env  # noqa: E402,F401

HERE, PEER = "10.28.0.1", "10.28.0.2"
HERE6, PEER6 = "fd28::1", "fd28::2"
# a second is not enough for shuntd and its keeper on a machine that is busy enough
WIRE = ('rules = ( { name = "wire"; lanes = [ "tcp" ]; after_bytes = 0; after_ms = 0; '
        "deadline_ms = 20000; } );\n")
IN_PEER = ["ip", "netns", "exec", "peer"]


def obstacle():
    if os.geteuid():
        return "only root makes network namespaces"
    for tool in ("ip", "unshare", "mount"):
        if not shutil.which(tool):
            return f"there is no {tool}"
    return None


def run(*words):
    subprocess.run([str(word) for word in words], check=True)


def join_peer():
    """The calling thread is on the other host from now on."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open("/run/netns/peer", os.O_RDONLY)
    if libc.setns(fd, 0x40000000):  # CLONE_NEWNET
        raise OSError(ctypes.get_errno(), "setns")
    os.close(fd)


def cable():
    """The two hosts' link, with addresses."""
    run("ip", "link", "add", "wire0", "type", "veth", "peer", "name", "wire1", "netns", "peer")
    for where, link, v4, v6 in (([], "wire0", HERE, HERE6), (["-n", "peer"], "wire1", PEER, PEER6)):
        run("ip", *where, "address", "add", f"{v4}/24", "dev", link)
        run("ip", *where, "address", "add", f"{v6}/64", "dev", link, "nodad")
        run("ip", *where, "link", "set", link, "up")


def enter():
    """Goes on in namespaces of its own, with a peer; or skips the test."""
    why = obstacle()
    if why:
        print(f"1..0 # SKIP {why}")
        sys.exit(0)
    if os.environ.get("WIRE_RIG") != "inside":
        os.environ["WIRE_RIG"] = "inside"
        os.execvp("unshare", ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child",
                              "--mount-proc", sys.executable, *sys.argv])
    run("mount", "--make-rprivate", "/")
    os.makedirs("/run/netns", exist_ok=True)
    run("mount", "-t", "tmpfs", "tmpfs", "/run/netns")
    run("mount", "-t", "tmpfs", "tmpfs", "/mnt")  # what a killed test leaves goes with the rest
    os.environ["TMPDIR"] = "/mnt"
    run("ip", "link", "set", "lo", "up")
    run("ip", "netns", "add", "peer")
    run("ip", "-n", "peer", "link", "set", "lo", "up")
    cable()


def processes(name):
    """Ids of those called so that live."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "comm").read_text().strip() == name \
                    and status(entry.name)["State"][0] != "Z":
                found.append(int(entry.name))
        except (OSError, KeyError):
            pass  # it has ended
    return found


def status(pid):
    """The lines of /proc/PID/status."""
    return dict(line.split(":\t", 1) for line in
                Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)


# as a command: runs another one in there
if __name__ == "__main__":
    enter()
    os.execvp(sys.argv[1], sys.argv[1:])
