"""Readings to tasks: judges them by the clinical rules and raises, withdraws and answers tasks.

It can be run again over any readings at any time and raises nothing twice. What a rule means is
`gateway.clinical`'s, what is known comes from `casebook`, and writing tasks is `cloud.crm.tasks.raising`'s.

How old a reading is. A rule speaks only of readings taken within its `fresh_within_h`, counted from `taken_at`.
Where nobody's clock can be believed it is counted from the reading's arrival in the ledger, the one moment that is
sure: rather a false alarm than a missed one. But such a meter may be handing over its whole memory, so of one
conversation only the newest reading can alarm. An alarm raised in time that then lost its owner stays alarming,
however late the reading is claimed, until somebody has dealt with it.
"""

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Connection

from cloud.crm.members import persons
from cloud.crm.members.persons import Member
from cloud.crm.tasks.raising import NewTask, Reason, answer, raise_tasks, task_id, withdraw
from cloud.ingest import casebook
from cloud.ingest.casebook import Case, KnownTask
from cloud.ledger import answers
from gateway.clinical import Fact, Finding, Measurement, Repeat, Rule, Severity, facts, judge, signed, vocabulary
from gateway.wire.vocabulary import Kind, OffScale

log = logging.getLogger(__name__)

WORSE_BY = Decimal("0.1")
"""A value a tenth worse than the last one is news, also while its rule keeps quiet (rule set, section 2)."""
REMEASURE = "REMEASURE_NOW"
HERE = "nearest_staff"


def assess(
    connection: Connection,
    chain_id: str,
    reading_ids: Collection[UUID],
    *,
    now: datetime,
    rules: Sequence[Rule],
    production: bool,
) -> list[UUID]:
    """Judges these readings in the caller's transaction; returns the ids of the tasks it raised.

    In production unsigned rules raise nothing. One call per transaction: locks are kept until the commit, and two
    calls could wait for each other's.
    """
    active = [rule for rule in rules if signed(rule)] if production else list(rules)
    cases = casebook.lock_readings(connection, chain_id, reading_ids)
    said = answers.about(connection, chain_id, reading_ids)
    if answers.apply(connection, chain_id, said, now):
        cases = casebook.lock_readings(connection, chain_id, reading_ids)
    cases = casebook.with_symptoms(cases, answers.symptoms(said))
    owners = {case.owner_id for case in cases if case.owner_id is not None}
    casebook.lock_members(connection, chain_id, owners)
    members = persons.known(connection, chain_id, owners, now)
    quiet_h = max((max(rule.dedupe_h, rule.fresh_within_h) for rule in active), default=0)
    tasks = casebook.load_tasks(
        connection, chain_id, [case.id for case in cases], owners, now - timedelta(hours=quiet_h)
    )
    session = _Session(chain_id=chain_id, now=now, rules=active, members=members, tasks=_Tasks(tasks))
    worth_it = session.worth_judging(cases)
    history = casebook.load_history(connection, chain_id, worth_it)
    last_of_conversation = _newest_untrusted(cases)
    judged = {case.id for case in worth_it}
    for case in cases:
        session.take(case)
        if case.id in judged:
            session.judge(case, history, alarming=case.time_trusted or case.id in last_of_conversation)
    # Raised first: a later reading of the same call may have answered a task already.
    raised = raise_tasks(connection, chain_id, session.new, now)
    withdraw(connection, chain_id, session.withdrawn, now)
    answer(connection, chain_id, session.still_high, now, outcome=None)
    answer(connection, chain_id, session.calm_again, now, outcome="remeasured_normal")
    if raised or session.withdrawn:
        log.info("assess.done readings=%d raised=%d withdrawn=%d", len(cases), len(raised), len(session.withdrawn))
    return raised


class _Tasks:
    """The tasks that bear on this call, including those it is about to raise."""

    def __init__(self, tasks: Iterable[KnownTask]) -> None:
        self._by_reading: defaultdict[UUID | None, list[KnownTask]] = defaultdict(list)
        self._by_member: defaultdict[UUID | None, list[KnownTask]] = defaultdict(list)
        for task in tasks:
            self.add(task)

    def add(self, task: KnownTask) -> None:
        self._by_reading[task.reading_id].append(task)
        self._by_member[task.member_id].append(task)

    def about(self, case: Case) -> list[KnownTask]:
        return self._by_reading[case.id]

    def of(self, member: Member) -> list[KnownTask]:
        return self._by_member[member.id]


@dataclass(slots=True, kw_only=True)
class _Session:
    """One call's decisions; nothing is written until all are made."""

    chain_id: str
    now: datetime
    rules: Sequence[Rule]
    members: Mapping[UUID, Member]
    tasks: _Tasks
    new: list[NewTask] = field(default_factory=list)
    withdrawn: dict[UUID, Reason] = field(default_factory=dict)
    calm_again: dict[UUID, UUID] = field(default_factory=dict)
    still_high: dict[UUID, UUID] = field(default_factory=dict)

    def worth_judging(self, cases: Iterable[Case]) -> list[Case]:
        """Those that may alarm or already did: an old memory costs no history."""
        fresh_h: defaultdict[Kind, int] = defaultdict(int)
        for rule in self.rules:
            for kind in Kind if rule.kind is None else (rule.kind,):
                fresh_h[kind] = max(fresh_h[kind], rule.fresh_within_h)
        return [
            case
            for case in cases
            if case.measurement is not None
            and (
                self._age(case) <= timedelta(hours=fresh_h[case.kind])
                or any(task.status != "completed" for task in self.tasks.about(case))
            )
        ]

    def take(self, case: Case) -> None:
        """Withdraws what was raised for somebody else."""
        member_id = self._member_id(case)
        for task in self.tasks.about(case):
            if task.open and task.member_id != member_id:
                self.withdrawn[task.id] = Reason.OWNER_CHANGED

    def judge(self, case: Case, history: Mapping[tuple[UUID, Kind], list[Measurement]], *, alarming: bool) -> None:
        """Decides what becomes of `case`: a task, or none; and of the tasks it answers or contradicts."""
        assert case.measurement is not None  # noqa: S101 - worth_judging saw to it
        member = self.members.get(case.owner_id) if case.owner_id else None
        past = history.get((member.id, case.kind), ()) if member and case.time_trusted else ()
        known = facts(case.measurement, member.person if member else None, past)
        fired = judge((rule for rule in self.rules if rule.speaks_of(case.kind)), known)
        self._withdraw_what_does_not_hold(case, {finding.rule.id for finding in fired})
        if member and case.time_trusted:
            self._answer(case, member, known)
        unanswered = self._lost_its_owner(case)
        due = [
            finding
            for finding in fired
            if (unanswered or (alarming and self._age(case) <= timedelta(hours=finding.rule.fresh_within_h)))
            # Somebody in the store whom nobody knows yet: help in an emergency, the rest waits for the claim.
            and (member or finding.rule.severity is Severity.EMERGENCY)
            and not self._already(case, finding)
            and not (member and self._keeps_quiet(case, member, finding.rule))
        ]
        if due and not self._graver_waits(case, due[0].rule):
            self._raise(case, member, due)

    def _raise(self, case: Case, member: Member | None, due: list[Finding]) -> None:
        worst, *others = due
        rule = worst.rule
        member_id = member.id if member else None
        for old in self.tasks.about(case):
            if old.open:
                self.withdrawn.setdefault(old.id, Reason.SUPERSEDED)
        times = sum(
            old.member_id == member_id and old.rule_id == rule.id and self._cancelled(old)
            for old in self.tasks.about(case)
        )
        task = NewTask(
            # Whoever is nearest acts where it was measured; everybody else where the member is cared for.
            store_id=case.store_id if member is None or rule.performer_role == HERE else member.store_id,
            member_id=member_id,
            reading_id=case.id,
            finding=worst,
            other_rules=tuple(finding.rule.id for finding in others),
            dedupe_key=f"alert:{case.id}:{member_id or 'store'}:{rule.id}:{times}",
        )
        self.new.append(task)
        self.tasks.add(
            KnownTask(
                id=task_id(self.chain_id, task),
                member_id=member_id,
                reading_id=case.id,
                rules=frozenset(finding.rule.id for finding in due),
                rule_id=rule.id,
                severity=rule.severity,
                action=rule.action,
                status="ready",
                raised_at=self.now,
                taken_at=case.taken_at,
                values=case.values,
            )
        )

    def _withdraw_what_does_not_hold(self, case: Case, fired: set[str]) -> None:
        judged = {rule.id for rule in self.rules}
        for task in self.tasks.about(case):
            if task.open and task.rule_id in judged and task.rule_id not in fired:
                self.withdrawn.setdefault(task.id, Reason.NO_LONGER_TRUE)

    def _answer(self, case: Case, member: Member, known: Mapping[str, Fact]) -> None:
        """Closes what asked for this measurement: taken after the rest a repeat needs, and soon enough."""
        repeat = next((d for d in vocabulary().derived if isinstance(d, Repeat) and d.kind is case.kind), None)
        if repeat is None:
            return
        for task in self.tasks.of(member):
            if not task.open or task.action != REMEASURE or task.taken_at is None:
                continue
            if repeat.apart <= case.taken_at - task.taken_at <= repeat.within:
                closing = self.still_high if known.get(repeat.name) is True else self.calm_again
                closing[task.id] = case.id

    def _already(self, case: Case, finding: Finding) -> bool:
        """Whether somebody has this finding on their list or has dealt with it.

        What was done for a person nobody knew was done for this one; what was done for another member was not.
        """
        member_id = self._member_id(case)
        return any(
            finding.rule.id in task.rules and task.member_id in (None, member_id) and not self._cancelled(task)
            for task in self.tasks.about(case)
        )

    def _graver_waits(self, case: Case, rule: Rule) -> bool:
        return any(
            task.open and task.id not in self.withdrawn and task.severity >= rule.severity
            for task in self.tasks.about(case)
        )

    def _lost_its_owner(self, case: Case) -> bool:
        return any(self._cancelled(task) for task in self.tasks.about(case))

    def _keeps_quiet(self, case: Case, member: Member, rule: Rule) -> bool:
        """Whether the rule has spoken of this member lately; an emergency never keeps quiet."""
        if rule.severity is Severity.EMERGENCY:
            return False
        return any(
            rule.id in task.rules
            and task.reading_id != case.id
            and not self._cancelled(task)
            and self.now - task.raised_at <= self._quiet_for(rule, task)
            and not _worse(rule, case.values, task.values)
            for task in self.tasks.of(member)
        )

    def _quiet_for(self, rule: Rule, task: KnownTask) -> timedelta:
        # While the last task still waits, another one for the same thing only makes the list longer.
        waiting = task.open and task.id not in self.calm_again and task.id not in self.still_high
        return timedelta(hours=max(rule.dedupe_h, rule.fresh_within_h) if waiting else rule.dedupe_h)

    def _cancelled(self, task: KnownTask) -> bool:
        return task.status == "cancelled" or task.id in self.withdrawn

    def _age(self, case: Case) -> timedelta:
        return self.now - (case.taken_at if case.time_trusted else case.stored_at)

    def _member_id(self, case: Case) -> UUID | None:
        return case.owner_id if case.owner_id in self.members else None


def _newest_untrusted(cases: Iterable[Case]) -> set[UUID]:
    newest: dict[tuple[str, str], UUID] = {}
    for case in cases:  # oldest first
        if not case.time_trusted:
            newest[case.device_key, case.conversation] = case.id
    return set(newest.values())


def _worse(rule: Rule, new: Mapping[str, Decimal | OffScale], old: Mapping[str, Decimal | OffScale]) -> bool:
    return any(q in new and q in old and _is_worse(rule.worse, new[q], old[q]) for q in rule.quantities)


def _is_worse(direction: str, new: Decimal | OffScale, old: Decimal | OffScale) -> bool:
    beyond = OffScale.HI if direction == "higher" else OffScale.LO
    if isinstance(new, OffScale) or isinstance(old, OffScale):
        return new is beyond and old is not beyond
    return new >= old * (1 + WORSE_BY) if direction == "higher" else new <= old * (1 - WORSE_BY)
