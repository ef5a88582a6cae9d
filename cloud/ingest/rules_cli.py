"""`python -m cloud rules`: lists, shows, checks and signs the clinical rules. It knows no medicine.

How a doctor signs. Read what `rules show BP-002` prints: condition, action, deadline, the words staff will say,
the sources. If it is right for this chain:

    python -m cloud rules sign BP-002 --rules /etc/kangdock/rules --name "Dr Chen" --role "medical lead"

That writes name, role, date and the digest of exactly this content under the rule in its TOML file, which then
belongs under version control. Whoever edits the rule afterwards makes it unsigned again, and an unsigned rule
raises no task in production. `--rules` is a chain's own copy of the library; by default the packaged files.
"""

import argparse
import json
import os
import re
import sys
import tempfile
from datetime import UTC, date, datetime
from importlib import resources
from pathlib import Path

from gateway.clinical import ClinicalDataError, Rule, library, read, signed, words
from gateway.clinical.language import plain
from gateway.wire.vocabulary import KINDS

PACKAGED = Path(str(resources.files("gateway.clinical").joinpath("library")))
_RULE = re.compile(r"^\[\[rule\]\]", re.MULTILINE)
_SIGN_OFF = re.compile(r"\n*^\[rule\.sign_off\]\n(?:(?:name|role|date|digest)\b.*\n?)*", re.MULTILINE)
_REMARKS = re.compile(r"(?:^[ \t]*(?:#.*)?\n)*\Z", re.MULTILINE)
MAX_SIGNER = 80
"""A name and a role fit in a line; more is a mistake."""


def commands(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `rules list|show|sign|check` to the command line."""
    rules = subparsers.add_parser(
        "rules", help="clinical rules: list, show, sign, check", description=__doc__, formatter_class=_Verbatim
    )
    actions = rules.add_subparsers(required=True, metavar="ACTION")
    for name, run, help_ in (
        ("list", _list, "every rule: id, severity, signed or not, name"),
        ("show", _show, "one rule in full, as a doctor has to read it"),
        ("sign", _sign, "sign one rule as it stands"),
        ("check", _check, "read every file; exit 1 and say why if one is wrong or a rule is unsigned"),
    ):
        action = actions.add_parser(name, help=help_)
        action.set_defaults(run=run)
        action.add_argument("--rules", type=Path, default=PACKAGED, help="directory of rule files")
        if name in ("show", "sign"):
            action.add_argument("id", help="the rule's id, such as BP-002")
        if name == "sign":
            action.add_argument("--name", required=True, help="who signs")
            action.add_argument("--role", required=True, help="as what they sign, such as 'medical lead'")
            action.add_argument("--date", type=date.fromisoformat, help="YYYY-MM-DD, today unless given")


class RefusedToSign(ValueError):
    """A rule was not signed and its file is as it was; the message says why."""


def sign(directory: Path, rule_id: str, *, name: str, role: str, on: date) -> Path:
    """Signs one rule in its file and returns the file; raises RefusedToSign or ClinicalDataError."""
    for signer in (name, role):
        if not signer.strip() or len(signer) > MAX_SIGNER or not signer.isprintable():
            raise RefusedToSign("Name and role are each one line of at most 80 characters.")
    for file in sorted(directory.glob("*.toml")):
        content = file.read_text("utf-8")
        rule = next((rule for rule in read(content, file.name) if rule.id == rule_id), None)
        if rule is None:
            continue
        signed_content = _with_sign_off(content, file.name, rule, name=name, role=role, on=on)
        _replace(file, signed_content)
        return file
    raise RefusedToSign(f"There is no rule {rule_id} in {directory.name}.")


def _with_sign_off(content: str, file: str, rule: Rule, *, name: str, role: str, on: date) -> str:
    position = [r.id for r in read(content, file)].index(rule.id)
    starts = [match.start() for match in _RULE.finditer(content)] + [len(content)]
    head, block, tail = (
        content[: starts[position]],
        content[starts[position] : starts[position + 1]],
        content[starts[position + 1] :],
    )
    # A JSON string is a TOML basic string.
    sign_off = (
        "[rule.sign_off]\n"
        f"name = {json.dumps(name, ensure_ascii=False)}\n"
        f"role = {json.dumps(role, ensure_ascii=False)}\n"
        f"date = {on.isoformat()}\n"
        f'digest = "{rule.digest}"\n'
    )
    block = _SIGN_OFF.sub("\n", block)
    # Remarks at the end of the block introduce the next rule, and stay in front of it.
    remarks = _REMARKS.search(block)
    end = remarks.start() if remarks else len(block)
    result = f"{head}{block[:end].rstrip()}\n\n{sign_off}{block[end:]}{tail}"
    # Nothing else may have changed, whatever the file looked like.
    before = {r.id: (r.digest, r.sign_off) for r in read(content, file) if r.id != rule.id}
    after = {r.id: r for r in read(result, file)}
    if not signed(after.pop(rule.id)) or before != {r.id: (r.digest, r.sign_off) for r in after.values()}:
        raise RefusedToSign(f"{file} is laid out in a way that cannot be signed safely; nothing was changed.")
    return result


def _replace(file: Path, content: str) -> None:
    """Writes the whole file or nothing."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=file.name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        Path(name).chmod(file.stat().st_mode)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _list(args: argparse.Namespace) -> int:
    rules = _read(args.rules)
    if rules is None:
        return 1
    for rule in rules:
        print(f"{rule.id}\tv{rule.version}\t{rule.severity.word}\t{_state(rule)}\t{rule.name.zh}\t{rule.name.en}")
    return 0


def _show(args: argparse.Namespace) -> int:
    rule = next((rule for rule in _read(args.rules) or () if rule.id == args.id), None)
    if rule is None:
        return _complain(f"There is no rule {args.id}; `rules list` shows all.")
    w = words()
    for label, value in (
        ("rule", f"{rule.id} version {rule.version}, {_state(rule)}"),
        ("name", f"{rule.name.zh} / {rule.name.en}"),
        ("context", f"{rule.context.zh} / {rule.context.en}"),
        ("measured", _measured(rule)),
        ("condition", json.dumps(plain(rule.condition), ensure_ascii=False)),
        ("severity", f"{w.severities[rule.severity].zh} / {w.severities[rule.severity].en}"),
        ("action", f"{w.actions[rule.action].zh} / {w.actions[rule.action].en}"),
        ("by", f"{w.roles[rule.performer_role].zh}, within {rule.deadline_min} min"),
        ("verify", f"{w.verify[rule.verify].zh} / {w.verify[rule.verify].en}"),
        ("speaks of", f"readings of the last {rule.fresh_within_h} h, again after {rule.dedupe_h} h"),
        ("say", f"{rule.say.zh}\n{'':12}{rule.say.en}"),
        ("sources", "; ".join(w.sources[source] for source in rule.sources)),
        ("provenance", rule.provenance),
        ("digest", rule.digest),
    ):
        print(f"{label:<11} {value}")
    if rule.protocol:
        card = w.protocols[rule.protocol]
        print(f"{'card':<11} {card.title.zh} / {card.title.en}")
        for number, step in enumerate(card.steps, 1):
            print(f"{number:>11}. {step.zh}\n{'':12} {step.en}")
    return 0


def _measured(rule: Rule) -> str:
    """At which readings it speaks."""
    if rule.kind is not None:
        return f"{KINDS[rule.kind].zh} / {KINDS[rule.kind].en}"
    everybody = "".join(
        f"; everybody is asked at {KINDS[kind].zh} / {KINDS[kind].en}" for kind in sorted(rule.asks)
    )
    return f"anything, where symptoms were stated{everybody}"


def _sign(args: argparse.Namespace) -> int:
    on = args.date or datetime.now(UTC).astimezone().date()
    try:
        file = sign(args.rules, args.id, name=args.name, role=args.role, on=on)
    except (RefusedToSign, ClinicalDataError, OSError) as error:
        return _complain(str(error))
    print(f"{args.id} is signed in {file.name}. Any later change to the rule makes it unsigned again.")
    return 0


def _check(args: argparse.Namespace) -> int:
    rules = _read(args.rules)
    if rules is None:
        return 1
    unsigned = [rule for rule in rules if not signed(rule)]
    for rule in unsigned:
        print(f"{rule.id}\t{_state(rule)}")
    print(f"{len(rules)} rules, {len(unsigned)} unsigned")
    return 1 if unsigned else 0


def _state(rule: Rule) -> str:
    if rule.sign_off is None:
        return "unsigned"
    by = f"{rule.sign_off.name}, {rule.sign_off.role}, {rule.sign_off.date.isoformat()}"
    return f"signed ({by})" if signed(rule) else f"edited since it was signed ({by})"


def _read(directory: Path) -> tuple[Rule, ...] | None:
    try:
        return library(directory)
    except (ClinicalDataError, OSError) as error:
        _complain(str(error))
        return None


def _complain(message: str) -> int:
    print(message, file=sys.stderr)
    return 1


class _Verbatim(argparse.RawDescriptionHelpFormatter):
    """Keeps the example's line breaks."""
