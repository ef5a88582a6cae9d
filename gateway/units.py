"""The one place where a meter's own unit becomes the canonical one: every factor, with where it comes from.

What a quantity is, its range and its decimals are `gateway.wire.vocabulary`'s.
"""

from decimal import Decimal

from gateway.conversation import Garbled
from gateway.wire.codec import MAX_MAGNITUDE
from gateway.wire.vocabulary import QUANTITIES

_PRESSURE = {"mmHg": Decimal(1), "kPa": Decimal("7.50062")}  # 1 mmHg = 133.322 Pa
_PER_MIN = {"/min": Decimal(1)}
_GLUCOSE_MG_DL = 1 / Decimal("18.0156")  # molar mass 180.156 g/mol
_CHOLESTEROL = {"mmol/L": Decimal(1), "mg/dL": 1 / Decimal("38.665")}  # 386.65 g/mol

# Molar units are exact powers of ten. Meters themselves divide glucose by 18; with 18.0156, rounded half up to
# one decimal, every whole mg/dL from 20 to 600 falls on the same side of each clinical threshold in both units.
FACTORS: dict[str, dict[str, Decimal]] = {
    "systolic_mmhg": _PRESSURE,
    "diastolic_mmhg": _PRESSURE,
    "mean_arterial_mmhg": _PRESSURE,
    "pulse_per_min": _PER_MIN,
    "glucose_mmol_l": {
        "mmol/L": Decimal(1),
        "mol/L": Decimal(1000),
        "mg/dL": _GLUCOSE_MG_DL,
        "kg/L": 100_000 * _GLUCOSE_MG_DL,
    },
    "ketone_mmol_l": {"mmol/L": Decimal(1), "mol/L": Decimal(1000)},
    "total_cholesterol_mmol_l": _CHOLESTEROL,
    "hdl_mmol_l": _CHOLESTEROL,
    "ldl_mmol_l": _CHOLESTEROL,
    "triglyceride_mmol_l": {
        "mmol/L": Decimal(1),
        "mg/dL": 1 / Decimal("88.57"),
    },  # a mean fatty acid, by convention
    "urate_umol_l": {"µmol/L": Decimal(1), "mmol/L": Decimal(1000), "mg/dL": Decimal("59.4849")},  # 168.11 g/mol
    "weight_kg": {"kg": Decimal(1), "g": Decimal("0.001"), "lb": Decimal("0.45359237")},
    "body_temperature_cel": {"°C": Decimal(1), "°F": 5 / Decimal(9)},
    "spo2_percent": {"%": Decimal(1)},
    "hba1c_percent": {"%": Decimal(1), "mmol/mol": Decimal("0.09148")},  # IFCC to NGSP: 0.09148 x + 2.152
    "haemoglobin_g_l": {"g/L": Decimal(1), "g/dL": Decimal(10)},
    "haematocrit_percent": {"%": Decimal(1)},
}
"""By quantity: each unit a meter may declare, and what one of it is in the canonical unit."""

ZEROS = {"°F": Decimal(32), "mmol/mol": -Decimal("2.152") / Decimal("0.09148")}
"""What a unit reads at the canonical unit's zero, where that is not zero itself."""


def canonical(quantity: str, value: Decimal, unit: str) -> Decimal:
    """`value` in `unit` as a canonical `quantity`, rounded once to its decimals, half up.

    Raises Garbled: "unknown_unit" for a unit that is not in FACTORS, as a unit is declared or refused and never
    guessed; "not_a_number" as `rounded` does.
    """
    try:
        factor = FACTORS[quantity][unit]
    except KeyError:
        raise Garbled("unknown_unit") from None
    return rounded(quantity, (value - ZEROS.get(unit, 0)) * factor)


def rounded(quantity: str, value: Decimal) -> Decimal:
    """`value` at the quantity's decimals, half up; raises Garbled("not_a_number") for what no wire carries."""
    if not value.is_finite() or value.adjusted() > MAX_MAGNITUDE:
        raise Garbled("not_a_number")
    return QUANTITIES[quantity].rounded(value)
