#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Holds shim/table.h against what the library exports, what this machine's libc exports, and what
programs import, so that no function that can touch a socket is forgotten. Speaks TAP.

  table.py            the test
  table.py --doc      docs/shim-table.md to stdout
"""
import os
import re
import shutil
import subprocess
import sys

TOP = os.environ.get("top_srcdir") or os.path.abspath(os.path.dirname(__file__) + "/../..")
BUILD = os.environ.get("top_builddir") or TOP + "/build"
ROOMS = ["base", "chan", "cm", "lane", "policy", "sock"]

# Names of functions that can touch a socket, whatever prefix and suffix libc gives them.
STEMS = r"""
    socket|socketpair|bind|bindresvport|listen|accept4?|connect|shutdown|close|close_range|closefrom|
    dup[23]?|fcntl|ioctl|getsockname|getpeername|[gs]etsockopt|p?readv?|p?writev?|recv|recvfrom|
    recvmsg|recvmmsg|send|sendto|sendmsg|sendmmsg|sendfile|splice|tee|vmsplice|p?poll|p?select|
    epoll_\w+?|fdopen|fclose|fcloseall|freopen|v?dprintf|v?fork|Fork|clone|execl[ep]?|execvp?e?|
    execveat|fexecve|posix_spawnp?|posix_spawn_file_actions_add(close|closefrom_np|dup2|open)|
    system|popen|exit|Exit|syscall|sigaction|(bsd_|sysv_|s)?signal|siginterrupt|sigset|sigsuspend|
    (xpg_)?sigpause|sigsetmask|aio_read|aio_write|lio_listio|pidfd_getfd|sockatmark|isfdtype|daemon|
    forkpty|copy_file_range|prctl|[gs]etrlimit|prlimit|mlockall
"""
PATTERN = re.compile(r"(_{1,2}|__libc_|_IO_)?(%s)(64)?(v2)?(_chk)?" % re.sub(r"\s+", "", STEMS))
# they match, and are not what the pattern means
OTHERS = {"exit", "_signal", "__exit"}

# of our own pages they say what is right of the program's
HARMLESS = {"munmap", "mprotect", "mremap"}

# objects that never run in a program, or only before it has sockets
APART = {"libcm_la-ask.o": "shunt stat", "libcm_la-parts.o": "shuntd",
         "libpolicy_la-load.o": "reads a file at set-up"}

PROGRAMS = ["redis-server", "nginx", "memcached", "python3", "node", "java", "curl", "haproxy",
            "postgres", "iperf3", "socat"]


def run(*argv):
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout


def table():
    """[(section, symbol, 'ROW' or 'PASS', text)] in the table's order."""
    rows, section = [], ""
    with open(TOP + "/shim/table.h", encoding="utf-8") as f:
        for line in f:
            begin = re.match(r"#define SHIM_TABLE_(\w+)\(", line)
            section = begin.group(1) if begin else section
            row = re.match(r'\s+(ROW|PASS)\((\w+), "(.*)"\)', line)
            if row:
                rows.append((section, row.group(2), row.group(1), row.group(3)))
    return rows


def symbols(path, *flags):
    """Names of dynamic symbols without their versions; private ones of libc left out."""
    names = set()
    for line in run("nm", "-D", *flags, path).splitlines():
        name, _, version = line.split()[-1].partition("@")
        if not version.endswith("GLIBC_PRIVATE"):
            names.add(name)
    return names


def touching(names):
    return {n for n in names if PATTERN.fullmatch(n)} - OTHERS


def libraries(path):
    return re.findall(r"(/\S+) \(0x", run("ldd", path))


def libc():
    return next(p for p in libraries(sys.executable) if re.search(r"/libc\.so", p))


def real_program(name):
    """The ELF file behind a command: scripts and version managers are looked through."""
    if name == "python3":
        return os.path.realpath(sys.executable)
    if name == "postgres":
        found = run("sh", "-c", "ls -d /usr/lib/postgresql/*/bin/postgres").split()
        return found[-1] if found else None
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    return os.path.realpath(path) if path else None


def files_of(program):
    """The program and the libraries that it brings, but libc and the loader."""
    files = [program] + [p for p in libraries(program) if not re.search(r"/(libc|ld-linux\S*)\.so", p)]
    home = os.path.dirname(os.path.dirname(program))
    for extra in ("libnet.so", "libnio.so", "libjava.so", "server/libjvm.so"):
        path = f"{home}/lib/{extra}"
        if os.path.exists(path):
            files.append(path)
    return files


class Tap:
    def __init__(self):
        self.count = self.failed = 0

    def line(self, ok, name, notes=(), skip=None):
        self.count += 1
        self.failed += not ok
        for note in notes:
            print(f"# {note}")
        print(f"{'' if ok else 'not '}ok {self.count} - {name}" + (f" # SKIP {skip}" if skip else ""))

    def none(self, name, wrong, what):
        self.line(not wrong, name, [f"{what}: {w}" for w in sorted(wrong)])


def doc(rows):
    titles = {"LIFE": "Numbers, options, beginnings and ends", "DATA": "Bytes",
              "READY": "Waiting", "STDIO": "stdio", "PROC": "Processes", "SIGNAL": "Signals",
              "MEMORY": "Memory"}
    out = ["# What the shim does with each function of libc", "",
           "Made from shim/table.h by `tests/shim/table.py --doc`. *libc's* functions are known and left",
           "alone, for the reason that is given.", ""]
    for section, title in titles.items():
        out += [f"## {title}", "", "| function | | treatment |", "| --- | --- | --- |"]
        out += [f"| `{s}` | {'interposed' if how == 'ROW' else 'libc’s'} | {text} |"
                for where, s, how, text in rows if where == section]
        out.append("")
    return "\n".join(out)


def check_inner_rooms(tap, exported):
    """Inner rooms must call the kernel or real.h: libc's names are the shim's there."""
    wrong = set()
    for room in ROOMS:
        archive = f"{BUILD}/.libs/lib{room}.a"
        for line in run("nm", "-A", "-u", archive).splitlines():
            name, member = line.split()[-1], line.split(":")[1]
            if name in exported - HARMLESS and member not in APART:
                wrong.add(f"{member} calls {name}")
    tap.none("inner rooms call none of the functions that are interposed", wrong, "wrong")


def check_programs(tap, known):
    for program in PROGRAMS:
        path = real_program(program)
        name = f"every function that {program} imports is known"
        if not path:
            tap.line(True, name, skip=f"{program} is not installed")
            continue
        used = set()
        for file in files_of(path):
            used |= touching(symbols(file, "--undefined-only"))
        if not used:
            tap.line(False, name, [f"{path} imports nothing: is it the program?"])
            continue
        tap.none(name, used - known, "not in the table")


def main():
    rows = table()
    exported = {s for _, s, how, _ in rows if how == "ROW"}
    known = {s for _, s, _, _ in rows}
    if sys.argv[1:] == ["--doc"]:
        print(doc(rows), end="")
        return 0
    tap = Tap()
    library = BUILD + "/.libs/libshunt-preload.so"
    tap.line(len(rows) == len(known) > 100, "the table has each function once")
    tap.none("the library exports the rows", symbols(library, "--defined-only") ^ exported, "differs")
    with open(TOP + "/shim/shunt.map", encoding="utf-8") as f:
        mapped = set(re.findall(r"^    (\w+);$", f.read(), re.M))
    tap.none("shunt.map names the rows", mapped ^ exported, "differs")
    of_libc = touching(symbols(libc(), "--defined-only"))
    tap.line(len(of_libc) > 120, "this libc has functions that can touch a socket")
    tap.none("each of them is known", of_libc - known, "not in the table")
    check_programs(tap, known)
    check_inner_rooms(tap, exported)
    with open(TOP + "/docs/shim-table.md", encoding="utf-8") as f:
        tap.line(f.read() == doc(rows), "docs/shim-table.md is made from the table")
    print(f"1..{tap.count}")
    return tap.failed > 0


sys.exit(main())
