"""Every class of error that a driver or docking knows is told in words somebody can act on."""

import pytest

from gateway.i18n import translator
from gateway.screen.troubles import advice

SAID = {
    "lost": "连接中断",
    "refused": "没有应答",
    "failed": "读取仪器失败",
    "outbox_full": "存储已满",
    "garbled": "无法识别",
    "garbled_checksum": "无法识别",
    "unknown_model": "无法识别",
    "unsupported_format": "无法识别",
    "message_cut_off": "无法识别",
    "not_paired": "配对",
    "unsupported_analyte": "不保存",
    "unknown_unit": "单位",
    "no_value": "没有得出结果",
    "measurement_failed": "没有得出结果",
    "result_abnormal": "没有得出结果",
    "not_final": "没有得出结果",
    "battery_low": "电量低",
    "battery_or_strip_not_seated": "电量低",
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
    "body_movement": "移动",
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
}


@pytest.mark.parametrize(("error", "said"), SAID.items())
def test_an_error_is_told_in_words_and_with_what_to_do(error: str, said: str):
    told = advice(error, translator("zh_CN"))
    assert said in told.what
    assert told.do
    assert "_" not in told.what + told.do
    in_english = advice(error, translator("en"))
    assert in_english.what.isascii()
