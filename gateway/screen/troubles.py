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
    "no_answer": "refused",
    "failed": "failed",
    "outbox_full": "disk",
    "gateway_clock_unknown": "our_clock",
    "sample_size": "blood",
    "left_locked": "locked",
    "not_unlocked": "locked",
}
BY_PART = (
    ("error_", "code"),
    ("garbled", "garbled"),
    ("unknown_unit", "unit"),
    ("analyte", "analyte"),
    ("not_a_glucose_test", "analyte"),
    ("unknown", "garbled"),
    ("unsupported", "garbled"),
    ("contradict", "garbled"),
    ("no_header", "garbled"),
    ("message_", "garbled"),
    ("pair", "pairing"),
    ("bond", "pairing"),
    ("passkey", "pairing"),
    ("missing", "memory"),
    ("memory", "memory"),
    ("unlisted", "memory"),
    ("battery", "battery"),
    ("charg", "charging"),
    ("temp", "temperature"),
    ("strip", "strip"),
    ("code_chip", "strip"),
    ("blood", "blood"),
    ("sampl", "blood"),
    ("haematocrit", "haematocrit"),
    ("cuff", "cuff"),
    ("leak", "cuff"),
    ("inflat", "cuff"),
    ("pressure", "cuff"),
    ("pulse", "still"),
    ("move", "still"),
    ("motion", "still"),
    ("interference", "still"),
    ("unstable", "still"),
    ("no_clock", "clock"),
    ("clock_not_settable", "clock_kept"),
    ("clock_not_set", "clock"),
    ("clock", "clock_kept"),
    ("time_fault", "clock"),
    ("unit", "unit"),
    ("sensor", "fault"),
    ("self_", "fault"),
    ("hardware", "fault"),
    ("calibration", "fault"),
    ("fault", "fault"),
    ("value", "nothing"),
    ("result", "nothing"),
    ("final", "nothing"),
    ("settled", "nothing"),
    ("measur", "nothing"),
)
"""The first part found in a word decides, so the particular stands before the general."""


def advice(error: str, _: Translate) -> Advice:
    """What to tell staff about an error class."""
    said = _texts(_)[_class(error)]
    return Advice(what=said.what.format(code=error.rpartition("_")[2].upper()), do=said.do)


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
        "code": Advice(
            what=_("The meter reports error {code}."),
            do=_("Look it up in the meter's manual, then measure again."),
        ),
        "memory": Advice(
            what=_("Part of the meter's memory was not read."),
            do=_("Put it down once more; compare with its display."),
        ),
        "locked": Advice(
            what=_("The meter stayed locked by the connection."), do=_("Switch it off and on before it measures.")
        ),
        "our_clock": Advice(
            what=_("This gateway does not know the time yet."),
            do=_("Wait until it has a network, or call the engineer."),
        ),
        "clock_kept": Advice(what=_("The meter did not take the time."), do=_("Set it on the meter.")),
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
