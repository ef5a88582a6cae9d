"""Programs that Debian packages and Python does not: found, installed where allowed, else unpacked without root.

`find` is what everybody calls; `python -m cloud.demo.debian demo|test` fetches what a target needs beforehand. It
runs on a bare Python 3.11, before there is an environment, so it imports nothing but the standard library.
Starting what it found is `cloud.demo.servers`' business.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "debian"
SBIN = ("/usr/sbin", "/usr/local/sbin")
"""Debian keeps daemons here, and an ordinary user's PATH leaves it out."""
NETWORK_TIMEOUT_S = 600
"""Chromium with its libraries is 120 MB; a store's line at 2 Mbit/s brings that in eight minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Something Debian has: a program, or `file`, a pattern. `unpacked` is what a wrapper script starts.

    Installing the package of a `daemon` would also start it on its usual port, now and at every boot.
    """

    name: str
    package: str
    why: str
    file: str = ""
    unpacked: str = ""
    daemon: bool = False


PROGRAMS: dict[str, Program] = {
    program.name: program
    for program in (
        Program(
            name="mosquitto",
            package="mosquitto",
            why="the MQTT broker",
            unpacked="usr/sbin/mosquitto",
            daemon=True,
        ),
        Program(
            name="dbus-daemon",
            package="dbus-daemon",
            why="the private bus on which bleak's BlueZ backend is tested",
            unpacked="usr/bin/dbus-daemon",
        ),
        Program(
            name="influxd",
            package="influxdb",
            why="a real InfluxDB line-protocol engine",
            unpacked="usr/bin/influxd",
            daemon=True,
        ),
        Program(name="strace", package="strace", why="proof of every fdatasync", unpacked="usr/bin/strace"),
        Program(
            name="chromium", package="chromium", why="the screens' tests", unpacked="usr/lib/chromium/chromium"
        ),
        Program(
            name="fonts-noto-cjk",
            package="fonts-noto-cjk",
            why="Chinese glyphs in pictures of the screens",
            file="usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
        ),
        Program(
            name="libatomic",
            package="libatomic1",
            why="Playwright's Node starts with it",
            file="usr/lib/*/libatomic.so.1",
        ),
    )
}

NEEDS: dict[str, tuple[str, ...]] = {
    "demo": ("mosquitto",),
    "test": tuple(PROGRAMS),
}
"""What each make target needs."""


class Unavailable(RuntimeError):
    """It cannot be had here; the message is the reason in one line."""


def find(name: str) -> str | None:
    """Where `name` is, or None: KANGDOCK_<NAME>, then PATH and sbin, then what was unpacked before."""
    program = PROGRAMS[name]
    if program.file:
        return next((str(path) for root in (Path("/"), CACHE / "root") for path in root.glob(program.file)), None)
    chosen = os.environ.get("KANGDOCK_" + name.upper().replace("-", "_"))
    places = [os.environ.get("PATH", ""), *SBIN, str(CACHE / "bin")]
    return chosen or shutil.which(name, path=os.pathsep.join(places))


def provide(name: str, *, install: bool) -> str:
    """`find`, after installing it, or unpacking what is a daemon or may not be installed. Raises Unavailable."""
    found = find(name)
    if found:
        return found
    package = PROGRAMS[name].package
    if (
        install
        and not PROGRAMS[name].daemon
        and os.geteuid() == 0
        and shutil.which("apt-get")
        and _installed(package)
    ):
        found = find(name)
        if found:
            return found
    unpack(package)
    if PROGRAMS[name].unpacked:
        _wrap(PROGRAMS[name])
    found = find(name)
    if found is None:
        raise Unavailable(f"Debian's {package} does not hold {PROGRAMS[name].unpacked or PROGRAMS[name].file}")
    return found


def lend_libraries() -> None:
    """Shows this process's children what had to be unpacked for programs that are not ours to wrap.

    Playwright brings its own Node, which does not start without libatomic.
    """
    found = find("libatomic")
    if found is not None and Path(found).is_relative_to(CACHE):
        before = os.environ.get("LD_LIBRARY_PATH")
        os.environ["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, (str(Path(found).parent), before)))


def unpack(package: str, *, libraries: bool = True, root: Path | None = None) -> Path:
    """Unpacks `package` (and those libraries it needs that the machine lacks) into `root`; returns it."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise Unavailable("no apt-get here: this is not Debian or Raspberry Pi OS")
    root = root or CACHE / "root"
    for folder_needed in (CACHE, root):
        folder_needed.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        for deb in _download(package, Path(folder), libraries=libraries):
            _run(["dpkg-deb", "-x", str(deb), str(root)])
    return root


def _installed(package: str) -> bool:
    command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", package]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for lists_are_fresh in (False, True):
        if (
            lists_are_fresh
            and subprocess.run(["apt-get", "update", "-q"], check=False, capture_output=True).returncode
        ):
            return False
        if not subprocess.run(command, check=False, capture_output=True, env=environment).returncode:
            return True
    return False


def _download(package: str, folder: Path, *, libraries: bool) -> list[Path]:
    """The .deb files of `package` and, when asked, of what it needs and the machine lacks, as any user.

    A private APT root: its own lists, cache and lock-free mode, but the machine's sources and its knowledge of
    what is installed.
    """
    (folder / "archives" / "partial").mkdir(parents=True)
    private = CACHE / "apt"
    (private / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    options = [
        *("-o", f"Dir::Cache={folder}", "-o", f"Dir::Cache::Archives={folder / 'archives'}"),
        *("-o", "Dir::State::Status=/var/lib/dpkg/status", "-o", "Debug::NoLocking=true"),
        *("-o", "APT::Sandbox::User=", "-o", "Acquire::Retries=2"),
    ]
    own_lists = ["-o", f"Dir::State::Lists={private / 'lists'}"]
    if libraries:
        action = ["install", "--download-only", "--reinstall", "-y", "-q", "--no-install-recommends", package]
    else:
        action = ["download", "-q", package]
    try:  # the machine's own lists are read for nothing; they may be missing or out of date
        _run(["apt-get", *options, *action], cwd=folder)
    except Unavailable:
        _run(["apt-get", *options, *own_lists, "update", "-q"])
        _run(["apt-get", *options, *own_lists, *action], cwd=folder)
    found = [*folder.glob("*.deb"), *folder.glob("archives/*.deb")]
    if not found:
        raise Unavailable(f"apt-get gave no file for {package}")
    return found


def _wrap(program: Program) -> None:
    """A start script that points an unpacked program at its unpacked libraries, fonts and data."""
    root = CACHE / "root"
    libraries = sorted({path.parent for path in root.rglob("*.so*")})
    script = CACHE / "bin" / program.name
    script.parent.mkdir(exist_ok=True)
    script.write_text(
        "#!/bin/sh\n"
        f"LD_LIBRARY_PATH={shlex.quote(':'.join(map(str, libraries)))}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}\n"
        f"XDG_DATA_DIRS={shlex.quote(str(root / 'usr/share'))}:${{XDG_DATA_DIRS:-/usr/local/share:/usr/share}}\n"
        "export LD_LIBRARY_PATH XDG_DATA_DIRS\n"
        f'exec {shlex.quote(str(root / program.unpacked))} "$@"\n'
    )
    script.chmod(0o755)


def _run(command: list[str], cwd: Path | None = None) -> None:
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            cwd=cwd,
            env=environment,
            timeout=NETWORK_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{command[0]} took longer than {NETWORK_TIMEOUT_S} s") from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("E:")] or done.stderr.splitlines()[
            -1:
        ]
        raise Unavailable(said[0] if said else f"{command[0]} ended with {done.returncode}")


def main(argv: list[str] | None = None) -> int:
    """Fetches what a target needs; says what could not be had and why. 1 when the demo would not start."""
    parser = argparse.ArgumentParser(prog="python -m cloud.demo.debian", description=__doc__)
    parser.add_argument("target", choices=sorted(NEEDS))
    parser.add_argument("--no-install", action="store_true", help="unpack into .cache even as root")
    arguments = parser.parse_args(argv)
    missing = []
    for name in NEEDS[arguments.target]:
        if find(name):
            continue
        print(f"{name}: fetching Debian's {PROGRAMS[name].package} ({PROGRAMS[name].why}) ...", flush=True)
        try:
            print(f"{name}: {provide(name, install=not arguments.no_install)}")
        except Unavailable as reason:
            missing.append(name)
            print(
                f"{name}: not to be had: {reason}\n  `apt-get install {PROGRAMS[name].package}` as root would do."
            )
    return 1 if set(missing) & set(NEEDS["demo"]) else 0


if __name__ == "__main__":
    sys.exit(main())
