"""Tasks as people read them: the member as far as may be shown, the reading, the rule's words, the last contact.

The same shapes are the API's answers, so a page and a program never see two truths.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from cloud.crm import audit
from cloud.crm.access import Person, Reader, focuses_of, present
from cloud.crm.members import service as members_service
from cloud.crm.readings import ReadingView, person_of, view
from cloud.crm.staff.service import names_of
from cloud.crm.stores.service import store_names
from cloud.crm.tasks import service
from cloud.crm.tasks.outcomes import CLOSED_BY_ITSELF, OUTCOMES
from cloud.crm.tasks.raising import OPEN, Reason
from cloud.i18n import N_, Translator
from cloud.ledger import answers, store
from cloud.ledger.tables import readings
from gateway import clinical


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """When somebody last tried to reach the member, and what came of it."""

    at: datetime
    outcome: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskView:
    """One task for one reader. `member` is None where nobody is known yet or the member is another store's."""

    id: UUID
    title: str
    rule_id: str
    rule_version: str
    severity: int
    severity_word: str
    action: str
    performer: str
    status: str
    member: Person | None
    member_elsewhere: bool
    reading: ReadingView | None
    store_id: str
    store_name: str
    raised_at: datetime
    due_at: datetime
    snooze_until: datetime | None
    owner: str | None
    mine: bool
    open: bool
    outcome: str | None
    outcome_label: str | None
    ended: str  # how, in words: the result, or why the system closed it; empty while it is open
    closed_at: datetime | None
    last_contact: Contact | None


def views(
    connection: Connection,
    reader: Reader,
    rows: Sequence[Any],
    t: Translator,
    now: datetime,
    *,
    rules: Mapping[str, clinical.Rule],
    page: str,
) -> list[TaskView]:
    """`rows` of the task service, dressed for a list; members shown are recorded under `page`."""
    dressed = _dressed(connection, reader, rows, t, now, rules)
    audit.saw_listed(connection, reader, {id_ for task in dressed for id_ in _shown(task)}, page, now)
    return dressed


def one(
    connection: Connection,
    reader: Reader,
    row: Any,
    t: Translator,
    now: datetime,
    *,
    rules: Mapping[str, clinical.Rule],
) -> TaskView:
    """One task opened by itself; the view of its member is recorded each time."""
    (task,) = _dressed(connection, reader, [row], t, now, rules)
    for member_id in _shown(task):
        audit.saw(connection, reader, member_id, "task")
    return task


def _shown(task: TaskView) -> set[UUID]:
    """The members of whom this shows something: another store's member by the reading alone."""
    shown = {task.member.id} if task.member is not None else set()
    if task.reading is not None and task.reading.member_id is not None:
        shown.add(task.reading.member_id)
    return shown


def _dressed(
    connection: Connection,
    reader: Reader,
    rows: Sequence[Any],
    t: Translator,
    now: datetime,
    rules: Mapping[str, clinical.Rule],
) -> list[TaskView]:
    today = members_service.shown_date(now)
    people = members_service.rows_of(connection, reader, {row.member_id for row in rows if row.member_id})
    wanted = {row.reading_id for row in rows if row.reading_id}
    allowed = (
        connection.execute(
            focuses_of(reader).where(readings.c.id.in_(wanted)).with_only_columns(readings.c.id)
        ).scalars()
        if wanted
        else ()
    )
    focuses = {row.id: row for row in store.by_ids(connection, reader.chain_id, list(allowed))}
    owners = names_of(connection, reader.chain_id, {row.owner_staff_id for row in rows if row.owner_staff_id})
    stores = store_names(connection, reader.chain_id, {row.store_id for row in rows})
    contacts = service.last_contacts(connection, reader, set(people))
    by_itself = {row.id for row in rows if row.status not in OPEN and row.outcome is None}
    reasons = service.reasons(connection, reader, by_itself)
    return [
        _view(
            row,
            member=people.get(row.member_id),
            person=present(reader, people[row.member_id], today) if row.member_id in people else None,
            reading=view(focuses[row.reading_id], person_of(people.get(row.member_id), today), t)
            if row.reading_id in focuses
            else None,
            owner=owners.get(row.owner_staff_id),
            mine=row.owner_staff_id == reader.staff_id,
            store_name=stores.get(row.store_id, row.store_id),
            contact=contacts.get(row.member_id),
            title=title_of(row.rule_id, rules, t),
            reason=reasons.get(row.id),
            t=t,
        )
        for row in rows
    ]


def _view(
    row: Any,
    *,
    member: Any,
    person: Person | None,
    reading: ReadingView | None,
    owner: str | None,
    mine: bool,
    store_name: str,
    contact: Any,
    title: str,
    reason: str | None,
    t: Translator,
) -> TaskView:
    words = clinical.words()
    return TaskView(
        id=row.id,
        title=title,
        rule_id=row.rule_id,
        rule_version=row.rule_version,
        severity=row.severity,
        severity_word=_pair(words.severities.get(clinical.Severity(row.severity)), t, str(row.severity)),
        action=_pair(words.actions.get(row.action), t, row.action),
        performer=_pair(words.roles.get(row.performer_role), t, row.performer_role),
        status=row.status,
        member=person,
        member_elsewhere=row.member_id is not None and member is None,
        reading=reading,
        store_id=row.store_id,
        store_name=store_name,
        raised_at=row.raised_at,
        due_at=row.due_at,
        snooze_until=row.snooze_until,
        owner=owner,
        mine=mine,
        open=row.status in OPEN,
        outcome=row.outcome,
        outcome_label=outcome_label(row.outcome, t),
        ended="" if row.status in OPEN else outcome_label(row.outcome, t) or reason_label(reason, t),
        closed_at=row.closed_at,
        last_contact=Contact(
            at=contact.at, outcome=contact.outcome, label=outcome_label(contact.outcome, t) or contact.outcome
        )
        if contact is not None
        else None,
    )


def outcome_label(code: str | None, t: Translator) -> str | None:
    """An outcome's words; a code of an older release stays as it is."""
    if code is None:
        return None
    return t(OUTCOMES[code].label) if code in OUTCOMES else code


def reason_label(code: str | None, t: Translator) -> str:
    """Why the system closed a task, in words; a code of another release is named as no reason we know."""
    return t(CLOSED_BY_ITSELF[Reason(code)]) if code in CLOSED_BY_ITSELF else t(N_("Withdrawn"))


def condition_labels(codes: Sequence[str], t: Translator) -> list[str]:
    """Conditions in words."""
    known = clinical.words().conditions
    return [_pair(known.get(code), t, code) for code in codes]


def symptoms_stated(
    connection: Connection, reader: Reader, reading: ReadingView | None, t: Translator
) -> list[str] | None:
    """What the customer said at the dock when the task's reading was taken; None where nobody asked."""
    if reading is None:
        return None
    said = answers.symptoms(answers.about(connection, reader.chain_id, {reading.id}))
    known = clinical.words().symptoms
    return [_pair(known.get(code), t, code) for code in sorted(said[reading.id])] if reading.id in said else None


def title_of(rule_id: str, rules: Mapping[str, clinical.Rule], t: Translator) -> str:
    """A rule's name; an id that the chain's rules have no more stays as it is."""
    rule = rules.get(rule_id)
    return _pair(rule.name, t, rule_id) if rule is not None else rule_id


def _pair(text: clinical.Text | None, t: Translator, otherwise: str) -> str:
    return t.pick(text.zh, text.en) if text is not None else otherwise
