"""Every class of error that a driver or docking knows is told in words somebody can act on."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import gateway.drivers
from gateway.drivers import ble_glucose, jxh, lepu_pc300_frames, raycome, sinocare_frames
from gateway.i18n import translator
from gateway.screen.troubles import ADVICE_ON, FAMILIES, advice, understood

SAID = {
    "lost": "连接中断",
    "refused": "没有应答",
    "failed": "读取仪器失败",
    "outbox_full": "存储已满",
    "garbled": "无法识别",
    "garbled_checksum": "无法识别",
    "garbled_no_answer": "没有应答",
    "garbled_unknown_unit": "单位",
    "unknown_model": "无法识别",
    "unsupported_format": "无法识别",
    "message_cut_off": "无法识别",
    "unknown_layout_0018": "无法识别",
    "not_paired": "配对",
    "unsupported_analyte": "不保存",
    "unknown_unit": "单位",
    "no_value": "没有得出结果",
    "measurement_failed": "没有得出结果",
    "measuring_failed_7": "没有得出结果",
    "result_abnormal": "没有得出结果",
    "not_final": "没有得出结果",
    "battery_low": "电量低",
    "battery_or_strip_not_seated": "电量低，或试条没有插好",
    "charging": "充电",
    "temp_too_high": "温度",
    "temperature_out_of_range": "温度",
    "strip_pulled": "试条",
    "used_strip_or_wrong_step": "试条",
    "code_chip_or_strip_fault": "试条",
    "sample_size": "血量不足",
    "sampling_uneven": "血量不足",
    "too_little_blood": "血量不足",
    "unknown_sample": "无法识别",
    "haematocrit_out_of_range": "过稠或过稀",
    "pulse_too_weak_or_cuff_leaks": "袖带",
    "inflation_too_long": "袖带",
    "interference": "移动",
    "movement": "移动",
    "clock_not_set": "时钟不准",
    "clock_not_settable": "没有接受校时",
    "clock_refused": "没有接受校时",
    "gateway_clock_unknown": "网关尚未取得",
    "records_missing": "存储未能读出",
    "left_locked": "锁定",
    "sensor_malfunction": "自检发现故障",
    "self_check_failed": "自检发现故障",
    "general_device_fault": "自检发现故障",
    "error_e07": "仪器报告错误 E07",
    "something_new": "读取仪器失败",
    "strip_broken": "读取仪器失败",  # nobody's word, though it looks like one of ours
}


@pytest.mark.parametrize(("error", "said"), SAID.items())
def test_an_error_is_told_in_words_and_with_what_to_do(error: str, said: str):
    told = advice(error, translator("zh_CN"))
    assert said in told.what
    assert told.do
    assert advice(error, translator("en")).what.isascii()


@pytest.mark.parametrize("error", [*ADVICE_ON, *(beginning + "e1" for beginning in FAMILIES)])
def test_no_advice_shows_a_programs_word(error: str):
    for language in ("zh_CN", "en"):
        told = advice(error, translator(language))
        assert told.what
        assert told.do
        assert not {"_", "{", "}"} & set(told.what + told.do)
        assert language == "zh_CN" or (told.what + told.do).replace("°", "").isascii()


# --- every word that a driver may say ------------------------------------------------------------------------

TABLES = (
    *(jxh.ERRORS.values(), raycome.ERRORS.values(), lepu_pc300_frames.PRESSURE_ERRORS.values()),
    (word for code, word in sinocare_frames.ERRORS.items() if code < sinocare_frames.ABOVE_RANGE),  # HI and LO
    ble_glucose._NO_RESULT,
)
FROM_ELSEWHERE = {
    "why",
    "error",
    "heard.error",
    "wrong",
    "failed[0]",
    "garbled.error",
    "frames.pressure_error(it)",
}
"""Expressions that hand on a word which is found where it was written: a NoReading's, a table's, a Garbled's."""


def test_every_word_a_driver_says_has_its_advice():
    said = set(_written()) | {word for table in TABLES for word in table} | set(_in_transcripts())
    assert len(said) > 60
    assert sorted(word for word in said if not understood(word)) == []


def test_a_conversation_that_ends_badly_has_its_advice():
    endings = {"lost", "refused", "failed", "outbox_full", "garbled_unknown_quantity"}  # gateway.docking's
    assert all(understood(word) for word in endings)


def _in_transcripts() -> Iterator[str]:
    for file in (Path(__file__).parents[1] / "drivers" / "transcripts").rglob("*.txt"):
        for line in file.read_text("utf-8").splitlines():
            if line.startswith("= note error "):
                yield line.removeprefix("= note error ").strip()


def _written() -> Iterator[str]:
    for file in sorted(Path(gateway.drivers.__file__).parent.glob("*.py")):
        for call in (node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Call)):
            yield from _words(call, f"{file.name}:{call.lineno}")


def _words(call: ast.Call, where: str) -> Iterator[str]:
    match call:
        case ast.Call(func=ast.Name("note"), args=[ast.Constant("error"), said]):
            pass
        case ast.Call(func=ast.Name("NoReading" | "Heard"), keywords=keywords):
            said = next((word.value for word in keywords if word.arg in ("why", "error")), ast.Constant("garbled"))
        case ast.Call(func=ast.Attribute(attr="spoil"), args=[said]):
            pass
        case _:
            return
    for word in (said.body, said.orelse) if isinstance(said, ast.IfExp) else (said,):
        match word:
            case ast.Constant(str(text)):
                yield text
            case ast.JoinedStr(values=[ast.Constant(beginning), *_]):
                yield str(beginning)
            case ast.Call(
                func=ast.Attribute(attr="get"), args=[_, ast.JoinedStr(values=[ast.Constant(beginning), *_])]
            ):
                yield str(beginning)  # one of TABLES
            case _:
                assert ast.unparse(word) in FROM_ELSEWHERE, f"{where}: which words may stand here?"
