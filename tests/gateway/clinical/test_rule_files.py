"""What somebody who writes or signs a rule file is told."""

import re
from datetime import date
from pathlib import Path

import pytest

from gateway.clinical import ClinicalDataError, library, read, signed
from gateway.wire.vocabulary import Kind

RULE = """
[[rule]]
id = "XX-001"
version = 1
kind = "glucose"
name = { zh = "低", en = "Low" }
context = { zh = "任何时候", en = "Any time" }
condition = { var = "glucose_mmol_l", op = "<", value = 3.0 }
severity = "emergency"
action = "CALL_120_STAY"
performer_role = "nearest_staff"
deadline_min = 5
verify = "none"
worse = "lower"
dedupe_h = 0
fresh_within_h = 6
say = { zh = "请吃糖", en = "Please take sugar" }
sources = ["CDS"]
provenance = "As the source has it."
"""
CONDITION = 'condition = { var = "glucose_mmol_l", op = "<", value = 3.0 }'


def complaint(old: str, new: str) -> str:
    assert old in RULE
    with pytest.raises(ClinicalDataError) as error:
        read(RULE.replace(old, new), "own.toml")
    return str(error.value)


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        (
            '{ var = "glucose_mg_dl", op = "<", value = 54 }',
            "own.toml XX-001 condition.var: 'glucose_mg_dl' is unknown; a quantity's name ends in its unit: "
            "glucose_mmol_l (in mmol/L)",
        ),
        ('{ var = "mood", op = "<", value = 3 }', "own.toml XX-001 condition.var: 'mood' is unknown"),
        (
            '{ var = "glucose_mmol_l", op = "=<", value = 3.0 }',
            "own.toml XX-001 condition.op: glucose_mmol_l takes == != < <= > >=, not '=<'",
        ),
        (
            '{ var = "glucose_mmol_l", op = "<", value = 126 }',
            "own.toml XX-001 condition.value: 126 cannot be a glucose_mmol_l (0.3 to 60.0 mmol/L); "
            "is it in another unit?",
        ),
        (
            '{ var = "glucose_mmol_l", op = "<", value = 3.05 }',
            "own.toml XX-001 condition.value: glucose_mmol_l has 1 decimals, 3.05 has more",
        ),
        (
            '{ var = "glucose_mmol_l", op = "<", value = "LO" }',
            "own.toml XX-001 condition.value: glucose_mmol_l is compared with a number, not 'LO'",
        ),
        (
            '{ all = [ { var = "meal", op = "in", value = ["fasting", "unknown"] } ] }',
            "own.toml XX-001 condition.all[0].value: meal is never 'unknown'",
        ),
        (
            '{ not = { var = "conditions", op = "has_any", value = "dm" } }',
            "own.toml XX-001 condition.not.value: has_any needs a list of words",
        ),
        (
            '{ var = "pregnant_or_lactating", op = "==", value = 1 }',
            "own.toml XX-001 condition.value: pregnant_or_lactating is true or false, not 1",
        ),
        ("{ all = [] }", "own.toml XX-001 condition.all: needs a list with at least one condition"),
        ('{ var = "age_years" }', "own.toml XX-001 condition: a condition has exactly all, any, not, or var"),
        ("3", "own.toml XX-001 condition: a condition is a table"),
        (
            '{ var = "age_years", op = ">=", value = 65 }',
            "own.toml XX-001 condition: compares no quantity of a glucose reading",
        ),
    ],
)
def test_a_wrong_condition_is_named_with_file_rule_and_field(condition: str, says: str) -> None:
    assert complaint(CONDITION, f"condition = {condition}").startswith(says)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('severity = "emergency"', 'severity = "bad"', "own.toml XX-001 severity: 'bad' is none of attention,"),
        ('kind = "glucose"', 'kind = "sugar"', "own.toml XX-001 kind: 'sugar' is none of"),
        ('sources = ["CDS"]', "sources = []", "own.toml XX-001 sources: a rule without a source is nobody's"),
        ('sources = ["CDS"]', 'sources = ["ME"]', "own.toml XX-001 sources: 'ME' is not in words.toml"),
        ("deadline_min = 5", "deadline_min = 0", "own.toml XX-001 deadline_min: needs a whole number from 1"),
        ("dedupe_h = 0", "dedup_h = 0", "own.toml XX-001 dedupe_h: needs a whole number"),
        ("dedupe_h = 0", "dedupe_h = 0\nsnooze = 1", "own.toml XX-001: no such field: snooze"),
        ('en = "Low"', 'en = ""', "own.toml XX-001 name.en: is empty"),
        ('id = "XX-001"\n', "", "own.toml rule[0] id: needs a text"),
        ("[[rule]]", "[rule]", "own.toml: a rule file holds [[rule]] tables and nothing else"),
        ("version = 1", "version = ", "own.toml: "),
    ],
)
def test_a_wrong_field_is_named_with_file_and_rule(old: str, new: str, says: str) -> None:
    assert complaint(old, new).startswith(says)


def test_one_id_cannot_be_two_rules(tmp_path: Path) -> None:
    for name in ("a.toml", "b.toml"):
        (tmp_path / name).write_text(RULE, "utf-8")
    with pytest.raises(ClinicalDataError, match=re.escape("b.toml XX-001: this id is used twice")):
        library(tmp_path)


def sign(toml: str) -> str:
    (rule,) = read(toml, "own.toml")
    today = date(2026, 5, 4).isoformat()
    return f'{toml}\n[rule.sign_off]\nname = "Dr"\nrole = "lead"\ndate = {today}\ndigest = "{rule.digest}"\n'


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("value = 3.0", "value = 3.00"),
        ("dedupe_h = 0\n", "dedupe_h    = 0  # a remark\n"),
        ('say = { zh = "请吃糖", en = "Please take sugar" }', 'say.zh = "请吃糖"\nsay.en = "Please take sugar"'),
    ],
)
def test_a_signed_rule_stays_signed_however_it_is_laid_out(old: str, new: str) -> None:
    assert old in RULE
    (rule,) = read(sign(RULE).replace(old, new), "own.toml")
    assert signed(rule)


@pytest.mark.parametrize(
    ("old", "new"),
    [("value = 3.0", "value = 3.1"), ("请吃糖", "请吃饭"), ("dedupe_h = 0", "dedupe_h = 1"), ('"<"', '"<="')],
)
def test_an_edited_rule_is_unsigned_again(old: str, new: str) -> None:
    (rule,) = read(sign(RULE).replace(old, new), "own.toml")
    assert rule.sign_off is not None
    assert not signed(rule)


COMPLAINT = (
    RULE.replace('kind = "glucose"\n', "")
    .replace('worse = "lower"\n', "")
    .replace(CONDITION, 'condition = { var = "symptoms", op = "has_any", value = ["jaundice"] }')
)


def test_a_rule_without_a_kind_speaks_of_every_reading_and_is_asked_only_where_it_says_so() -> None:
    (rule,) = read(COMPLAINT, "own.toml")
    assert all(rule.speaks_of(kind) for kind in Kind)
    assert (rule.asks, rule.symptoms, rule.quantities) == (frozenset(), {"jaundice"}, ())
    (rule,) = read(COMPLAINT + 'asks = ["lipid_panel"]\n', "own.toml")
    assert rule.asks == {Kind.LIPID_PANEL}
    (rule,) = read(RULE, "own.toml")
    assert [kind for kind in Kind if rule.speaks_of(kind)] == [Kind.GLUCOSE]


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        (COMPLAINT + 'asks = ["sugar"]', "own.toml XX-001 asks: is a list of "),
        (COMPLAINT + 'asks = [["glucose"]]', "own.toml XX-001 asks: is a list of "),
        (COMPLAINT + 'worse = "higher"', "own.toml XX-001: no such field: worse"),
        (RULE + 'asks = ["glucose"]', "own.toml XX-001: no such field: asks"),
        (
            COMPLAINT.replace("symptoms", "medications").replace("jaundice", "statin"),
            "own.toml XX-001 condition: without a kind it must be about symptoms",
        ),
        (
            RULE.replace('kind = "glucose"\n', "").replace('worse = "lower"\n', ""),
            "own.toml XX-001 condition: without",
        ),
        (
            COMPLAINT.replace(
                'condition = { var = "symptoms", op = "has_any", value = ["jaundice"] }',
                'condition = { all = [ { var = "symptoms", op = "has_any", value = ["jaundice"] }, '
                '{ var = "glucose_mmol_l", op = "<", value = 3.0 } ] }',
            ),
            "own.toml XX-001 condition: glucose_mmol_l belongs to a kind of reading",
        ),
    ],
)
def test_a_rule_without_a_kind_is_about_what_somebody_feels(toml: str, says: str) -> None:
    with pytest.raises(ClinicalDataError) as error:
        read(toml, "own.toml")
    assert str(error.value).startswith(says)
