# SPDX-License-Identifier: BSD-2-Clause
"""One QEMU process. Every door to it is a socket pair that only the two processes have, so there is no
port to collide and no file to leave behind; it dies with the thread that started it, however that ends."""
import asyncio
import ctypes
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PR_SET_PDEATHSIG = 1
# The doors: QEMU's monitor, the console, and virtio ports of these names in the guest.
VIRTIO_PORTS = ("control", "stdout", "stderr", "ctl")
LAST_WORDS_BYTES = 4000
libc = ctypes.CDLL(None)


class GuestDied(Exception):
    pass


def _begin(first):
    """In the child: dies with its parent, and first comes before the other sessions of this machine (a plain
    nice does not reach across sessions where sched_autogroup is on)."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if not first:
        return
    try:
        Path("/proc/self/autogroup").write_text("-20")
    except OSError:
        pass  # not root, or no autogroups


def _command(folder, memory_mib, doors, nics, host):
    command = [
        "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max,-erms,-fsrm", "-smp", "2", "-m", str(memory_mib),
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-kernel", folder / "vmlinuz", "-initrd", folder / "initrd",
        "-append", f"console=ttyS0 panic=-1 oops=panic quiet mitigations=off -- {HERE / 'guest'}",
        "-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap",
        "-serial", "chardev:console", "-mon", "chardev=monitor,mode=control", "-device", "virtio-serial-pci",
    ]
    for name, door in doors.items():
        command += ["-chardev", f"socket,id={name},fd={door.fileno()}"]
        if name in VIRTIO_PORTS:
            command += ["-device", f"virtserialport,chardev={name},name={name}"]
    for number, (name, wire) in enumerate(nics.items(), 1):
        command += ["-netdev", f"socket,id={name}-wire,fd={wire.fileno()}",
                    "-device", f"virtio-net-pci,netdev={name}-wire,id={name},mac=52:54:00:31:{number:02x}:0{host}"]
    return [str(word) for word in command]


class Guest:
    def __init__(self, host, folder, memory_mib, nics, first):
        """nics: {name: this guest's end of the cable}, closed here once QEMU has it. first: see _begin()."""
        self.host = host
        self.sockets, theirs = {}, {}
        for name in ("monitor", "console", *VIRTIO_PORTS):
            self.sockets[name], theirs[name] = socket.socketpair()
        ends = [*theirs.values(), *nics.values()]
        self.process = subprocess.Popen(
            _command(folder, memory_mib, theirs, nics, host), stdin=subprocess.DEVNULL, stdout=sys.stderr,
            pass_fds=[end.fileno() for end in ends], preexec_fn=lambda: _begin(first), start_new_session=True)
        for end in ends:
            end.close()
        self.readers, self.writers, self.tasks = {}, {}, []
        self.console = b""

    @staticmethod
    def start_all(hosts, folder, memory_mib, first):
        """{host: guest}; two are joined by a cable under test and one beside it."""
        nics = {host: {} for host in hosts}
        if len(hosts) == 2:
            for name in ("wire", "side"):
                for host, end in zip(hosts, socket.socketpair()):
                    nics[host][name] = end
        return {host: Guest(host, folder, memory_mib, nics[host], first) for host in hosts}

    async def attach(self, guests):
        """Opens the doors; guests: all of them, for what this one asks to be done."""
        for name, end in self.sockets.items():
            self.readers[name], self.writers[name] = await asyncio.open_connection(sock=end)
        await self.readers["monitor"].readline()  # the greeting
        await self.monitor("qmp_capabilities")
        self.tasks = [asyncio.create_task(work) for work in (
            self._keep_console(), self._pass_on("stdout", sys.stdout), self._pass_on("stderr", sys.stderr),
            self._serve_ctl(guests))]

    async def monitor(self, command, **arguments):
        """One command of QMP; returns the error's words, or None."""
        self.writers["monitor"].write(json.dumps({"execute": command, "arguments": arguments}).encode())
        while True:
            answer = json.loads(await self._line("monitor"))
            if "error" in answer:
                return answer["error"]["desc"]
            if "return" in answer:
                return None

    async def _line(self, door):
        try:
            line = await self.readers[door].readline()
        except ConnectionError:
            line = b""
        if not line:
            raise GuestDied(f"host {self.host} is gone")
        return line

    async def _keep_console(self):
        while data := await self.readers["console"].read(4096):
            self.console = (self.console + data)[-LAST_WORDS_BYTES:]

    async def _pass_on(self, door, target):
        """The command's output goes through as it comes; host b's lines are marked on stderr."""
        target = target if self.host == "a" else sys.stderr
        mark = b"" if self.host == "a" else b"b| "
        while data := await (self.readers[door].readline() if mark else self.readers[door].read(65536)):
            target.buffer.write(mark + data)
            target.buffer.flush()

    async def _serve_ctl(self, guests):
        while line := await self.readers["ctl"].readline():
            answer = await _done(line.decode().split(), guests)
            self.writers["ctl"].write(f"{answer}\n".encode())

    async def _told(self, word):
        """The value that the guest says for a word."""
        said = json.loads(await self._line("control"))
        if word not in said:
            raise GuestDied(f"host {self.host}: {said['error'].strip()}")
        return said[word]

    async def up(self):
        await self._told("booted")

    async def order(self, order):
        self.writers["control"].write(json.dumps(order).encode() + b"\n")
        await self.writers["control"].drain()

    async def is_set_up(self):
        await self._told("ready")

    async def status(self):
        return await self._told("status")

    def power_off(self):
        self.process.kill()

    def last_words(self):
        text = self.console.decode(errors="replace").replace("\r", "")
        return "\n".join(f"    {self.host} | {line}" for line in text.splitlines()[-30:])

    async def end(self):
        """QEMU is gone, and what the guest had said has come out."""
        self.process.kill()
        self.process.wait()
        await asyncio.wait_for(asyncio.gather(*self.tasks, return_exceptions=True), 5)


async def _done(words, guests):
    """Does what vmctl asked for; returns its answer."""
    host = guests.get(words[-1])
    if not host:
        return f"no host {words[-1]}"
    if words[0] == "off":
        host.power_off()
        return "ok"
    return await host.monitor("set_link", name="wire", up=words[1] == "on") or "ok"
