"""`make setup`: one virtual environment, `.venv`, with everything in it; nothing happens when nothing changed.

It runs on a bare Python 3.11 and imports nothing else. Which versions it installs is written in pyproject.toml
and constraints.txt; from where is pip's own configuration, which belongs to the machine. Programs that are not
Python's are `cloud.demo.debian`'s business.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from cloud.demo import debian

PROJECT = Path(__file__).resolve().parents[2]
VENV = PROJECT / ".venv"
READY = VENV / "kangdock-ready"
EXTRAS = "cloud,demo,test,check"


def main() -> int:
    """Makes `.venv` fit for pyproject.toml and constraints.txt; 1 and a reason when that cannot be done."""
    wanted = fingerprint()
    if READY.exists() and READY.read_text() == wanted and (VENV / "bin" / "python").exists():
        return 0
    READY.unlink(missing_ok=True)
    print(f"setup: a virtual environment of Python {sys.version.split()[0]} in .venv", flush=True)
    try:
        _make()
        print("setup: what Kangdock and its tests need (the first time a minute or two)", flush=True)
        _pip("install", "-q", "-c", str(PROJECT / "constraints.txt"), "-e", f"{PROJECT}[{EXTRAS}]")
    except subprocess.CalledProcessError as error:
        print(f"setup: `{' '.join(map(str, error.cmd))}` ended with {error.returncode}; what it said is above.")
        return 1
    except debian.Unavailable as reason:
        print(f"setup: this Python has no pip and none could be had: {reason}")
        print("setup: `apt-get install python3-venv` as root, then `make setup` again.")
        return 1
    READY.write_text(wanted)
    print("setup: ready", flush=True)
    return 0


def fingerprint() -> str:
    """Changes when an installed environment no longer fits: versions, interpreter, or the project's place."""
    parts = [(PROJECT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt")]
    parts += [f"{sys.version_info[:2]} {sys.base_prefix} {PROJECT}".encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _make() -> None:
    pip = VENV / "bin" / "pip"
    if pip.exists() and pip.read_text().startswith(f"#!{VENV}/") and _same_python():
        return
    shutil.rmtree(VENV, ignore_errors=True)
    if _works(sys.executable, "-m", "venv", str(VENV)):
        return
    # Debian keeps ensurepip in a package of its own, python3-venv.
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print("setup: apt-get install python3-venv", flush=True)
        _works("apt-get", "update", "-q")
        _works("apt-get", "install", "-y", "-q", "--no-install-recommends", "python3-venv")
        if _works(sys.executable, "-m", "venv", "--clear", str(VENV)):
            return
    subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(VENV)], check=True)
    wheel = _pip_wheel()
    # A wheel of pip can be run as it is, to install itself.
    subprocess.run(
        [str(VENV / "bin" / "python"), f"{wheel}/pip", "install", "-q", "--no-index", str(wheel)], check=True
    )


def _same_python() -> bool:
    same = f"import sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    return _works(str(VENV / "bin" / "python"), "-c", same)


def _pip_wheel() -> Path:
    """A wheel of pip from Debian's python3-pip-whl, unpacked without root where it is not installed."""
    for root in (Path("/"), None):
        place = (root or debian.unpack("python3-pip-whl", libraries=False)) / "usr/share/python-wheels"
        wheels = sorted(place.glob("pip-*.whl"))
        if wheels:
            return wheels[-1]
    raise debian.Unavailable("python3-pip-whl holds no wheel of pip")


def _pip(*arguments: str) -> None:
    command = [str(VENV / "bin" / "python"), "-m", "pip", *arguments]
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    # Its warnings are about packages, not for a visitor; an error is shown whole.
    done = subprocess.run(command, check=False, env=environment, cwd=PROJECT, capture_output=True, text=True)
    if done.returncode:
        print(done.stdout + done.stderr)
        raise subprocess.CalledProcessError(done.returncode, command)


def _works(*command: str) -> bool:
    try:
        return not subprocess.run(command, check=False, capture_output=True).returncode
    except OSError:  # not there, or not a program any more
        return False


if __name__ == "__main__":
    sys.exit(main())
