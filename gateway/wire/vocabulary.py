"""Every quantity and kind of reading Kangdock knows: unit, range, decimals, codes and labels, as data.

It says what a word means and whether a number can be true at all; what a number means for a person is
`gateway.clinical`'s business, and converting a meter's own unit is `gateway.units`'.
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum


class Kind(StrEnum):
    """What was measured. The wire word, the Influx measurement and the rules' `metric` are all this word."""

    BLOOD_PRESSURE = "blood_pressure"
    GLUCOSE = "glucose"
    KETONE = "ketone"
    LIPID_PANEL = "lipid_panel"
    URIC_ACID = "uric_acid"
    BODY_WEIGHT = "body_weight"
    BODY_TEMPERATURE = "body_temperature"
    OXYGEN_SATURATION = "oxygen_saturation"
    HBA1C = "hba1c"
    HAEMOGLOBIN = "haemoglobin"
    HAEMATOCRIT = "haematocrit"


class OffScale(StrEnum):
    """A meter's HI or LO: a result without a number, and never turned into one."""

    HI = "HI"
    LO = "LO"


class Meal(StrEnum):
    """When a glucose value was taken. Unknown counts as random for the rules, and the screens ask."""

    FASTING = "fasting"
    PRE_MEAL = "pre_meal"
    POST_MEAL_1H = "post_meal_1h"
    POST_MEAL_2H = "post_meal_2h"
    BEDTIME = "bedtime"
    RANDOM = "random"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Outside `reject` a number cannot be true; outside `flag` it is kept and marked for a second look."""

    reject_below: Decimal
    reject_above: Decimal
    flag_below: Decimal
    flag_above: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """One number a meter can show, in the one unit Kangdock keeps it in (the unit ends the name)."""

    name: str
    kind: Kind
    unit: str
    ucum: str
    decimals: int
    loinc: str
    loinc_display: str
    range: Range
    zh: str
    en: str

    def rounded(self, value: Decimal) -> Decimal:
        """`value` at this quantity's decimals, half up, as every screen and every rule sees it."""
        return value.quantize(Decimal(1).scaleb(-self.decimals), rounding=ROUND_HALF_UP)


@dataclass(frozen=True, slots=True, kw_only=True)
class KindInfo:
    """A kind's labels and the quantities it may carry; `required` must be present as a number or as HI/LO."""

    kind: Kind
    required: tuple[str, ...]
    optional: tuple[str, ...]
    fhir_category: str
    loinc: str
    zh: str
    en: str

    @property
    def quantities(self) -> tuple[str, ...]:
        """All quantities of this kind, in the order people read them."""
        return self.required + self.optional


def _range(reject_below: str, reject_above: str, flag_below: str, flag_above: str) -> Range:
    return Range(
        reject_below=Decimal(reject_below),
        reject_above=Decimal(reject_above),
        flag_below=Decimal(flag_below),
        flag_above=Decimal(flag_above),
    )


# Ranges: house values for physiology, to be confirmed by the chain's medical lead (observations, section 3).
# Codes: LOINC, displays unaltered. This material contains content from LOINC (http://loinc.org), copyright
# Regenstrief Institute, Inc. and the LOINC Committee, available at no cost under http://loinc.org/license.
QUANTITIES: dict[str, Quantity] = {
    q.name: q
    for q in (
        Quantity(
            name="systolic_mmhg",
            kind=Kind.BLOOD_PRESSURE,
            unit="mmHg",
            ucum="mm[Hg]",
            decimals=0,
            loinc="8480-6",
            loinc_display="Systolic blood pressure",
            range=_range("40", "300", "70", "250"),
            zh="收缩压",
            en="Systolic",
        ),
        Quantity(
            name="diastolic_mmhg",
            kind=Kind.BLOOD_PRESSURE,
            unit="mmHg",
            ucum="mm[Hg]",
            decimals=0,
            loinc="8462-4",
            loinc_display="Diastolic blood pressure",
            range=_range("20", "200", "40", "140"),
            zh="舒张压",
            en="Diastolic",
        ),
        Quantity(
            name="mean_arterial_mmhg",
            kind=Kind.BLOOD_PRESSURE,
            unit="mmHg",
            ucum="mm[Hg]",
            decimals=0,
            loinc="8478-0",
            loinc_display="Mean blood pressure",
            range=_range("20", "250", "50", "180"),
            zh="平均压",
            en="Mean arterial",
        ),
        Quantity(
            name="pulse_per_min",
            kind=Kind.BLOOD_PRESSURE,
            unit="次/分",
            ucum="/min",
            decimals=0,
            loinc="8867-4",
            loinc_display="Heart rate",
            range=_range("20", "250", "40", "150"),
            zh="脉搏",
            en="Pulse",
        ),
        Quantity(
            name="glucose_mmol_l",
            kind=Kind.GLUCOSE,
            unit="mmol/L",
            ucum="mmol/L",
            decimals=1,
            loinc="14743-9",
            loinc_display="Glucose [Moles/volume] in Capillary blood by Glucometer",
            range=_range("0.3", "60.0", "2.2", "27.8"),
            zh="血糖",
            en="Glucose",
        ),
        Quantity(
            name="ketone_mmol_l",
            kind=Kind.KETONE,
            unit="mmol/L",
            ucum="mmol/L",
            decimals=1,
            loinc="53061-8",
            loinc_display="Beta hydroxybutyrate [Moles/volume] in Capillary blood by Glucometer",
            range=_range("0.0", "15.0", "0.0", "8.0"),
            zh="血酮",
            en="Ketone",
        ),
        Quantity(
            name="total_cholesterol_mmol_l",
            kind=Kind.LIPID_PANEL,
            unit="mmol/L",
            ucum="mmol/L",
            decimals=2,
            loinc="14647-2",
            loinc_display="Cholesterol [Moles/volume] in Serum or Plasma",
            range=_range("0.5", "30.0", "2.0", "12.9"),
            zh="总胆固醇",
            en="Total cholesterol",
        ),
        Quantity(
            name="triglyceride_mmol_l",
            kind=Kind.LIPID_PANEL,
            unit="mmol/L",
            ucum="mmol/L",
            decimals=2,
            loinc="14927-8",
            loinc_display="Triglyceride [Moles/volume] in Serum or Plasma",
            range=_range("0.1", "60.0", "0.3", "11.3"),
            zh="甘油三酯",
            en="Triglycerides",
        ),
        Quantity(
            name="hdl_mmol_l",
            kind=Kind.LIPID_PANEL,
            unit="mmol/L",
            ucum="mmol/L",
            decimals=2,
            loinc="14646-4",
            loinc_display="Cholesterol in HDL [Moles/volume] in Serum or Plasma",
            range=_range("0.1", "6.0", "0.4", "3.5"),
            zh="高密度脂蛋白胆固醇",
            en="HDL cholesterol",
        ),
        Quantity(
            name="ldl_mmol_l",
            kind=Kind.LIPID_PANEL,
            unit="mmol/L",
            ucum="mmol/L",
            decimals=2,
            loinc="39469-2",
            loinc_display="Cholesterol in LDL [Moles/volume] in Serum or Plasma by calculation",
            range=_range("0.1", "25.0", "0.5", "10.0"),
            zh="低密度脂蛋白胆固醇",
            en="LDL cholesterol",
        ),
        Quantity(
            name="urate_umol_l",
            kind=Kind.URIC_ACID,
            unit="µmol/L",
            ucum="umol/L",
            decimals=0,
            loinc="14933-6",
            loinc_display="Urate [Moles/volume] in Serum or Plasma",
            range=_range("20", "3000", "90", "1000"),
            zh="血尿酸",
            en="Uric acid",
        ),
        Quantity(
            name="weight_kg",
            kind=Kind.BODY_WEIGHT,
            unit="kg",
            ucum="kg",
            decimals=1,
            loinc="29463-7",
            loinc_display="Body weight",
            range=_range("1", "400", "20", "250"),
            zh="体重",
            en="Weight",
        ),
        Quantity(
            name="body_temperature_cel",
            kind=Kind.BODY_TEMPERATURE,
            unit="°C",
            ucum="Cel",
            decimals=1,
            loinc="8310-5",
            loinc_display="Body temperature",
            range=_range("25.0", "45.0", "34.0", "42.0"),
            zh="体温",
            en="Temperature",
        ),
        Quantity(
            name="spo2_percent",
            kind=Kind.OXYGEN_SATURATION,
            unit="%",
            ucum="%",
            decimals=0,
            loinc="59408-5",
            loinc_display="Oxygen saturation in Arterial blood by Pulse oximetry",
            range=_range("30", "100", "80", "100"),
            zh="血氧饱和度",
            en="SpO2",
        ),
        Quantity(
            name="hba1c_percent",
            kind=Kind.HBA1C,
            unit="%",
            ucum="%",
            decimals=1,
            loinc="4548-4",
            loinc_display="Hemoglobin A1c/Hemoglobin.total in Blood",
            range=_range("2.0", "25.0", "3.5", "18.0"),
            zh="糖化血红蛋白",
            en="HbA1c",
        ),
        Quantity(
            name="haemoglobin_g_l",
            kind=Kind.HAEMOGLOBIN,
            unit="g/L",
            ucum="g/L",
            decimals=0,
            loinc="718-7",
            loinc_display="Hemoglobin [Mass/volume] in Blood",
            range=_range("20", "300", "60", "220"),
            zh="血红蛋白",
            en="Haemoglobin",
        ),
        Quantity(
            name="haematocrit_percent",
            kind=Kind.HAEMATOCRIT,
            unit="%",
            ucum="%",
            decimals=1,
            loinc="20570-8",
            loinc_display="Hematocrit [Volume Fraction] of Blood",
            range=_range("5.0", "85.0", "20.0", "65.0"),
            zh="红细胞压积",
            en="Haematocrit",
        ),
    )
}

KINDS: dict[Kind, KindInfo] = {
    k.kind: k
    for k in (
        KindInfo(
            kind=Kind.BLOOD_PRESSURE,
            required=("systolic_mmhg", "diastolic_mmhg"),
            optional=("mean_arterial_mmhg", "pulse_per_min"),
            fhir_category="vital-signs",
            loinc="85354-9",
            zh="血压",
            en="Blood pressure",
        ),
        KindInfo(
            kind=Kind.GLUCOSE,
            required=("glucose_mmol_l",),
            optional=(),
            fhir_category="laboratory",
            loinc="14743-9",
            zh="血糖",
            en="Glucose",
        ),
        KindInfo(
            kind=Kind.KETONE,
            required=("ketone_mmol_l",),
            optional=(),
            fhir_category="laboratory",
            loinc="53061-8",
            zh="血酮",
            en="Ketone",
        ),
        KindInfo(
            kind=Kind.LIPID_PANEL,
            required=(),  # a strip may carry any one of the four
            optional=("total_cholesterol_mmol_l", "triglyceride_mmol_l", "hdl_mmol_l", "ldl_mmol_l"),
            fhir_category="laboratory",
            loinc="24331-1",
            zh="血脂",
            en="Lipids",
        ),
        KindInfo(
            kind=Kind.URIC_ACID,
            required=("urate_umol_l",),
            optional=(),
            fhir_category="laboratory",
            loinc="14933-6",
            zh="血尿酸",
            en="Uric acid",
        ),
        KindInfo(
            kind=Kind.BODY_WEIGHT,
            required=("weight_kg",),
            optional=(),
            fhir_category="vital-signs",
            loinc="29463-7",
            zh="体重",
            en="Weight",
        ),
        KindInfo(
            kind=Kind.BODY_TEMPERATURE,
            required=("body_temperature_cel",),
            optional=(),
            fhir_category="vital-signs",
            loinc="8310-5",
            zh="体温",
            en="Temperature",
        ),
        KindInfo(
            kind=Kind.OXYGEN_SATURATION,
            required=("spo2_percent",),
            optional=("pulse_per_min",),
            fhir_category="vital-signs",
            loinc="59408-5",
            zh="血氧",
            en="Oxygen saturation",
        ),
        KindInfo(
            kind=Kind.HBA1C,
            required=("hba1c_percent",),
            optional=(),
            fhir_category="laboratory",
            loinc="4548-4",
            zh="糖化血红蛋白",
            en="HbA1c",
        ),
        KindInfo(
            kind=Kind.HAEMOGLOBIN,
            required=("haemoglobin_g_l",),
            optional=(),
            fhir_category="laboratory",
            loinc="718-7",
            zh="血红蛋白",
            en="Haemoglobin",
        ),
        KindInfo(
            kind=Kind.HAEMATOCRIT,
            required=("haematocrit_percent",),
            optional=(),
            fhir_category="laboratory",
            loinc="20570-8",
            zh="红细胞压积",
            en="Haematocrit",
        ),
    )
}

MEAL_LABELS: dict[Meal, tuple[str, str]] = {
    Meal.FASTING: ("空腹", "Fasting"),
    Meal.PRE_MEAL: ("餐前", "Before meal"),
    Meal.POST_MEAL_1H: ("餐后1小时", "1 h after meal"),
    Meal.POST_MEAL_2H: ("餐后2小时", "2 h after meal"),
    Meal.BEDTIME: ("睡前", "Bedtime"),
    Meal.RANDOM: ("随机", "Random"),
    Meal.UNKNOWN: ("未标注", "Not stated"),
}

# LOINC has codes of its own for a capillary glucose whose meal context is certain.
GLUCOSE_LOINC_BY_MEAL: dict[Meal, str] = {Meal.FASTING: "14770-2", Meal.POST_MEAL_2H: "14760-3"}
