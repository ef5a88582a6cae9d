"""What `make hil` says at its end: each part, on what it ran, and one status for all."""

from pathlib import Path

import pytest

from cloud.demo import debian
from hil_tests import conformance, guest
from hil_tests.__main__ import Part, held, main


@pytest.fixture(autouse=True)
def on_a_pc(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")


def part(name: str, status: int = 0, missing: str | None = None) -> Part:
    return Part(name=name, on=lambda: "virtual meters", run=lambda: status, missing=lambda: missing)


def breaks_down() -> int:
    raise OSError("no space left")


def last_lines(capsys) -> list[str]:
    lines = capsys.readouterr().out.splitlines()
    return [line.strip() for line in lines[lines.index("hil: summary") + 1 :]]


def test_what_held_and_what_was_skipped_is_told_with_what_it_ran_on_or_why(capsys):
    assert held((part("siege"), part("power cuts", missing="strace is not installed")), lambda: 0.0) == 0
    assert last_lines(capsys) == [
        "siege: held after 0 s, on virtual meters",
        "power cuts: skipped: strace is not installed",
        "hil: all 1 parts held, 1 skipped",
    ]


def test_a_part_that_fails_or_breaks_down_is_told_and_the_others_still_run(capsys):
    broken = Part(name="bluetoothd", on=lambda: "virtual meters", run=breaks_down)
    assert held((broken, part("siege", status=1), part("trade")), lambda: 0.0) == 1
    assert last_lines(capsys) == [
        "bluetoothd: FAILED after 0 s, on virtual meters",
        "siege: FAILED after 0 s, on virtual meters",
        "trade: held after 0 s, on virtual meters",
        "hil: 2 of 3 parts FAILED",
    ]


def test_a_hardware_file_that_says_something_else_ends_it_before_anything_runs(tmp_path, capsys):
    (tmp_path / "bench.toml").write_text('[radio]\nadapter = "hci0"\n')
    with pytest.raises(SystemExit) as end:
        main(["--hardware", str(tmp_path / "bench.toml")])
    assert end.value.code == 2
    assert "--hardware: [ble] adapter" in capsys.readouterr().err


def test_what_a_guest_lacks_is_named(tmp_path: Path):
    assert "no kernel" in guest.missing({"KANGDOCK_GUEST": str(tmp_path)})
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot/vmlinuz-6.1.0-56-amd64").touch()
    (tmp_path / "boot/vmlinuz-6.12.9-amd64").touch()
    (tmp_path / "boot/vmlinuz-6.12.117-amd64").touch()
    assert "no usr/bin/qemu-system-x86_64" in guest.missing({"KANGDOCK_GUEST": str(tmp_path)})
    assert guest.kernel_version({"KANGDOCK_GUEST": str(tmp_path)}) == "6.12.117-amd64"


def test_what_a_guest_takes_is_fetched_once_and_half_of_it_is_not_kept(tmp_path, monkeypatch, capsys):
    fetched = []

    def unpack(package: str, *, root: Path) -> Path:
        fetched.append(package)
        root.mkdir(exist_ok=True)
        if package.startswith("linux-image"):
            raise debian.Unavailable(f"no {package}")
        return root

    monkeypatch.delenv("KANGDOCK_GUEST", raising=False)
    monkeypatch.setattr(guest, "missing", lambda: "no kernel")
    monkeypatch.setattr(guest, "FETCHED", tmp_path / "guest")
    monkeypatch.setattr(debian, "unpack", unpack)
    assert guest.fetch() == 0
    assert fetched == [*guest.PACKAGES, guest.KERNEL, guest.NEWER_KERNEL]
    assert "guest: not to be had: no linux-image-amd64" in capsys.readouterr().out
    assert not (tmp_path / "guest").exists()
    monkeypatch.setattr(guest, "missing", lambda: None)
    assert guest.fetch() == 0
    assert len(fetched) == len(guest.PACKAGES) + 2


def test_without_a_bluetoothd_to_test_on_the_conformance_suite_says_what_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KANGDOCK_GUEST", str(tmp_path))
    monkeypatch.delenv("KANGDOCK_BLUETOOTHD", raising=False)
    assert conformance.main() == 0
    said = capsys.readouterr().out
    assert "KANGDOCK_BLUETOOTHD=1 is not set" in said
    assert "no kernel in" in said
