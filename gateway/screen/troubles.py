"""Classes of what goes wrong with a meter, in words a pharmacist can act on: what happened, and what to do. Pure.

The classes are the drivers' and `gateway.docking`'s, one word each; which there are is `WORDS` and `FAMILIES`.
"""

from dataclasses import dataclass

from gateway.i18n import Translate


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What happened, and what to do now."""

    what: str
    do: str


WORDS = {
    "lost": ("lost",),
    "refused": ("refused", "no_answer", "garbled_no_answer", "garbled_racp_no_answer", "garbled_refused"),
    "failed": ("failed",),
    "disk": ("outbox_full",),
    "our_clock": ("gateway_clock_unknown",),
    "garbled": (
        *("garbled", "slip_cut_off", "label_cut_off", "frame_outside_transfer", "contradictory_range"),
        *("no_header", "message_aborted", "message_cut_off"),
        *(
            "unknown_analyser",
            "unknown_layout",
            "unknown_mode",
            "unknown_model",
            "unknown_sample",
            "unknown_status",
        ),
        *("unsupported_format", "unsupported_record"),
    ),
    "pairing": ("not_paired",),
    "locked": ("left_locked", "not_unlocked"),
    "memory": (
        *("records_missing", "memory_moves", "memory_not_told", "context_missing", "unlisted"),
        *("garbled_memory_keeps_moving", "garbled_record_count"),
    ),
    "analyte": ("unsupported_analyte", "unknown_analyte", "unknown_test", "not_a_glucose_test"),
    "unit": ("unknown_unit", "garbled_unknown_unit"),
    "nothing": (
        *(
            "no_value",
            "garbled_no_result",
            "not_final",
            "not_settled",
            "measurement_failed",
            "measurement_abnormal",
        ),
        *("measurement_too_long", "result_abnormal"),
    ),
    "battery": ("battery_low",),
    "battery_or_strip": ("battery_or_strip_not_seated",),
    "charging": ("charging",),
    "temperature": ("temp_too_high", "temp_too_low", "temperature_out_of_range"),
    "strip": (
        *("strip_insertion", "strip_type", "strip_pulled", "used_strip_or_wrong_step", "code_chip_or_strip_fault"),
    ),
    "blood": ("sample_size", "too_little_blood", "sampling_uneven"),
    "haematocrit": ("haematocrit_out_of_range",),
    "cuff": (
        *("cuff_loose", "cuff_leaks", "cuff_loose_or_leaks", "pulse_too_weak_or_cuff_leaks", "over_pressure"),
        *("inflation_blocked", "inflation_too_long", "pressure_unstable"),
    ),
    "still": ("movement", "no_pulse", "interference"),
    "clock": ("clock_not_set", "no_clock"),
    "clock_kept": ("clock_not_settable", "clock_not_confirmed", "clock_refused"),
    "fault": (
        *("sensor_malfunction", "sensor_fault", "sensor_status", "self_check_failed", "self_test", "hardware"),
        *("device_fault", "general_device_fault", "calibration", "not_calibrated_fault"),
    ),
}
"""Every word that a driver or docking says, by what there is to be done about it."""
ADVICE_ON = {word: advice for advice, words in WORDS.items() for word in words}
FAMILIES = {
    "garbled_": "garbled",  # and why it cannot be read
    "error_": "code",  # and the number in the meter's own manual
    "measuring_failed_": "nothing",  # and the meter's number for it
    "unknown_layout_": "garbled",  # and which
}
"""How words begin that end in a detail of their own."""


def advice(error: str, _: Translate) -> Advice:
    """What to tell staff about an error class; one of another package's driver may be a word nobody knows here."""
    family = next((beginning for beginning in FAMILIES if error.startswith(beginning)), "")
    said = _texts(_)[ADVICE_ON.get(error) or FAMILIES.get(family, "failed")]
    return Advice(what=said.what.format(code=error.removeprefix(family).upper()), do=said.do)


def understood(error: str) -> bool:
    """Whether there is better advice on `error` than to try again."""
    return error in ADVICE_ON or error.startswith(tuple(FAMILIES))


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
        "battery_or_strip": Advice(
            what=_("The meter's battery is low, or the strip is not properly in."),
            do=_("Take the strip out and put it in again; if it stays so, change the battery."),
        ),
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
