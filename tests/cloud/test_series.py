"""Points, written by influxdb-client to a real influxd 1.6.7 behind our v2 write shim, read back by InfluxQL."""

import itertools
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Engine, select

from cloud import db
from cloud.__main__ import main
from cloud.config import Influx
from cloud.health import IngestMetrics
from cloud.ingest import project
from cloud.ingest.intake import accept
from cloud.ingest.worker import TryLater, run_one
from cloud.ledger import changes, store
from cloud.ledger.tables import work
from cloud.series import SeriesRefused, Writer
from gateway.wire.messages import Purpose, Quality, Reading
from gateway.wire.vocabulary import Meal, OffScale
from tests.cloud import chains, influx_shim
from tests.cloud.chains import CHAIN, CLERK, CODES, NOW, STORE, WANG, batch, reading, visit

pytestmark = pytest.mark.skipif(influx_shim.program() is None, reason="Debian's influxd is not installed")
_buckets = itertools.count(1)


@pytest.fixture(scope="module")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[influx_shim.Influxd, influx_shim.Shim]]:
    influxd, shim = influx_shim.start(tmp_path_factory.mktemp("influxd"))
    yield influxd, shim
    shim.stop()
    influxd.stop()


@pytest.fixture
def bucket(influx: tuple[influx_shim.Influxd, influx_shim.Shim]) -> str:
    name = f"b{next(_buckets)}"
    influx[0].create(name)
    return name


@pytest.fixture
def writer(influx: tuple[influx_shim.Influxd, influx_shim.Shim], bucket: str) -> Iterator[Writer]:
    with Writer(Influx(url=influx[1].url, token=influx_shim.TOKEN, org="kangdock", bucket=bucket)) as made:
        yield made


@pytest.fixture
def ledger(engine: Engine) -> Engine:
    chains.found(engine)
    return engine


def take(engine: Engine, *sent: Reading) -> None:
    with db.begin(engine) as connection:
        accept(connection, [batch(sent)], NOW)


def project_all(engine: Engine, writer: Writer | None) -> None:
    while run_one(engine, "project", project.reader(writer), db.now(), IngestMetrics()):
        pass


def test_a_stored_reading_becomes_a_point(ledger: Engine, influx, bucket: str, writer: Writer) -> None:
    take(
        ledger,
        reading(1, visit=visit(CODES[WANG]), values={"glucose_mmol_l": Decimal("6.10")}, meal=Meal.FASTING),
    )
    project_all(ledger, writer)
    (row,) = influx[0].query("SELECT * FROM glucose", bucket)
    assert row["time"] // 10**9 == NOW.timestamp()
    del row["time"]
    assert row == {
        "chain": CHAIN,
        "store": STORE,
        "glucose_mmol_l": 6.1,
        "member": str(WANG),
        "meal": "fasting",
        "device": "SN-1",
        "reading": str(reading(1).id),
    }
    of_wang = f"SELECT glucose_mmol_l FROM glucose WHERE member = '{WANG}'"  # noqa: S608
    assert len(influx[0].query(of_wang, bucket)) == 1


def test_a_claim_and_its_undo_move_the_point(ledger: Engine, influx, bucket: str, writer: Writer) -> None:
    take(ledger, reading(1))
    project_all(ledger, writer)
    assert [row["member"] for row in influx[0].query("SELECT * FROM glucose", bucket)] == [""]
    with db.begin(ledger) as connection:
        changes.claim(connection, CHAIN, [reading(1).id], WANG, CLERK, NOW)
    project_all(ledger, writer)
    assert [row["member"] for row in influx[0].query("SELECT * FROM glucose", bucket)] == [str(WANG)]
    with db.begin(ledger) as connection:
        changes.undo(connection, CHAIN, reading(1).id, CLERK, NOW)
    project_all(ledger, writer)
    assert [row["member"] for row in influx[0].query("SELECT * FROM glucose", bucket)] == [""]


def test_two_readings_of_one_instant_are_two_points(ledger: Engine, influx, bucket: str, writer: Writer) -> None:
    take(ledger, *[reading(n) for n in range(50)])
    project_all(ledger, writer)
    assert len(influx[0].query("SELECT * FROM glucose", bucket)) == 50


def test_hi_has_no_number_and_control_or_impossible_values_no_point(
    ledger: Engine, influx, bucket: str, writer: Writer
) -> None:
    take(
        ledger,
        reading(1, values={}, off_scale={"glucose_mmol_l": OffScale.HI}),
        reading(2, purpose=Purpose.CONTROL),
        reading(3, quality=Quality.REJECTED),
    )
    project_all(ledger, writer)
    (row,) = influx[0].query("SELECT * FROM glucose", bucket)
    assert row["glucose_mmol_l_off_scale"] == "HI"
    assert "glucose_mmol_l" not in row


def test_everything_can_be_written_again_from_the_ledger(
    ledger: Engine, influx, bucket: str, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project, "REBUILD_ROWS", 7)
    take(ledger, *[reading(n, at=NOW - timedelta(days=n)) for n in range(20)])
    project_all(ledger, None)  # there was no InfluxDB when they came
    assert influx[0].query("SELECT * FROM glucose", bucket) == []
    told: list[int] = []
    assert project.rebuild(ledger, writer, told=told.append) == 20
    assert project.rebuild(ledger, writer) == 20
    assert told == [7, 14, 20]
    assert len(influx[0].query("SELECT * FROM glucose", bucket)) == 20


def test_while_influxdb_is_away_the_work_waits(ledger: Engine, influx, bucket: str, writer: Writer) -> None:
    take(ledger, reading(1))
    influx[1].away.set()
    with pytest.raises(TryLater):
        run_one(ledger, "project", project.reader(writer), NOW, IngestMetrics())
    influx[1].away.clear()
    with ledger.connect() as connection:
        assert connection.execute(select(work.c.tries).where(work.c.reader == "project")).scalars().all() == [0]
    project_all(ledger, writer)
    assert len(influx[0].query("SELECT * FROM glucose", bucket)) == 1


def test_a_wrong_token_is_named_and_not_retried_for_ever(ledger: Engine, influx, bucket: str) -> None:
    take(ledger, reading(1))
    with (
        Writer(Influx(url=influx[1].url, token="wrong", org="kangdock", bucket=bucket)) as stranger,
        pytest.raises(SeriesRefused, match="401"),
        ledger.connect() as connection,
    ):
        stranger.write(store.by_ids(connection, CHAIN, [reading(1).id]))


def test_a_rebuild_on_the_command_line_says_how_it_ended(
    ledger: Engine, database: str, influx, bucket: str, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    take(ledger, *[reading(n) for n in range(3)])
    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.setenv("INFLUXDB_URL", influx[1].url)
    monkeypatch.setenv("INFLUXDB_TOKEN", influx_shim.TOKEN)
    monkeypatch.setenv("INFLUXDB_BUCKET", bucket)
    assert main(["series", "rebuild"]) == 0
    assert capsys.readouterr().out == "3 points written\n"
    assert len(influx[0].query("SELECT * FROM glucose", bucket)) == 3
    influx[1].away.set()
    assert main(["series", "rebuild"]) == 1
    assert "The ledger is safe" in capsys.readouterr().err
    influx[1].away.clear()
    monkeypatch.setenv("INFLUXDB_TOKEN", "wrong")
    assert main(["series", "rebuild"]) == 1
    said = capsys.readouterr().err
    assert "401" in said
    assert "INFLUXDB_TOKEN" in said
    assert "wrong" not in said
