"""The gateway's command line, as a field engineer types it."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID

import pytest

from gateway.__main__ import main
from gateway.buffer.outbox import Outbox
from gateway.conversation import Arrived, Context, Driver, Record, Sighting, Talk, emit, subscribe, wait
from gateway.docking import HEADER, header
from gateway.drivers import DRIVERS
from gateway.proof import Proof
from gateway.wire.vocabulary import Kind
from tests.gateway.readings import reading
from tests.gateway.test_transcript import HAPPY

CONVERSATION = UUID(int=77)


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.toml"
    path.write_text('[gateway]\nname = "gw-1"\ndata_directory = "data"\n[mqtt]\nhost = "broker"\n')
    return path


def test_every_driver_is_listed_and_shown(capsys: pytest.CaptureFixture[str]):
    assert main(["drivers", "list"]) == 0
    listed = capsys.readouterr().out
    for driver in DRIVERS:
        assert driver.name in listed
        assert main(["drivers", "show", driver.name]) == 0
        shown = capsys.readouterr().out
        for words in (driver.devices, driver.source, driver.quirks, driver.proven_by):
            assert words in shown


def test_an_unknown_driver_is_answered_with_those_there_are(capsys: pytest.CaptureFixture[str]):
    assert main(["drivers", "show", "ble.toaster"]) == 2
    assert DRIVERS[0].name in capsys.readouterr().err


def test_what_waits_is_told_while_the_gateway_runs(settings: Path, capsys: pytest.CaptureFixture[str]):
    async def play() -> int:
        outbox = await Outbox.open(settings.parent / "data", gateway="gw-1")
        await outbox.put([reading(), reading()])
        status = await asyncio.to_thread(main, ["outbox", "status", "--config", str(settings)])
        await outbox.close()
        return status

    assert asyncio.run(play()) == 0
    assert "2 readings wait for the cloud" in capsys.readouterr().out


def test_conversations_are_listed_and_one_is_replayed(settings: Path, capsys: pytest.CaptureFixture[str]):
    now = datetime(2026, 11, 21, 4, tzinfo=UTC)
    driver = DRIVERS[0]
    context = Context(sighting=Sighting(transport="ble", address="AA:01"), now=now)

    async def docked() -> None:
        outbox = await Outbox.open(settings.parent / "data", gateway="gw-1")
        await outbox.journal(CONVERSATION, now, HEADER, header(driver.name, context, None, clock_trusted=True))
        await outbox.close()

    asyncio.run(docked())
    assert main(["journal", "replay", "--config", str(settings)]) == 0
    listed = capsys.readouterr().out
    assert str(CONVERSATION) in listed
    assert driver.name in listed
    assert main(["journal", "replay", str(UUID(int=1)), "--config", str(settings)]) == 1
    assert "no longer holds" in capsys.readouterr().err


def test_without_a_journal_the_command_says_so(settings: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["journal", "replay", "--config", str(settings)]) == 1
    assert "no journal in" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["run"], ["outbox", "status"], ["journal", "replay"], ["doctor"]])
def test_wrong_settings_end_every_command_with_2(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "gateway.toml"
    path.write_text('[gateway]\nnaem = "gw-1"\n')
    assert main([*command, "--config", str(path)]) == 2
    captured = capsys.readouterr()
    assert "gateway.naem: unknown" in captured.out + captured.err


def test_decode_and_replay_keep_their_own_arguments(capsys: pytest.CaptureFixture[str]):
    assert main(["decode", "ble.racp", "nonsense"]) == 1
    with pytest.raises(SystemExit) as ended:
        main(["replay"])
    assert ended.value.code == 2


@pytest.fixture
def acme(monkeypatch: pytest.MonkeyPatch) -> Driver:
    """A driver of another installed package: a meter that sends its value as one byte of tenths."""

    def decode(data: bytes) -> dict[str, object]:
        return {"tenths": data[0]}

    def talk(context: Context) -> Talk:
        yield from subscribe("ffe1")
        while isinstance(event := (yield from wait(1.0)), Arrived):
            value = Decimal(event.data[0]) / 10
            yield from emit(Record(kind=Kind.GLUCOSE, key=str(value), values={"glucose_mmol_l": value}))

    driver = Driver(
        name="acme.tenths",
        transport="ble",
        recognise=lambda sighting: sighting.name == "Acme",
        talk=talk,
        devices="Acme One",
        source="its maker",
        quirks="none",
        proven_by="this test",
        proof=Proof.ONE_SOURCE,
        names=("Acme",),
        decoders={"acme.tenths": decode},
    )
    installed(monkeypatch, lambda: driver)
    return driver


def installed(monkeypatch: pytest.MonkeyPatch, load: Callable[[], object]) -> None:
    entry = SimpleNamespace(name="acme", value="acme:DRIVER", dist=None, load=load)
    monkeypatch.setattr("gateway.drivers.entry_points", lambda group: [entry])


def test_a_driver_of_another_package_is_listed_decoded_played_and_replayed(
    acme: Driver, settings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["drivers", "list"]) == 0
    assert "acme.tenths" in capsys.readouterr().out
    assert main(["decode", "acme.tenths", "36"]) == 0
    assert '"tenths":54' in capsys.readouterr().out

    transcript = tmp_path / "acme.txt"
    transcript.write_text(
        "# driver: acme.tenths\n# received: 2026-03-02T09:32:00+08:00\n"
        "> subscribe ffe1\n< ffe1 36\n= glucose key=5.4 glucose_mmol_l=5.4\n. silence\n"
    )
    assert main(["replay", str(transcript)]) == 0
    assert '"glucose_mmol_l":"5.4"' in capsys.readouterr().out

    async def docked() -> None:
        now = datetime(2026, 11, 21, 4, tzinfo=UTC)
        context = Context(sighting=Sighting(transport="ble", address="AA:01"), now=now)
        outbox = await Outbox.open(settings.parent / "data", gateway="gw-1")
        await outbox.journal(CONVERSATION, now, HEADER, header(acme.name, context, None, clock_trusted=True))
        await outbox.journal(CONVERSATION, now, "ffe1", b"\x36")
        await outbox.close()

    asyncio.run(docked())
    assert main(["journal", "replay", str(CONVERSATION), "--config", str(settings)]) == 0
    assert "1 new readings" in capsys.readouterr().out


def test_a_package_that_cannot_be_loaded_takes_nothing_from_our_own_decoders(
    monkeypatch: pytest.MonkeyPatch, settings: Path, capsys: pytest.CaptureFixture[str]
):
    def broken() -> object:
        raise ImportError("no acme_usb")

    installed(monkeypatch, broken)
    assert main(["decode", "ble.racp", "06000101"]) == 0
    printed = capsys.readouterr()
    assert '"valid":true' in printed.out
    assert "acme" in printed.err
    assert main(["replay", str(HAPPY)]) == 0
    assert "acme" in capsys.readouterr().err
    assert main(["drivers", "list"]) == 1
    assert main(["journal", "replay", str(CONVERSATION), "--config", str(settings)]) == 1
    assert "acme" in capsys.readouterr().err
