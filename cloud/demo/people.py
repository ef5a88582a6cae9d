"""The demo's chain: its stores, its staff and four hundred members, all invented, the same on every machine.

Pure: chance and today are arguments. What the members' meters say is `cloud.demo.history`'s, and putting it into
the database is `cloud.demo.seed`'s. Telephone numbers begin with 154 0000, which no operator was ever given.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from random import Random
from uuid import UUID, uuid5

PEOPLE = UUID("8f6c7d02-2c3b-5f0e-9f36-6a3b52f6a001")
"""Namespace of every id here: the same person has the same id in every demo."""
PASSWORD = "kangdock-demo"  # noqa: S105 - printed by `make demo`; it opens nothing but the demo


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A node of the organisation tree."""

    chain_id: str
    id: str
    kind: str
    path: str
    name: str
    gateway: str = ""  # of a store


def _store(chain_id: str, area: str, store_id: str, name: str) -> Unit:
    path = f"/{chain_id}/{area}/{store_id}/" if area else f"/{chain_id}/{store_id}/"
    gateway = f"gw-{chain_id}-{store_id}"
    return Unit(chain_id=chain_id, id=store_id, kind="store", path=path, name=name, gateway=gateway)


UNITS: tuple[Unit, ...] = (
    Unit(chain_id="kang", id="kang", kind="chain", path="/kang/", name="康道大药房"),
    Unit(chain_id="kang", id="north", kind="area", path="/kang/north/", name="城北片区"),
    Unit(chain_id="kang", id="south", kind="area", path="/kang/south/", name="城南片区"),
    _store("kang", "north", "n01", "康道大药房梧桐街店"),
    _store("kang", "north", "n02", "康道大药房柳河路店"),
    _store("kang", "south", "s01", "康道大药房南湖店"),
    # A second chain in the same database, so that anybody can see that neither sees the other.
    Unit(chain_id="yi", id="yi", kind="chain", path="/yi/", name="颐生堂"),
    _store("yi", "", "y01", "颐生堂老街店"),
)
STORES: tuple[Unit, ...] = tuple(unit for unit in UNITS if unit.kind == "store")
MEMBERS_PER_STORE: dict[str, int] = {"n01": 160, "n02": 110, "s01": 130, "y01": 12}


@dataclass(frozen=True, slots=True, kw_only=True)
class Employee:
    """Someone who signs in. They see `unit` and everything below it."""

    chain_id: str
    login: str
    name: str
    role: str
    unit: str

    @property
    def id(self) -> UUID:
        """Their staff id."""
        return uuid5(PEOPLE, f"staff/{self.login}")


def _employee(login: str, name: str, role: str, unit: str, chain_id: str = "kang") -> Employee:
    return Employee(chain_id=chain_id, login=login, name=name, role=role, unit=unit)


STAFF: tuple[Employee, ...] = (
    _employee("specialist", "沈若兰", "specialist", "n01"),
    _employee("clerk", "陶小满", "clerk", "n01"),
    _employee("manager", "贺建新", "store_manager", "n01"),
    _employee("area", "邵明远", "area_manager", "north"),
    _employee("office", "顾文静", "head_office", "kang"),
    _employee("engineer", "骆天成", "field_engineer", "kang"),
    _employee("specialist.n02", "柏清秋", "specialist", "n02"),
    _employee("manager.n02", "俞国栋", "store_manager", "n02"),
    _employee("specialist.s01", "纪采薇", "specialist", "s01"),
    _employee("clerk.s01", "乔雨桐", "clerk", "s01"),
    _employee("manager.s01", "辛广义", "store_manager", "s01"),
    _employee("area.south", "戚雅琴", "area_manager", "south"),
    _employee("yi.office", "鲍永年", "head_office", "yi", "yi"),
    _employee("yi.specialist", "冷月华", "specialist", "y01", "yi"),
)


class Course(StrEnum):
    """How a member's year went."""

    HEALTHY = "healthy"  # buys vitamins, likes to be measured
    CONTROLLED = "controlled"
    IMPROVING = "improving"
    UNCONTROLLED = "uncontrolled"
    LAPSED = "lapsed"  # stopped coming months ago


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Someone with a card. `every_days` is how often they come, more or less."""

    chain_id: str
    id: UUID
    code: str
    name: str
    sex: str
    birth_date: date
    phone: str | None
    store: Unit
    specialist_id: UUID | None
    conditions: tuple[str, ...]
    medications: tuple[str, ...]
    course: Course
    every_days: int
    joined_on: date

    def age_on(self, day: date) -> int:
        """Whole years."""
        before_birthday = (day.month, day.day) < (self.birth_date.month, self.birth_date.day)
        return day.year - self.birth_date.year - before_birthday


SURNAMES = (
    *("王李张刘陈杨赵黄周吴" * 4),
    *("徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧" * 2),
    *"程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎余潘杜戴夏钟汪田任姜范方石姚谭廖邹熊金陆郝孔白崔康毛邱秦江史顾侯邵孟龙",
)
# What parents chose changed with the decades: (older than, men, women).
GIVEN_NAMES: tuple[tuple[int, str, str], ...] = (
    (
        67,
        "德厚 福生 长贵 树林 振华 玉堂 永康 国栋 大年 守义 仁杰 金山 来顺 庆余 世昌 广田",
        "秀英 桂兰 玉珍 凤英 淑芬 素贞 翠花 月娥 兰英 桂芳 玉梅 秀珍 惠兰 淑贤 雪梅 春香",
    ),
    (
        56,
        "建国 卫东 志强 国庆 建军 永红 红旗 学军 跃进 援朝 海生 新民 保国 爱民 文革 向阳",
        "红梅 丽华 建英 秀兰 爱华 玉华 卫红 桂香 冬梅 美玲 春燕 彩霞 敏 金凤 秋菊 小红",
    ),
    (
        41,
        "伟 勇 军 强 涛 明 超 斌 刚 海波 晓东 志刚 文斌 立新 俊杰 宏伟",
        "静 丽 艳 娟 敏 燕 霞 芳 晓燕 海燕 婷 莉 雪 慧 玉洁 红霞",
    ),
    (0, "浩然 子轩 宇航 博文 嘉伟 俊 鹏 晨", "欣怡 雨欣 佳慧 思琪 梦婷 倩 悦 雯"),
)


def members_of(store: Unit, today: date, chance: Random) -> list[Member]:
    """The members of one store, the ones who come most often first."""
    specialists = [one for one in STAFF if one.unit == store.id and one.role == "specialist"]
    made: list[Member] = []
    for number in range(MEMBERS_PER_STORE[store.id]):
        sex = chance.choices(("female", "male"), (56, 44))[0]
        # Most who are measured at a pharmacy are between fifty and eighty.
        age_days = int(min(93.0, max(24.0, chance.gauss(65, 10))) * 365.25)
        birth_date = today - timedelta(days=age_days)
        course = chance.choices(tuple(Course), (16, 38, 16, 21, 9))[0]
        conditions, medications = _health(course, chance)
        shares_phone = made and chance.random() < 0.04  # couples share one: a phone number is not an identity
        made.append(
            Member(
                chain_id=store.chain_id,
                id=uuid5(PEOPLE, f"member/{store.chain_id}/{store.id}/{number}"),
                code=card_code(store, number),
                name=_name(sex, age_days / 365.25, chance),
                sex=sex,
                birth_date=birth_date,
                phone=made[-1].phone if shares_phone else _phone(store, number, chance),
                store=store,
                specialist_id=specialists[0].id if specialists and course is not Course.HEALTHY else None,
                conditions=conditions,
                medications=medications,
                course=course,
                every_days=chance.choices((7, 14, 30, 75), (16, 33, 41, 10))[0],
                joined_on=today - timedelta(days=chance.randint(20, 1500)),
            )
        )
    return sorted(made, key=lambda member: (member.every_days, member.code))


def card_code(store: Unit, number: int) -> str:
    """Eight digits as printed under the barcode; the last one is a Luhn check digit."""
    digits = f"{STORES.index(store) + 1:02d}{number * 7 + 1001:05d}"
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (2 if place % 2 == 0 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return f"{digits}{-total % 10}"


def _name(sex: str, age: float, chance: Random) -> str:
    men, women = next((men, women) for older_than, men, women in GIVEN_NAMES if age > older_than)
    return f"{chance.choice(SURNAMES)}{chance.choice((men if sex == 'male' else women).split())}"


def _phone(store: Unit, number: int, chance: Random) -> str | None:
    return None if chance.random() < 0.05 else f"1540000{STORES.index(store)}{number:03d}"


def _health(course: Course, chance: Random) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Conditions, and the classes of medicine that go with them."""
    if course is Course.HEALTHY:
        return (), ()
    conditions: list[str] = []
    for condition, share in (("htn", 0.78), ("dm", 0.46), ("dyslipidaemia", 0.38), ("gout", 0.12), ("ckd", 0.05)):
        if chance.random() < share:
            conditions.append(condition)
    conditions = conditions or ["htn"]
    return tuple(conditions), tuple(sorted(_medicines(conditions, chance)))


def _medicines(conditions: Sequence[str], chance: Random) -> set[str]:
    taken: set[str] = set()
    if "htn" in conditions and chance.random() < 0.88:
        taken |= {"antihypertensive", chance.choice(("ccb", "arb", "acei", "ccb"))}
        if chance.random() < 0.15:
            taken.add("beta_blocker")
    if "dm" in conditions:
        taken.add("metformin")
        if chance.random() < 0.45:
            taken.add(chance.choice(("insulin", "sulfonylurea", "sglt2i", "acarbose")))
    if "dyslipidaemia" in conditions and chance.random() < 0.7:
        taken.add("statin")
    if "gout" in conditions and chance.random() < 0.6:
        taken.add("urate_lowering")
    return taken
