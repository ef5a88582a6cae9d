"""How a doctor reads and signs the rules."""

import argparse
import shutil
from pathlib import Path

import pytest

from cloud.ingest import rules_cli
from gateway.clinical import library, signed


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """The chain's own copy of the library."""
    return Path(shutil.copytree(rules_cli.PACKAGED, tmp_path / "rules"))


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    rules_cli.commands(parser.add_subparsers(required=True))
    args = parser.parse_args(["rules", *arguments])
    return int(args.run(args))


def sign(rules: Path, rule: str, name: str = "Dr 陈") -> int:
    return run("sign", rule, "--rules", str(rules), "--name", name, "--role", "lead", "--date", "2026-05-04")


def signed_rules(rules: Path) -> list[str]:
    return [rule.id for rule in library(rules) if signed(rule)]


def test_a_doctor_signs_rules_one_by_one(rules: Path) -> None:
    everything = [rule.id for rule in library(rules)]
    for rule in ("BP-002", "GL-006", everything[-1]):
        assert sign(rules, rule) == 0
    assert signed_rules(rules) == ["BP-002", "GL-006", everything[-1]]
    for rule in everything:
        assert sign(rules, rule) == 0
    assert signed_rules(rules) == everything
    assert run("check", "--rules", str(rules)) == 0


def test_signing_again_replaces_the_signature(rules: Path) -> None:
    sign(rules, "BP-003", "Dr One")
    before = {rule.id: rule.digest for rule in library(rules)}
    sign(rules, "BP-003", 'Dr "Two"')
    assert {rule.id: rule.digest for rule in library(rules)} == before
    text = (rules / "blood_pressure.toml").read_text("utf-8")
    assert text.count("[rule.sign_off]") == 1
    (rule,) = [rule for rule in library(rules) if rule.id == "BP-003"]
    assert rule.sign_off is not None
    assert rule.sign_off.name == 'Dr "Two"'


def test_signing_leaves_every_other_line_as_it_was(rules: Path) -> None:
    file = rules / "glucose.toml"
    remark = "# ---- highs: from here on ----"
    before = file.read_text("utf-8").replace('[[rule]]\nid = "GL-010"', f'{remark}\n[[rule]]\nid = "GL-010"')
    file.write_text(before, "utf-8")
    for name in ("Dr One", "Dr Two"):
        sign(rules, "GL-006", name)
    after = file.read_text("utf-8")
    start = after.index("[rule.sign_off]")
    assert after[:start] + after[after.index(remark) :] == before
    assert len(after[start : after.index(remark)].strip().splitlines()) == 5


def test_an_edit_after_signing_is_seen(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sign(rules, "BP-002")
    file = rules / "blood_pressure.toml"
    file.write_text(file.read_text("utf-8").replace("value = 220", "value = 230"), "utf-8")
    assert run("list", "--rules", str(rules)) == 0
    assert "BP-002\tv1\temergency\tedited since it was signed (Dr 陈, lead, 2026-05-04)" in capsys.readouterr().out
    assert run("check", "--rules", str(rules)) == 1


def test_showing_a_rule_prints_all_a_doctor_has_to_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", "GL-002") == 0
    shown = capsys.readouterr().out
    (rule,) = [rule for rule in library() if rule.id == "GL-002"]
    for part in (rule.name.zh, rule.say.zh, rule.say.en, rule.provenance, rule.digest, '"value": "3"'):
        assert part in shown


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("GL-002", "measured    血糖 / Glucose\n"),
        ("CB-001", "measured    anything, where symptoms were stated\n"),
        ("UA-007", "measured    anything, where symptoms were stated; everybody is asked at 血尿酸 / Uric acid\n"),
    ],
)
def test_a_doctor_sees_at_which_readings_a_rule_speaks(
    rule: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("show", rule) == 0
    assert says in capsys.readouterr().out


def test_a_mistake_is_explained_and_changes_nothing(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (rules / "glucose.toml").read_text("utf-8")
    assert sign(rules, "XX-1") == 1
    assert "There is no rule XX-1" in capsys.readouterr().err
    assert sign(rules, "GL-002", "two\nlines") == 1
    assert "one line" in capsys.readouterr().err
    (rules / "own.toml").write_text("[[rule]]\nid = 'OW-1'\n", "utf-8")
    assert run("check", "--rules", str(rules)) == 1
    assert "own.toml OW-1" in capsys.readouterr().err
    assert run("show", "XX-1") == 1
    assert (rules / "glucose.toml").read_text("utf-8") == before
