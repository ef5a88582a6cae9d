"""Programs from Debian packages on a machine whose apt-get is played by a script; the .deb files are real."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from cloud.demo import debian

needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is Debian's")


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder to play a machine in: nothing installed, nothing cached, an apt-get of our own on PATH."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for tool in ("dpkg-deb", "sh", "cp", "tar", "xz", "rm", "zstd"):
        if found := shutil.which(tool):
            (programs / tool).symlink_to(found)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr(debian, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(debian, "SBIN", ())
    monkeypatch.delenv("KANGDOCK_MOSQUITTO", raising=False)
    return tmp_path


def _package(folder: Path, files: dict[str, str]) -> Path:
    tree = folder / "tree"
    for name, text in files.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    control = tree / "DEBIAN" / "control"
    control.parent.mkdir()
    control.write_text(
        "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: nobody <n@example.org>\nDescription: x\n"
    )
    subprocess.run(["dpkg-deb", "-b", str(tree), str(folder / "x.deb")], check=True, capture_output=True)
    return folder / "x.deb"


def _apt_get(bare: Path, script: str) -> None:
    path = bare / "bin" / "apt-get"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@needs_dpkg
def test_a_program_that_may_not_be_installed_is_unpacked_and_runs_with_its_own_libraries(bare: Path) -> None:
    deb = _package(
        bare,
        {
            "usr/sbin/mosquitto": '#!/bin/sh\necho "$LD_LIBRARY_PATH $1"\n',
            "usr/lib/machine/libmosquitto.so.1": "",
        },
    )
    _apt_get(bare, f'cp {deb} "$PWD"')
    program = debian.provide("mosquitto", install=False)
    said = subprocess.run([program, "-v"], check=True, capture_output=True, text=True).stdout
    assert said.split() == [f"{bare}/cache/root/usr/lib/machine", "-v"]
    assert debian.find("mosquitto") == program


@needs_dpkg
def test_missing_package_lists_are_fetched_into_the_cache(bare: Path) -> None:
    deb = _package(bare, {"usr/sbin/mosquitto": "#!/bin/sh\n"})
    _apt_get(
        bare,
        'case "$*" in\n'
        f"  *Dir::State::Lists=*update*) : > {bare}/updated ;;\n"
        f'  *Dir::State::Lists=*) [ -e {bare}/updated ] && cp {deb} "$PWD" ;;\n'
        '  *) echo "E: Unable to locate package" >&2; exit 100 ;;\n'
        "esac",
    )
    assert debian.provide("mosquitto", install=False).startswith(str(bare))


def test_what_cannot_be_had_is_named_with_the_reason(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bare / "bin" / "dpkg-deb").unlink(missing_ok=True)
    (bare / "bin" / "dpkg-deb").write_text("#!/bin/sh\n")
    (bare / "bin" / "dpkg-deb").chmod(0o755)
    _apt_get(bare, 'echo "E: Temporary failure resolving the mirror" >&2; exit 100')
    assert debian.main(["demo", "--no-install"]) == 1
    said = capsys.readouterr().out
    assert "mosquitto: not to be had: E: Temporary failure resolving the mirror" in said
    assert "apt-get install mosquitto" in said


@needs_dpkg
def test_a_daemon_is_unpacked_even_as_root_because_installing_would_start_it(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deb = _package(bare, {"usr/sbin/mosquitto": "#!/bin/sh\n"})
    _apt_get(bare, f'echo "$*" >> {bare}/asked\ncp {deb} "$PWD"')
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert debian.provide("mosquitto", install=True).startswith(str(bare))
    assert all("--download-only" in asked for asked in (bare / "asked").read_text().splitlines())


def test_what_had_to_be_unpacked_is_lent_to_programs_that_are_not_ours(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = bare / "cache" / "root" / "usr" / "lib" / "machine" / "libatomic.so.1"
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/lib")
    monkeypatch.setattr(debian, "find", lambda name: str(library) if name == "libatomic" else None)
    debian.lend_libraries()
    assert os.environ["LD_LIBRARY_PATH"] == f"{library.parent}:/opt/lib"


def test_what_the_machine_has_is_lent_to_nobody(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    monkeypatch.setattr(debian, "find", lambda name: "/usr/lib/machine/libatomic.so.1")
    debian.lend_libraries()
    assert "LD_LIBRARY_PATH" not in os.environ


def test_another_system_than_debian_is_named(bare: Path) -> None:
    with pytest.raises(debian.Unavailable, match="not Debian"):
        debian.provide("mosquitto", install=True)


def test_the_one_a_person_names_comes_first(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KANGDOCK_MOSQUITTO", "/opt/mosquitto-2.1/mosquitto")
    assert debian.find("mosquitto") == "/opt/mosquitto-2.1/mosquitto"


def test_every_target_needs_only_programs_that_are_described() -> None:
    assert {name for names in debian.NEEDS.values() for name in names} <= debian.PROGRAMS.keys()
