"""`make setup` when there is nothing to do, and when it cannot be done; the whole of it is what CI begins with."""

from pathlib import Path

import pytest

from cloud.demo import environment


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A project of one dependency, without an environment yet."""
    (tmp_path / "constraints.txt").write_text("")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "kangdock"\nversion = "0"\n')
    monkeypatch.setattr(environment, "PROJECT", tmp_path)
    monkeypatch.setattr(environment, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(environment, "READY", tmp_path / ".venv" / "ready")
    return tmp_path


def test_nothing_happens_when_nothing_changed(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / ".venv" / "bin").mkdir(parents=True)
    (project / ".venv" / "bin" / "python").touch()
    (project / ".venv" / "ready").write_text(environment.fingerprint())
    assert environment.main() == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("changed", ["pyproject.toml", "constraints.txt"])
def test_a_changed_dependency_makes_it_new(project: Path, changed: str) -> None:
    before = environment.fingerprint()
    (project / changed).write_text("# changed")
    assert environment.fingerprint() != before


def test_what_pip_said_is_shown_when_it_fails(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "constraints.txt").unlink()
    (project / "constraints.txt").symlink_to(project / "pyproject.toml")  # not a list of constraints
    assert environment.main() == 1
    said = capsys.readouterr().out
    assert "Invalid" in said or "ERROR" in said
    assert "`" in said.splitlines()[-1]
    assert not environment.READY.exists()
