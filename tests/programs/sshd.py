#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""OpenSSH: a program and a process a connection, of which the first lives under a seccomp filter."""
import os
import subprocess

import live

SSHD = "/usr/sbin/sshd"  # it executes itself, and wants to be called by its path


def make_key(path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)


def configure(work, host, port):
    """(sshd's command line, ssh's) for a server of one's own in the folder work."""
    for key in ("host", "user"):
        make_key(work / key)
    os.makedirs("/run/sshd", exist_ok=True)  # sshd's, and wanted even where it is root's own
    (work / "sshd_config").write_text(
        f"ListenAddress {host}:{port}\nHostKey {work}/host\nAuthorizedKeysFile {work}/user.pub\n"
        f"PidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin yes\n"
        "Subsystem sftp internal-sftp\n")
    options = ["-F", "none", "-i", f"{work}/user", "-o", "StrictHostKeyChecking=no",
               "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"]
    return ([SSHD, "-D", "-e", "-f", f"{work}/sshd_config"],
            ["ssh", *options, "-p", str(port), f"root@{host}"])


def body(way):
    data = live.some_bytes(3 << 20)
    port = live.free_port()
    server, client = configure(way.dir, live.HOST, port)
    way.start(server, port)
    for _ in range(2):
        way.ok(way.run([*client, "cat"], data) == data, "ssh gives back what it gets")
    said = way.run([*client, "echo $SSH_CONNECTION"]).split()
    way.ok(len(said) == 4 and said[2:] == [live.HOST.encode(), str(port).encode()],
           "sshd knows both names of the connection")


if __name__ == "__main__":
    # the connection is sshd's standard input before anything else
    live.both_ways(body, ["sshd", "ssh", "ssh-keygen"], moves=False)
