"""A guest with a real kernel and a real bluetoothd to run the transport's tests in: this machine's own files, read
only, behind a stock Debian kernel in QEMU without KVM.

What is run in it is `conformance`'s. Nothing is built and nothing installed: the packages are there, or in a
folder of their own, into which `python -m hil_tests.guest fetch` unpacks them. KANGDOCK_GUEST may name another.
"""

import gzip
import lzma
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from cloud.demo import debian

PACKAGES = ("qemu-system-x86", "busybox-static", "kmod", "cpio", "bluez")
KERNEL, NEWER_KERNEL = "linux-image-6.12-amd64", "linux-image-amd64"
"""A Raspberry Pi's kernel is a 6.12, too. Debian 12 has one beside its own 6.1, which breaks down."""
FETCHED = debian.CACHE / "guest"
MODULES = (
    *("virtio_pci", "9p", "9pnet_virtio", "overlay", "sha3_generic", "jitterentropy_rng", "sha512_generic"),
    *("ctr", "drbg", "hmac", "ecdh_generic", "cmac", "ccm", "bluetooth", "hci_vhci", "algif_hash"),
    *("algif_skcipher", "uhid"),
)
"""Of the Bluetooth ones, drbg and jitterentropy_rng (with sha3) are what LE Secure Connections hang without."""
MEMORY_MB = 2500
"""It boots in 8 s; the suite takes five minutes on a processor that is only imitated."""
LASTS_AT_MOST_S = 3600.0
"""A guest whose kernel broke down may never say that it is done."""
PROGRAMS = (
    *("usr/bin/qemu-system-x86_64", "bin/busybox", "bin/kmod", "bin/cpio"),
    "usr/libexec/bluetooth/bluetoothd",
)
HOW = "python -m hil_tests.guest fetch"
DONE = "guest: status "

INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc none /proc; mount -t sysfs none /sys; mount -t devtmpfs none /dev
for module in /modules/*.ko; do insmod $module; done
mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=524288,cache=loose host /host
mount -t tmpfs -o size=1500m none /rw; mkdir /rw/upper /rw/work
mount -t overlay -o lowerdir=/host,upperdir=/rw/upper,workdir=/rw/work,xino=off,index=off,metacopy=off none /new
for one in proc sys dev; do mount --move /$one /new/$one; done
mkdir -p /new/dev/pts /new/dev/shm; mount -t devpts none /new/dev/pts; mount -t tmpfs none /new/dev/shm
mount -t tmpfs none /new/run; mkdir -p /new/run/dbus /new/var/lib/bluetooth
ifconfig lo 127.0.0.1 up
cp /job /new/run/job
exec switch_root /new /bin/bash /run/job
"""
# bluetoothd is started by whoever calls org.bluez, after it died too, as on Debian: there the bus asks systemd to.
JOB = r"""export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TMPDIR=/run PYTHONDONTWRITEBYTECODE=1
export DBUS_SYSTEM_BUS_ADDRESS=unix:path=/run/dbus/system_bus_socket
mkdir -p /run/share/dbus-1/services
printf '#!/bin/sh\nLD_LIBRARY_PATH={libraries} exec {bluetoothd} -n 2>>/run/bluetoothd.log\n' >/run/start
chmod +x /run/start
printf '[D-BUS Service]\nName=org.bluez\nExec=/run/start\n' >/run/share/dbus-1/services/org.bluez.service
XDG_DATA_HOME=/run/share dbus-daemon --session --fork --nopidfile --address=$DBUS_SYSTEM_BUS_ADDRESS
cd {here} && {command}
status=$?
[ $status = 0 ] || tail -n 20 /run/bluetoothd.log
echo; echo "{done}$status"
echo o > /proc/sysrq-trigger; sleep 60
"""


class Missing(Exception):
    """What is not here."""


def fetch() -> int:
    """Unpacks what a guest lacks here. 0 also where it cannot be had; then the reason is told."""
    if "KANGDOCK_GUEST" in os.environ or not _is_pc() or missing() is None:
        return 0
    print("guest: fetching a kernel, bluetoothd and QEMU from Debian (150 MB) ...", flush=True)
    try:
        for package in PACKAGES:
            debian.unpack(package, root=FETCHED)
        try:
            debian.unpack(KERNEL, root=FETCHED)
        except debian.Unavailable:
            debian.unpack(NEWER_KERNEL, root=FETCHED)
    except debian.Unavailable as reason:
        shutil.rmtree(FETCHED, ignore_errors=True)
        print(f"guest: not to be had: {reason}", flush=True)
    return 0


def missing(environ: Mapping[str, str] = os.environ) -> str | None:
    """What a guest would lack here; None where one can be made."""
    if not _is_pc():
        return "the guest is a PC, and only a PC imitates one fast enough"
    try:
        kernel_version(environ)
        for path in PROGRAMS:
            _program(_root(environ), path)
    except Missing as what:
        return str(what)
    return None


def run(command: list[str], environ: Mapping[str, str] = os.environ) -> int:
    """Runs `command` in a guest, as root in this folder; its status, 1 if the guest broke down. Raises Missing."""
    root = _root(environ)
    qemu = _program(root, "usr/bin/qemu-system-x86_64")
    version = kernel_version(environ)
    kernel = root / f"boot/vmlinuz-{version}"
    env = {**environ, **({} if root == Path("/") else {"LD_LIBRARY_PATH": _libraries(root)})}
    with tempfile.TemporaryDirectory() as folder:
        initrd = _initrd(Path(folder), root, version, command, env)
        guest = subprocess.Popen(
            [
                *(str(qemu), "-M", "pc,accel=tcg", "-cpu", "max", "-m", str(MEMORY_MB), "-no-reboot"),
                *("-display", "none", "-vga", "none", "-monitor", "none", "-serial", "stdio"),
                *(part for folder in _data(root) for part in ("-L", str(folder))),
                *("-kernel", str(kernel), "-initrd", str(initrd), "-append", "console=ttyS0 quiet panic=-1"),
                *("-fsdev", "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap"),
                *("-device", "virtio-9p-pci,fsdev=host,mount_tag=host", "-nic", "none"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            errors="replace",
            env=env,
        )
        return _follow(guest)


def kernel_version(environ: Mapping[str, str] = os.environ) -> str:
    """Of the kernel it would run; raises Missing."""
    boot = _root(environ) / "boot"
    versions = [kernel.name.removeprefix("vmlinuz-") for kernel in boot.glob("vmlinuz-*")]
    if not versions:
        raise Missing(f"no kernel in {boot}; {HOW}")
    return max(versions, key=lambda version: [int(number) for number in re.findall(r"\d+", version)])


def _is_pc() -> bool:
    return platform.machine() == "x86_64"


def _root(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("KANGDOCK_GUEST", FETCHED if FETCHED.exists() else "/"))


def _libraries(root: Path) -> str:
    return ":".join(str(root / folder / "x86_64-linux-gnu") for folder in ("usr/lib", "lib"))


def _data(root: Path) -> list[Path]:
    """Where QEMU looks for a BIOS and what else it starts with."""
    return [one / "usr/share" / name for one in (root, Path("/")) for name in ("qemu", "seabios")]


def _follow(guest: "subprocess.Popen[str]") -> int:
    """Shows what the guest prints; the status it ends with."""
    assert guest.stdout is not None
    status = 1
    too_long = threading.Timer(LASTS_AT_MOST_S, guest.kill)
    too_long.start()
    try:
        for line in guest.stdout:
            if line.startswith(DONE):
                status = int(line.removeprefix(DONE))
                break
            print(f"  {line}", end="", flush=True)
    finally:
        too_long.cancel()
        guest.kill()
        guest.wait()
    return status


def _initrd(folder: Path, root: Path, version: str, command: list[str], env: Mapping[str, str]) -> Path:
    tree = folder / "tree"
    for name in ("bin", "modules", "host", "rw", "new", "proc", "sys", "dev"):
        (tree / name).mkdir(parents=True)
    shutil.copy(_program(root, "bin/busybox"), tree / "bin/busybox")
    for number, module in enumerate(_modules(root, version, env)):
        whole = lzma.decompress(module.read_bytes()) if module.suffix == ".xz" else module.read_bytes()
        (tree / "modules" / f"{number:02}-{module.name.removesuffix('.xz')}").write_bytes(whole)
    (tree / "init").write_text(INIT)
    (tree / "init").chmod(0o755)
    job = JOB.format(
        bluetoothd=_program(root, "usr/libexec/bluetooth/bluetoothd"),
        libraries=_libraries(root),
        here=shlex.quote(str(Path.cwd())),
        command=shlex.join(command),
        done=DONE,
    )
    (tree / "job").write_text(job)
    names = "\n".join(str(one.relative_to(tree)) for one in sorted(tree.rglob("*")))
    packed = subprocess.run(
        [str(_program(root, "bin/cpio")), "-o", "-H", "newc", "--quiet"],
        input=names.encode(),
        cwd=tree,
        env=env,
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    initrd = folder / "initrd.gz"
    initrd.write_bytes(gzip.compress(packed, 1))
    return initrd


def _modules(root: Path, version: str, env: Mapping[str, str]) -> Iterator[Path]:
    """The modules and what they need, in the order they are loaded."""
    kmod = str(_program(root, "bin/kmod"))
    if not (root / "lib/modules" / version / "modules.dep").exists():
        subprocess.run(["depmod", "-b", str(root), version], executable=kmod, env=env, check=True)
    found: dict[Path, None] = {}
    for module in MODULES:
        told = subprocess.run(
            ["modprobe", "-d", str(root), "-S", version, "--show-depends", module],
            executable=kmod,
            env=env,
            stdout=subprocess.PIPE,
            text=True,
            check=False,  # what is built into the kernel is no module
        ).stdout
        found |= {Path(line.split()[1]): None for line in told.splitlines() if line.startswith("insmod")}
    return iter(found)


def _program(root: Path, path: str) -> Path:
    for one in (root / path, root / "usr" / path):
        if one.exists():
            return one
    raise Missing(f"no {path} in {root}; {HOW}")


if __name__ == "__main__":
    sys.exit(fetch() if sys.argv[1:] == ["fetch"] else run(sys.argv[1:]))
