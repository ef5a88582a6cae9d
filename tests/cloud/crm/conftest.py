"""Two chains, three stores, staff of every role, a few members with readings and tasks, and signed-in clients."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid5

import psycopg
import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Connection, insert

from cloud import config, db, live
from cloud.crm.app import create_app
from cloud.crm.fleet.tables import gateways
from cloud.crm.members.tables import members
from cloud.crm.staff import service
from cloud.crm.staff.tables import staff
from cloud.crm.stores.tables import org_units
from cloud.crm.tasks.tables import task_events, tasks
from cloud.demo.servers import Postgres
from cloud.ledger import store as ledger
from gateway.wire import codec
from gateway.wire.messages import Device, Reading, TakenAt, TimeQuality
from gateway.wire.vocabulary import Kind, Meal, OffScale

SPACE = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
PASSWORD = "correct horse battery"
QUICK = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
PASSWORD_HASH = QUICK.hash(PASSWORD)
_numbers = itertools.count(1)

UNITS = (
    ("kang", "kang", "chain", "/kang/", "康宁连锁"),
    ("kang", "north", "area", "/kang/north/", "北区"),
    ("kang", "south", "area", "/kang/south/", "南区"),
    ("kang", "n01", "store", "/kang/north/n01/", "建国路店"),
    ("kang", "s01", "store", "/kang/south/s01/", "滨河路店"),
    ("yi", "yi", "chain", "/yi/", "益民连锁"),
    ("yi", "east", "area", "/yi/east/", "东区"),
    ("yi", "e01", "store", "/yi/east/e01/", "东门店"),
)
# login -> (chain, unit, role, name)
STAFF = {
    "clerk": ("kang", "n01", "clerk", "李小敏"),
    "clerk2": ("kang", "n01", "clerk", "王小明"),
    "specialist": ("kang", "n01", "specialist", "陈静"),
    "manager": ("kang", "n01", "store_manager", "赵店长"),
    "area": ("kang", "north", "area_manager", "孙区域"),
    "head": ("kang", "kang", "head_office", "周总部"),
    "engineer": ("kang", "kang", "field_engineer", "吴工"),
    "other_store": ("kang", "s01", "store_manager", "郑店长"),
    "other_area": ("kang", "south", "area_manager", "冯区域"),
    "other_chain": ("yi", "yi", "head_office", "钱总部"),
    "other_chain_store": ("yi", "e01", "store_manager", "何店长"),
}
# name -> (chain, store, code, phone, birth, conditions)
MEMBERS = {
    "张桂兰": ("kang", "n01", "M10001", "13812345678", date(1958, 5, 2), ["htn", "dm"]),
    "刘建国": ("kang", "n01", "M10002", "13812345678", date(1955, 1, 20), ["htn"]),
    "杨秀英": ("kang", "s01", "M20001", "13987654321", date(1949, 11, 3), ["dm"]),
    "黄志强": ("yi", "e01", "M30001", "13700001111", date(1970, 7, 7), []),
}
PHONES = tuple(sorted({row[3] for row in MEMBERS.values()}))


def id_of(name: str) -> UUID:
    """The id of a member, task or reading of the seed by its name."""
    return uuid5(SPACE, name)


def reading(
    name: str,
    kind: Kind,
    at: datetime,
    values: dict[str, str],
    *,
    meal: Meal = Meal.UNKNOWN,
    off_scale: dict[str, OffScale] | None = None,
) -> Reading:
    """A plausible reading of a counter's meter."""
    return Reading(
        id=id_of(name),
        kind=kind,
        device=Device(
            key=f"sn-{kind}", maker="鱼跃", model="YE680" if kind is Kind.BLOOD_PRESSURE else "Accusure"
        ),
        record_key=name,
        time=TakenAt(at=at, quality=TimeQuality.DEVICE, received=at),
        conversation=id_of("conversation"),
        driver="ble.test",
        values={quantity: Decimal(value) for quantity, value in values.items()},
        off_scale=off_scale or {},
        meal=meal,
    )


def keep(connection: Connection, chain: str, store: str, member: str | None, *readings: Reading) -> None:
    """Puts readings into the ledger as the intake would."""
    ledger.insert_once(
        connection,
        chain,
        [
            ledger.NewReading(
                store_id=store,
                gateway_id=f"gw-{store}",
                reading=one,
                body=codec.encode(one),
                member_id=id_of(member) if member else None,
                how=ledger.How.VISIT if member else None,
            )
            for one in readings
        ],
    )


def add_task(
    connection: Connection,
    name: str,
    *,
    chain: str = "kang",
    store: str = "n01",
    member: str | None = "张桂兰",
    about: str | None = None,
    rule: str = "BP-010",
    severity: int = 3,
    due: datetime | None = None,
    now: datetime | None = None,
) -> UUID:
    """A task as the raising leaves it, announced."""
    now = now or datetime.now(UTC)
    connection.execute(
        insert(tasks).values(
            chain_id=chain,
            id=id_of(name),
            store_id=store,
            member_id=id_of(member) if member else None,
            reading_id=id_of(about) if about else None,
            rule_id=rule,
            rule_version="1",
            severity=severity,
            action="CALL_120_STAY" if severity == 4 else "DOCTOR_WITHIN_DAYS_3",
            performer_role="nearest_staff" if severity == 4 else "chronic_specialist",
            raised_at=now,
            due_at=due or now + timedelta(minutes=5),
            dedupe_key=name,
        )
    )
    connection.execute(insert(task_events).values(chain_id=chain, task_id=id_of(name), what="raised", at=now))
    live.announce(connection, chain_id=chain, store_ids=[store], what="task")
    return id_of(name)


def seed(connection: Connection, now: datetime) -> None:
    """Fills an empty database."""
    connection.execute(
        insert(org_units),
        [dict(zip(("chain_id", "id", "kind", "path", "name"), unit, strict=True)) for unit in UNITS],
    )
    connection.execute(
        insert(staff),
        [
            {
                "chain_id": chain,
                "id": id_of(login),
                "login": login,
                "password_hash": PASSWORD_HASH,
                "name": name,
                "role": role,
                "org_unit_id": unit,
            }
            for login, (chain, unit, role, name) in STAFF.items()
        ],
    )
    connection.execute(
        insert(members),
        [
            {
                "chain_id": chain,
                "id": id_of(name),
                "store_id": store,
                "code": code,
                "name": name,
                "phone": phone,
                "birth_date": birth,
                "sex": "female" if name in ("张桂兰", "杨秀英") else "male",
                "conditions": conditions,
            }
            for name, (chain, store, code, phone, birth, conditions) in MEMBERS.items()
        ],
    )
    for store, chain in (("n01", "kang"), ("s01", "kang"), ("e01", "yi")):
        connection.execute(
            insert(gateways).values(
                id=f"gw-{store}",
                chain_id=chain,
                store_id=store,
                online=True,
                last_heard_at=now,
                status={
                    "gateway": f"gw-{store}",
                    "online": True,
                    "unsent": 2,
                    "clock_trusted": True,
                    "disk_free_mb": 20480,
                    "software": "0.1.0",
                    "transports": {"ble": "ok"},
                    "meters": {},
                },
            )
        )
    for day in range(0, 360, 9):
        at = now - timedelta(days=day, hours=2)
        keep(
            connection, "kang", "n01", "张桂兰",
            reading(f"bp{day}", Kind.BLOOD_PRESSURE, at, {
                "systolic_mmhg": str(168 if day == 0 else 134 + day * 7 % 19),
                "diastolic_mmhg": str(102 if day == 0 else 79 + day * 5 % 13),
                "pulse_per_min": str(68 + day % 9),
            }),
            reading(f"glucose{day}", Kind.GLUCOSE, at + timedelta(minutes=4), {
                "glucose_mmol_l": f"{6 + day * 3 % 17 / 10:.1f}" if day % 2 else f"{8 + day * 3 % 41 / 10:.1f}",
            }, meal=Meal.FASTING if day % 2 else Meal.POST_MEAL_2H),
        )  # fmt: skip
    keep(
        connection, "kang", "n01", "张桂兰",
        reading("lipids", Kind.LIPID_PANEL, now - timedelta(days=20), {
            "total_cholesterol_mmol_l": "5.61", "triglyceride_mmol_l": "2.10", "hdl_mmol_l": "1.12",
            "ldl_mmol_l": "3.52",
        }),
        reading("urate", Kind.URIC_ACID, now - timedelta(days=20), {"urate_umol_l": "433"}),
    )  # fmt: skip
    keep(connection, "kang", "s01", "杨秀英", reading("bp_south", Kind.BLOOD_PRESSURE, now, {
        "systolic_mmhg": "176", "diastolic_mmhg": "98"}))  # fmt: skip
    keep(connection, "yi", "e01", "黄志强", reading("bp_yi", Kind.BLOOD_PRESSURE, now, {
        "systolic_mmhg": "151", "diastolic_mmhg": "91"}))  # fmt: skip
    for name, chain, store in (("free_n", "kang", "n01"), ("free_s", "kang", "s01"), ("free_y", "yi", "e01")):
        keep(connection, chain, store, None, reading(name, Kind.GLUCOSE, now - timedelta(minutes=3), {
            "glucose_mmol_l": "2.7"}))  # fmt: skip
    keep(connection, "kang", "n01", None, reading("free_n2", Kind.BLOOD_PRESSURE, now - timedelta(hours=1), {
        "systolic_mmhg": "142", "diastolic_mmhg": "88"}))  # fmt: skip
    add_task(connection, "task_n", about="bp0", now=now)
    add_task(connection, "task_emergency", member=None, about="free_n", rule="GL-002", severity=4, now=now)
    add_task(connection, "task_s", store="s01", member="杨秀英", about="bp_south", now=now)
    add_task(connection, "task_y", chain="yi", store="e01", member="黄志强", about="bp_yi", now=now)


@dataclass
class Person:
    """Somebody at a browser: a client with a session, and the token its forms carry."""

    client: TestClient
    csrf: str = field(default="")

    def post(self, path: str, **form: object):
        """Sends a form as a page would."""
        return self.client.post(
            path, data={"csrf": self.csrf, **form}, headers={"Origin": "http://testserver"}, follow_redirects=False
        )

    def get(self, path: str, **headers: str):
        """Opens a page."""
        return self.client.get(path, headers=headers, follow_redirects=False)

    def api(self, path: str, **body: object):
        """Sends JSON to the API."""
        return self.client.post(path, json=body, headers={"X-CSRF-Token": self.csrf})


@pytest.fixture(autouse=True)
def _quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred sign-ins at the real cost would be most of the run; test_sessions has one that pays it."""
    monkeypatch.setattr(service, "_hasher", QUICK)


@pytest.fixture(scope="session")
def seeded(postgres: Postgres) -> str:
    """The name of a seeded database to copy."""
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE crm_seeded TEMPLATE template")
    engine = db.engine(postgres.database("crm_seeded"))
    with engine.begin() as connection:
        seed(connection, datetime.now(UTC))
    engine.dispose()
    return "crm_seeded"


@pytest.fixture
def database(postgres: Postgres, seeded: str) -> Iterator[str]:
    """The URL of a seeded database of the test's own."""
    name = f"crm{next(_numbers)}"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {seeded}")
    yield postgres.database(name)
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def app(database: str) -> Iterator[FastAPI]:
    """The application over a seeded database."""
    made = create_app(config.load({"DATABASE_URL": database, "KANGDOCK_MODE": "demo"}))
    yield made
    made.state.engine.dispose()


@pytest.fixture
def visitor(app: FastAPI) -> TestClient:
    """A browser without a session."""
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture
def as_(app: FastAPI) -> Callable[[str], Person]:
    """`as_("clerk")` is that person, signed in."""

    def sign_in(login: str) -> Person:
        client = TestClient(app, raise_server_exceptions=False)
        answer = client.post("/login", data={"login": login, "password": PASSWORD}, follow_redirects=False)
        assert answer.status_code == 303, answer.text
        return Person(client=client, csrf=client.get("/api/v1/me").json()["csrf"])

    return sign_in
