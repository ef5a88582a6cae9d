"""Classes of what goes wrong with a meter, in words a pharmacist can act on: what happened, and what to do. Pure.

The classes are the drivers' and `gateway.docking`'s, one word each; a word nobody foresaw is sorted by its parts.
"""

from dataclasses import dataclass

from gateway.i18n import Translate


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What happened, and what to do now."""

    what: str
    do: str


EXACT = {
    "lost": "lost",
    "refused": "refused",
    "failed": "failed",
    "outbox_full": "disk",
    "garbled": "garbled",
    "not_paired": "pairing",
    "unsupported_analyte": "analyte",
    "unknown_unit": "unit",
    "no_value": "nothing",
    "sample_size": "blood",
    "sampling_uneven": "blood",
    "charging": "charging",
}
BY_PART = (
    ("garbled", "garbled"),
    ("passkey", "pairing"),
    ("pair", "pairing"),
    ("bond", "pairing"),
    ("battery", "battery"),
    ("charg", "charging"),
    ("temp", "temperature"),
    ("strip", "strip"),
    ("code_chip", "strip"),
    ("blood", "blood"),
    ("sample", "blood"),
    ("haematocrit", "haematocrit"),
    ("cuff", "cuff"),
    ("leak", "cuff"),
    ("air", "cuff"),
    ("inflat", "cuff"),
    ("over_pressure", "cuff"),
    ("overpressure", "cuff"),
    ("pulse", "still"),
    ("moved", "still"),
    ("movement", "still"),
    ("motion", "still"),
    ("interference", "still"),
    ("unstable", "still"),
    ("analyte", "analyte"),
    ("unit", "unit"),
    ("clock", "clock"),
    ("time_fault", "clock"),
    ("datetime", "clock"),
    ("sensor", "fault"),
    ("self_check", "fault"),
    ("self_test", "fault"),
    ("hardware", "fault"),
    ("fault", "fault"),
    ("no_value", "nothing"),
    ("no_result", "nothing"),
    ("measur", "nothing"),
)
"""The first part found in a word decides, so the particular stands before the general."""


def advice(error: str, _: Translate) -> Advice:
    """What to tell staff about an error class."""
    return _texts(_)[_class(error)]


def _class(error: str) -> str:
    word = error.partition(":")[0]
    return EXACT.get(word) or next((found for part, found in BY_PART if part in word), "failed")


def _texts(_: Translate) -> dict[str, Advice]:
    return {
        "lost": Advice(
            what=_("The connection was lost."),
            do=_("What was read is saved; put the meter down once more."),
        ),
        "refused": Advice(
            what=_("The meter did not answer."),
            do=_("Switch it off and on and put it down once more."),
        ),
        "failed": Advice(what=_("Reading the meter failed."), do=_("Put it down once more.")),
        "disk": Advice(
            what=_("This gateway's disk is full."), do=_("Note the number by hand and call the engineer.")
        ),
        "garbled": Advice(
            what=_("The meter said something we do not understand."), do=_("Note the number by hand.")
        ),
        "pairing": Advice(
            what=_("The meter is not paired with this gateway."),
            do=_("Put the meter into pairing mode and put it down; call the engineer if it asks for a number."),
        ),
        "analyte": Advice(
            what=_("The meter measured something this dock does not keep."), do=_("Note the number by hand.")
        ),
        "unit": Advice(
            what=_("The meter shows a unit we do not know."),
            do=_("Note the number by hand and call the engineer."),
        ),
        "nothing": Advice(what=_("The meter ended without a result."), do=_("Please measure again.")),
        "battery": Advice(what=_("The meter's battery is low."), do=_("Change the battery, then measure again.")),
        "charging": Advice(
            what=_("The meter is charging and does not measure."), do=_("Unplug it, then measure again.")
        ),
        "temperature": Advice(
            what=_("The meter is too cold or too warm."),
            do=_("Leave it at 10 to 40 °C for half an hour, then measure again."),
        ),
        "strip": Advice(
            what=_("The strip is used, wrong, or not properly in."),
            do=_("Take a new strip of this meter's kind and measure again."),
        ),
        "blood": Advice(
            what=_("There was too little blood, or it came unevenly."),
            do=_("Take a new strip and fill it in one go."),
        ),
        "haematocrit": Advice(
            what=_("The blood is too thick or too thin for this meter."),
            do=_("Send the customer to a laboratory; do not use this meter."),
        ),
        "cuff": Advice(
            what=_("The cuff is loose, leaks, or was pumped too high."),
            do=_("Put the cuff on again, two fingers above the elbow, and measure again."),
        ),
        "still": Advice(
            what=_("The arm moved, or no pulse was found."),
            do=_("Sit still, do not talk, and measure again after a minute."),
        ),
        "clock": Advice(what=_("The meter's clock is not right."), do=_("Set it here, or on the meter.")),
        "fault": Advice(
            what=_("The meter has found a fault in itself."),
            do=_("Switch it off and on; if it stays, use another meter and call the engineer."),
        ),
    }
