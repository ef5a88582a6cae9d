"""One truth table per rule: the facts known, and whether it fires. Boundaries just below, at and just above.

`?` as a value leaves the fact out. Numbers are canonical; HI and LO are what a meter shows without one.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from gateway.clinical import Fact
from gateway.wire.vocabulary import OffScale

DANGER = (
    "conscious_change",
    "speech_trouble",
    "limb_weakness",
    "facial_droop",
    "seizure",
    "severe_headache",
    "vomiting",
    "blurred_vision",
    "eye_pain",
    "chest_pain",
    "tearing_chest_back_pain",
    "dyspnoea_cannot_lie_flat",
    "syncope",
)
FAINT = ("conscious_change", "syncope", "chest_pain", "cold_sweat")
HEART = ("syncope", "chest_pain", "dyspnoea_cannot_lie_flat", "conscious_change", "cold_sweat")
NOT_AWAKE = ("conscious_change", "seizure", "cannot_swallow")
CRISIS = (
    "conscious_change",
    "deep_breathing",
    "fruity_breath",
    "vomiting",
    "abdominal_pain",
    "fever39",
    "dehydration",
)
STROKE = ("facial_droop", "limb_weakness", "speech_trouble")
ON_A_STATIN = ("muscle_pain", "dark_urine", "jaundice")
BRINGS_LOWS = ("insulin", "sulfonylurea", "glinide", "beta_blocker")
NON_FASTING = ("random", "pre_meal", "post_meal_1h", "post_meal_2h", "bedtime")
FIRES, SILENT = True, False

Row = tuple[dict[str, Any], bool]


def bp(systolic: Any, diastolic: Any, fires: bool, **more: Any) -> Row:
    return {"systolic_mmhg": systolic, "diastolic_mmhg": diastolic} | more, fires


def sugar(value: Any, fires: bool, **more: Any) -> Row:
    return {"glucose_mmol_l": value} | more, fires


def fat(value: Any, fires: bool, **more: Any) -> Row:
    return {"triglyceride_mmol_l": value} | more, fires


def urate(value: Any, fires: bool, **more: Any) -> Row:
    return {"urate_umol_l": value} | more, fires


def feels(fires: bool, signs: list[str], **more: Any) -> Row:
    return {"symptoms": signs} | more, fires


def pulse(value: Any, fires: bool, **more: Any) -> Row:
    return {"systolic_mmhg": 120, "diastolic_mmhg": 80, "pulse_per_min": value} | more, fires


def asked(row: Callable[[bool, list[str]], Row], signs: Sequence[str], other: str) -> list[Row]:
    """Fires on each of the signs, on all of them, and on nothing else: not asked, none of them, another one."""
    return [
        *(row(FIRES, [sign]) for sign in signs),
        row(FIRES, [*signs, other]),
        row(SILENT, []),
        row(SILENT, [other]),
    ]


def facts_of(row: dict[str, Any]) -> dict[str, Fact]:
    made: dict[str, Fact] = {}
    for name, value in row.items():
        match value:
            case "?":
                continue
            case "HI" | "LO":
                made[name] = OffScale(value)
            case bool():
                made[name] = value
            case int():
                made[name] = Decimal(value)
            case list():
                made[name] = frozenset(value)
            case str() if value.replace(".", "").isdigit():
                made[name] = Decimal(value)
            case _:
                made[name] = value
    return made


def _severe(confirmed: Any) -> list[Row]:
    other = not confirmed
    return [
        bp(179, 109, SILENT, confirmed_repeat=confirmed),
        bp(180, 109, FIRES, confirmed_repeat=confirmed),
        bp(181, 70, FIRES, confirmed_repeat=confirmed),
        bp(179, 110, FIRES, confirmed_repeat=confirmed),
        bp(120, 111, FIRES, confirmed_repeat=confirmed),
        bp("HI", 100, FIRES, confirmed_repeat=confirmed),
        bp(120, "HI", FIRES, confirmed_repeat=confirmed),
        bp("LO", "LO", SILENT, confirmed_repeat=confirmed),
        bp("?", "?", SILENT, confirmed_repeat=confirmed),
        bp(190, 100, SILENT, confirmed_repeat=other),
        bp(190, 100, SILENT, confirmed_repeat="?"),
        # Asked and nothing found is the same as not asked; any danger symptom hands it to another rule.
        bp(190, 100, FIRES, confirmed_repeat=confirmed, symptoms=[]),
        *(bp(190, 100, SILENT, confirmed_repeat=confirmed, symptoms=[symptom]) for symptom in DANGER),
    ]


def _high_sugar(limit: str, below: str, above: str) -> list[Row]:
    return [
        *(sugar(limit, FIRES, meal=meal) for meal in NON_FASTING),
        sugar(below, SILENT, meal="random"),
        sugar(above, FIRES, meal="random"),
        sugar("HI", FIRES, meal="random"),
        sugar("LO", SILENT, meal="random"),
        sugar("?", SILENT, meal="random"),
        sugar(limit, SILENT, meal="fasting"),
        sugar(limit, SILENT, meal="?"),
    ]


TABLES: dict[str, list[Row]] = {
    "CB-001": [
        *asked(feels, STROKE, "vomiting"),
        feels(FIRES, ["facial_droop"], glucose_mmol_l="5.4"),  # whatever was measured, and whatever it says
        ({"symptoms": "?", "systolic_mmhg": 230}, SILENT),
    ],
    "CB-002": [
        *asked(feels, ["chest_pain_10min"], "chest_pain"),
        feels(FIRES, ["chest_pain_10min"], systolic_mmhg=118, diastolic_mmhg=76),
        ({"symptoms": "?"}, SILENT),
    ],
    "CB-006": [
        *(sugar("3.9", FIRES, age_years=65, medications=[drug]) for drug in BRINGS_LOWS),
        sugar("3.8", FIRES, age_years=66, medications=["insulin"]),
        sugar("4.0", SILENT, age_years=80, medications=["insulin"]),
        sugar("3.9", SILENT, age_years=64, medications=["insulin"]),
        sugar("3.9", SILENT, age_years=80, medications=["metformin"]),
        sugar("3.9", SILENT, age_years=80, medications=[]),
        sugar("LO", FIRES, age_years=80, medications=["insulin"]),
        sugar("HI", SILENT, age_years=80, medications=["insulin"]),
        sugar("2.0", SILENT, age_years="?", medications=["insulin"]),
        sugar("2.0", SILENT, age_years=80, medications="?"),
        sugar("?", SILENT, age_years=80, medications=["insulin"]),
    ],
    "LP-010": [
        *asked(lambda fires, signs: feels(fires, signs, medications=["statin"]), ON_A_STATIN, "abdominal_pain"),
        feels(SILENT, ["muscle_pain"], medications=["insulin"]),
        feels(SILENT, ["muscle_pain"], medications=[]),
        feels(SILENT, ["muscle_pain"], medications="?"),  # at the dock, where nobody knows: the cloud judges again
        ({"symptoms": "?", "medications": ["statin"]}, SILENT),
    ],
    "UA-007": [
        *asked(feels, ["joint_red_hot_painful"], "fever39"),
        feels(FIRES, ["joint_red_hot_painful"], urate_umol_l=310),  # in an attack it may be normal
        ({"symptoms": "?", "urate_umol_l": 640}, SILENT),
    ],
    "UA-008": [
        urate(719, SILENT),
        urate(720, FIRES),
        urate(721, FIRES),
        urate("HI", FIRES),
        urate("LO", SILENT),
        urate("?", SILENT),
    ],
    "BP-001": [
        *asked(lambda fires, signs: bp(180, 109, fires, symptoms=signs), DANGER, "abdominal_pain"),
        bp(179, 109, SILENT, symptoms=["syncope"]),
        bp(181, 70, FIRES, symptoms=["syncope"]),
        bp(179, 110, FIRES, symptoms=["syncope"]),
        bp(120, 111, FIRES, symptoms=["syncope"]),
        bp("HI", 100, FIRES, symptoms=["syncope"]),
        bp(120, "HI", FIRES, symptoms=["syncope"]),
        bp("?", "?", SILENT, symptoms=["syncope"]),
        bp(230, 120, SILENT, symptoms="?"),
    ],
    "BP-002": [
        bp(219, 139, SILENT),
        bp(220, 100, FIRES),
        bp(221, 100, FIRES),
        bp(150, 140, FIRES),
        bp(150, 141, FIRES),
        bp("HI", 100, FIRES),
        bp("LO", "LO", SILENT),
        bp("?", 139, SILENT),
        bp("?", 140, FIRES),
    ],
    "BP-003": _severe(True),
    "BP-004": _severe(False),
    "BP-005": [
        bp(159, 109, SILENT, pregnant_or_lactating=True),
        bp(160, 80, FIRES, pregnant_or_lactating=True),
        bp(161, 80, FIRES, pregnant_or_lactating=True),
        bp(130, 110, FIRES, pregnant_or_lactating=True),
        bp(130, 111, FIRES, pregnant_or_lactating=True),
        bp("HI", 80, FIRES, pregnant_or_lactating=True),
        bp(200, 120, SILENT, pregnant_or_lactating=False),
        bp(200, 120, SILENT, pregnant_or_lactating="?"),
    ],
    "BP-006": [
        bp(139, 89, SILENT, pregnant_or_lactating=True),
        bp(140, 80, FIRES, pregnant_or_lactating=True),
        bp(141, 80, FIRES, pregnant_or_lactating=True),
        bp(120, 90, FIRES, pregnant_or_lactating=True),
        bp(120, 91, FIRES, pregnant_or_lactating=True),
        bp("HI", 80, FIRES, pregnant_or_lactating=True),
        bp(150, 95, SILENT, pregnant_or_lactating=False),
        bp(150, 95, SILENT, pregnant_or_lactating="?"),
    ],
    "BP-007": [
        *asked(lambda fires, signs: bp(89, 60, fires, symptoms=signs), FAINT, "vomiting"),
        bp(90, 60, SILENT, symptoms=["syncope"]),
        bp(91, 61, SILENT, symptoms=["syncope"]),
        bp(88, 70, FIRES, symptoms=["syncope"]),
        bp(90, 59, FIRES, symptoms=["syncope"]),
        bp(90, 58, FIRES, symptoms=["syncope"]),
        bp("LO", "LO", FIRES, symptoms=["syncope"]),
        bp("?", "?", SILENT, symptoms=["syncope"]),
        bp(70, 40, SILENT, symptoms="?"),
    ],
    "HR-001": [
        *asked(lambda fires, signs: pulse(150, fires, symptoms=signs), HEART, "vomiting"),
        pulse(149, SILENT, symptoms=["syncope"]),
        pulse(151, FIRES, symptoms=["syncope"]),
        pulse(46, SILENT, symptoms=["syncope"]),
        pulse(45, FIRES, symptoms=["syncope"]),
        pulse(44, FIRES, symptoms=["syncope"]),
        pulse("?", SILENT, symptoms=["syncope"]),
        pulse(160, SILENT, symptoms="?"),
    ],
    "HR-002": [
        pulse(149, SILENT),
        pulse(150, FIRES),
        pulse(151, FIRES),
        pulse(46, SILENT),
        pulse(45, FIRES),
        pulse(44, FIRES),
        pulse("?", SILENT),
        pulse(80, SILENT, symptoms=[]),
        pulse(150, FIRES, symptoms=[]),
        pulse(150, FIRES, symptoms=["vomiting"]),
        *(pulse(150, SILENT, symptoms=[sign]) for sign in HEART),
    ],
    "BP-010": [
        bp(159, 99, SILENT),
        bp(160, 80, FIRES),
        bp(161, 80, FIRES),
        bp(150, 100, FIRES),
        bp(150, 101, FIRES),
        bp(179, 109, FIRES),
        bp(180, 100, SILENT),
        bp(181, 100, SILENT),
        bp(165, 110, SILENT),
        bp(165, 111, SILENT),
        bp("HI", 100, SILENT),
        # Without the other half nobody can say that it is not worse.
        bp(165, "?", SILENT),
        bp("?", "?", SILENT),
    ],
    "GL-001": [
        *asked(lambda fires, signs: sugar("3.9", fires, symptoms=signs), NOT_AWAKE, "vomiting"),
        sugar("4.0", SILENT, symptoms=["seizure"]),
        sugar("3.8", FIRES, symptoms=["seizure"]),
        sugar("LO", FIRES, symptoms=["seizure"]),
        sugar("HI", SILENT, symptoms=["seizure"]),
        sugar("?", SILENT, symptoms=["seizure"]),
        sugar("1.8", SILENT, symptoms="?"),
    ],
    "GL-010": [
        *asked(lambda fires, signs: sugar("13.9", fires, symptoms=signs), CRISIS, "blurred_vision"),
        sugar("13.8", SILENT, symptoms=["vomiting"]),
        sugar("14.0", FIRES, symptoms=["vomiting"]),
        sugar("HI", FIRES, symptoms=["vomiting"]),
        sugar("LO", SILENT, symptoms=["vomiting"]),
        sugar("?", SILENT, symptoms=["vomiting"]),
        sugar("25.0", SILENT, symptoms="?"),
    ],
    "LP-001": [
        *asked(lambda fires, signs: fat("5.60", fires, symptoms=signs), ["abdominal_pain"], "vomiting"),
        fat("5.59", SILENT, symptoms=["abdominal_pain"]),
        fat("5.61", FIRES, symptoms=["abdominal_pain"]),
        fat("HI", FIRES, symptoms=["abdominal_pain"]),
        fat("LO", SILENT, symptoms=["abdominal_pain"]),
        fat("?", SILENT, symptoms=["abdominal_pain"]),
        fat("12.00", SILENT, symptoms="?"),
    ],
    "LP-002": [
        fat("11.29", SILENT),
        fat("11.30", FIRES),
        fat("11.31", FIRES),
        fat("HI", SILENT),
        fat("LO", SILENT),
        fat("?", SILENT),
        fat("5.00", SILENT, symptoms=[]),
        fat("11.30", FIRES, symptoms=[]),
        fat("11.30", FIRES, symptoms=["vomiting"]),
        fat("11.30", SILENT, symptoms=["abdominal_pain"]),
    ],
    "LP-003": [
        fat("5.59", SILENT),
        fat("5.60", FIRES),
        fat("5.61", FIRES),
        fat("11.29", FIRES),
        fat("11.30", SILENT),
        fat("11.31", SILENT),
        fat("HI", FIRES),
        fat("LO", SILENT),
        fat("?", SILENT),
        fat("6.00", FIRES, symptoms=[]),
        fat("6.00", FIRES, symptoms=["vomiting"]),
        fat("6.00", SILENT, symptoms=["abdominal_pain"]),
    ],
    "GL-002": [
        sugar("2.9", FIRES),
        sugar("3.0", SILENT),
        sugar("3.1", SILENT),
        sugar("LO", FIRES),
        sugar("HI", SILENT),
        sugar("?", SILENT),
    ],
    "GL-003": [
        sugar("2.9", SILENT, conditions=["dm"]),
        sugar("3.0", FIRES, conditions=["dm"]),
        sugar("3.1", FIRES, conditions=["dm"]),
        sugar("3.8", FIRES, conditions=["dm"]),
        sugar("3.9", FIRES, conditions=["dm"]),
        sugar("4.0", SILENT, conditions=["dm"]),
        sugar("LO", SILENT, conditions=["dm"]),
        sugar("3.5", SILENT, conditions=["htn"]),
        sugar("3.5", SILENT, conditions="?"),
        sugar("?", SILENT, conditions=["dm"]),
    ],
    "GL-004": [
        sugar("2.7", FIRES, conditions=[]),
        sugar("2.8", SILENT, conditions=[]),
        sugar("2.9", SILENT, conditions=[]),
        sugar("LO", FIRES, conditions=["htn"]),
        sugar("HI", SILENT, conditions=[]),
        sugar("2.5", SILENT, conditions=["dm"]),
        sugar("2.5", SILENT, conditions="?"),
    ],
    "GL-006": [
        sugar("3.9", SILENT, count_hypo_14d=1, count_hypo_30d=1),
        sugar("3.9", FIRES, count_hypo_14d=2, count_hypo_30d=2),
        sugar("3.8", FIRES, count_hypo_14d=3, count_hypo_30d=1),
        sugar("3.9", SILENT, count_hypo_14d=1, count_hypo_30d=2),
        sugar("3.9", FIRES, count_hypo_14d=1, count_hypo_30d=3),
        sugar("3.9", FIRES, count_hypo_14d=1, count_hypo_30d=4),
        sugar("LO", FIRES, count_hypo_14d=2, count_hypo_30d=2),
        sugar("4.0", SILENT, count_hypo_14d=2, count_hypo_30d=3),
        sugar("3.5", SILENT, count_hypo_14d="?", count_hypo_30d="?"),
    ],
    "GL-011": [sugar("HI", FIRES), sugar("LO", SILENT), sugar("33.3", SILENT), sugar("?", SILENT)],
    "GL-012": [
        sugar("16.6", SILENT, meal="fasting"),
        sugar("16.7", FIRES, meal="fasting"),
        sugar("16.8", FIRES, meal="fasting"),
        sugar("HI", FIRES, meal="fasting"),
        sugar("LO", SILENT, meal="fasting"),
        sugar("17.0", SILENT, meal="pre_meal"),
        sugar("17.0", SILENT, meal="?"),
    ],
    "GL-013": _high_sugar("16.7", "16.6", "16.8"),
    "GL-014": _high_sugar("20.0", "19.9", "20.1"),
    "GL-015": [
        sugar("13.8", SILENT),
        sugar("13.9", FIRES),
        sugar("14.0", FIRES),
        sugar("16.6", FIRES),
        sugar("16.7", SILENT),
        sugar("16.8", SILENT),
        sugar("HI", SILENT),
        sugar("LO", SILENT),
        sugar("?", SILENT),
    ],
}
