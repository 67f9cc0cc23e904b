# SPDX-License-Identifier: BSD-2-Clause
"""What the guest boots: Debian's own kernel, unpacked and never installed, and an initramfs of busybox,
the modules in loading order, and tests/vm/init. Made once and kept in ~/.cache/shunt-vm."""
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
# rdma_rxe asks for crc32 by a name that depmod does not see, so crc32_generic is named here.
MODULES = """
    virtio_pci virtio_net virtio_console 9pnet_virtio 9p overlay
    veth dummy sch_netem sch_ingress cls_u32 act_gact tcp_diag tls
    crc32_generic rdma_rxe rdma_ucm ib_uverbs
""".split()
META_PACKAGE = "linux-image-amd64"
PROGRAMS = {"qemu-system-x86_64": "qemu-system-x86", "cpio": "cpio", "depmod": "kmod", "apt-get": "apt"}
BUSYBOX = Path("/bin/busybox")


class Unavailable(Exception):
    """The guest cannot be had on this machine; the words say why."""


def _run(command, **more):
    try:
        return subprocess.run([str(word) for word in command], check=True, capture_output=True, timeout=300,
                              **more).stdout
    except subprocess.CalledProcessError as error:
        words = error.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise Unavailable(f"{command[0]}: {' '.join(words) or error.returncode}") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{command[0]} took longer than 300 s") from None


def lacking():
    """Why no guest can be had here, or None."""
    if os.uname().machine != "x86_64":
        return f"the guest is x86_64, this machine is {os.uname().machine}"
    missing = [package for program, package in PROGRAMS.items() if not shutil.which(program)]
    if not BUSYBOX.exists() or b"/ld-linux" in BUSYBOX.read_bytes():
        missing.append("busybox-static")
    return f"not installed: {' '.join(missing)} (./dev setup)" if missing else None


def _kernel_package():
    found = re.search(rb"Depends: (linux-image-\S+)", _run(["apt-cache", "depends", META_PACKAGE]))
    return found and found[1].decode()


def _download(folder):
    """The kernel's package, by its exact name: a pattern would fetch the debug packages too."""
    name = _kernel_package()
    if not name:
        _run(["apt-get", "-q", "update"])
        name = _kernel_package()
    if not name:
        raise Unavailable(f"apt knows no package that {META_PACKAGE} depends on")
    _run(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", name], cwd=folder)
    return next(folder.glob("*.deb"))


def _in_loading_order(root, release):
    """The files of MODULES and of what they need, each once."""
    _run(["depmod", "-b", root, release])
    files = []
    for name in MODULES:
        shown = _run(["modprobe", "-d", root, "-S", release, "--show-depends", name]).decode()
        files += [line.split()[1] for line in shown.splitlines() if line.startswith("insmod ")]
    return list(dict.fromkeys(files))


def _initramfs(folder, modules):
    tree = folder / "initramfs"
    for name in ("bin", "modules", "proc", "dev", "sys", "host", "over", "root"):
        (tree / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, tree / "bin/busybox")
    shutil.copy(HERE / "init", tree / "init")
    (tree / "init").chmod(0o755)
    for number, module in enumerate(modules):
        shutil.copy(module, tree / "modules" / f"{number:03d}-{Path(module).name}")
    names = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
    (folder / "initrd").write_bytes(
        _run(["cpio", "-o", "-H", "newc", "--quiet"], input=names.encode(), cwd=tree))
    shutil.rmtree(tree)


def _make(folder, say):
    say("fetching Debian's kernel package")
    package = _download(folder)
    say(f"unpacking {package.name}")
    root = folder / "unpacked"
    _run(["dpkg-deb", "-x", package, root])
    release = next((root / "lib/modules").iterdir()).name
    _initramfs(folder, _in_loading_order(root, release))
    (root / "boot" / f"vmlinuz-{release}").rename(folder / "vmlinuz")
    shutil.rmtree(root)
    package.unlink()


def image(say):
    """The folder with vmlinuz and initrd; makes it where it is not there. Raises Unavailable."""
    reason = lacking()
    if reason:
        raise Unavailable(reason)
    recipe = hashlib.sha256(Path(__file__).read_bytes() + (HERE / "init").read_bytes()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "shunt-vm"
    if not (cache / recipe).exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="making.", dir=cache) as making:
            _make(Path(making), say)
            try:
                Path(making).rename(cache / recipe)
            except OSError:
                pass  # somebody else was quicker with the same
            else:
                Path(making).mkdir()  # for the clean-up
    return cache / recipe
