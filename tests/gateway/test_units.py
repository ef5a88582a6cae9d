"""Meters' units, converted once."""

from decimal import Decimal

import pytest

from gateway.conversation import Garbled
from gateway.units import FACTORS, canonical
from gateway.wire.vocabulary import QUANTITIES


@pytest.mark.parametrize(
    ("quantity", "value", "unit", "expected"),
    [
        ("systolic_mmhg", "16.0", "kPa", "120"),
        ("systolic_mmhg", "18.4", "kPa", "138"),
        ("glucose_mmol_l", "0.0036", "mol/L", "3.6"),
        ("glucose_mmol_l", "0.00118", "kg/L", "6.5"),
        ("glucose_mmol_l", "118", "mg/dL", "6.5"),
        ("total_cholesterol_mmol_l", "200", "mg/dL", "5.17"),
        ("triglyceride_mmol_l", "400", "mg/dL", "4.52"),  # as the CardioChek manual prints it
        ("urate_umol_l", "7.0", "mg/dL", "416"),
        ("urate_umol_l", "0.393", "mmol/L", "393"),
        ("systolic_mmhg", "120.5", "mmHg", "121"),  # half up
        ("body_temperature_cel", "98.6", "°F", "37.0"),
        ("body_temperature_cel", "99.05", "°F", "37.3"),  # exactly 37.25
        ("body_temperature_cel", "37.25", "°C", "37.3"),
        ("weight_kg", "135.0", "lb", "61.2"),  # 61.235
        ("hba1c_percent", "48", "mmol/mol", "6.5"),  # the two limits every guideline gives in both units
        ("hba1c_percent", "53", "mmol/mol", "7.0"),
    ],
)
def test_a_meters_unit_becomes_ours(quantity: str, value: str, unit: str, expected: str) -> None:
    assert str(canonical(quantity, Decimal(value), unit)) == expected


@pytest.mark.parametrize(
    ("mmol_l", "mg_dl"), [("3.0", 54), ("3.9", 70), ("7.0", 126), ("10.0", 180), ("11.1", 200), ("13.9", 250)]
)
def test_both_units_fall_on_the_same_side_of_a_threshold(mmol_l: str, mg_dl: int) -> None:
    for shown in range(20, 601):
        assert (canonical("glucose_mmol_l", Decimal(shown), "mg/dL") >= Decimal(mmol_l)) == (shown >= mg_dl)


def test_a_unit_nobody_declared_is_refused() -> None:
    with pytest.raises(Garbled, match="unknown_unit"):
        canonical("glucose_mmol_l", Decimal(5), "")


def test_every_quantity_knows_its_own_unit() -> None:
    assert FACTORS.keys() == QUANTITIES.keys()
    for name, units in FACTORS.items():
        assert 1 in units.values(), name


def test_a_number_beyond_all_measure_is_refused() -> None:
    with pytest.raises(Garbled, match="not_a_number"):
        canonical("glucose_mmol_l", Decimal("1E+127"), "mmol/L")
