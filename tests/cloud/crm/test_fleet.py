"""The gateways as a field engineer reads them: what waits, what hears nothing, which meter was last seen when."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, insert, update

from cloud.crm.devices.tables import devices
from cloud.crm.fleet.service import SILENT_AFTER
from cloud.crm.fleet.tables import gateways


def report(engine: Engine, *, heard: timedelta = timedelta(seconds=20), online: bool = True, **status) -> None:
    """What the gateway of the northern store said last."""
    with engine.begin() as connection:
        connection.execute(
            update(gateways)
            .where(gateways.c.id == "gw-n01")
            .values(online=online, last_heard_at=datetime.now(UTC) - heard, status=status)
        )


def test_each_meter_is_named_with_when_it_last_gave_a_reading(as_, engine):
    now = datetime.now(UTC)
    with engine.begin() as connection:
        connection.execute(
            insert(devices).values(chain_id="kang", key="sn-1", maker="鱼跃", model="YE680A", store_id="n01")
        )
    seen = {"sn-1": (now - timedelta(days=3)).isoformat(), "usb-2": (now - timedelta(minutes=4)).isoformat()}
    report(engine, meters=seen)
    engineer = as_("engineer")
    found = {one["id"]: one["meters"] for one in engineer.get("/api/v1/gateways").json()["gateways"]}
    assert [(meter["key"], meter["name"]) for meter in found["gw-n01"]] == [
        ("usb-2", "usb-2"),  # it told no name
        ("sn-1", "鱼跃 YE680A"),
    ]
    page = engineer.get("/gateways").text
    for words in ("鱼跃 YE680A", "3 天前", "4 分钟前"):
        assert words in page


def test_what_is_wrong_with_a_gateway_is_said_in_words(as_, engine):
    report(
        engine,
        unsent=412,
        oldest_unsent_s=3 * 3600,
        disk_free_mb=512,
        clock_trusted=False,
        transports={"ble": "silent", "serial": "ok"},
    )
    page = as_("manager").get("/gateways").text
    for words in ("412", "已等 3 小时", "512 MB", "不可信", "蓝牙 没有信号", "串口 正常"):
        assert words in page, words


@pytest.mark.parametrize(
    ("heard", "online", "state"),
    [
        (SILENT_AFTER - timedelta(seconds=5), True, "online"),
        (SILENT_AFTER + timedelta(seconds=5), True, "silent"),
        (timedelta(days=9), False, "offline"),
    ],
)
def test_a_gateway_that_says_nothing_is_told_from_one_that_is_off(as_, engine, heard, online, state):
    report(engine, heard=heard, online=online)
    found = {one["id"]: one["state"] for one in as_("engineer").get("/api/v1/gateways").json()["gateways"]}
    assert found["gw-n01"] == state
    assert set(found) == {"gw-n01", "gw-s01"}  # the other chain's is not there
