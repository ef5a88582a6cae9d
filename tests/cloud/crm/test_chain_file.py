"""A chain is founded and changed by its file; whoever is in it signs in once they have a password."""

import io
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, func, select

from cloud.__main__ import main
from cloud.crm.fleet.tables import gateways
from cloud.crm.staff.tables import staff
from cloud.crm.stores.tables import org_units
from tests.cloud.crm.conftest import PASSWORD
from tests.cloud.crm.test_sessions import sign_in

FILE = """
[chain]
id = "hua"
name = "华康"

[[area]]
id = "west"
name = "西区"

[[store]]
id = "w01"
name = "西门店"
area = "west"
gateways = ["gw-hua-w01"]

[[staff]]
login = "lin"
name = "林夕"
role = "specialist"
unit = "w01"
"""


@pytest.fixture
def written(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch):
    """Writes the file and applies it; returns the exit status."""
    monkeypatch.setenv("DATABASE_URL", database)

    def apply(text: str, *more: str) -> int:
        path = tmp_path / "chain.toml"
        path.write_text(text, encoding="utf-8")
        return main(["chain", "apply", str(path), *more])

    return apply


def give_password(monkeypatch: pytest.MonkeyPatch, login: str, password: str) -> int:
    """What an engineer types, piped in."""
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
    return main(["staff", "password", login])


def test_a_chain_founded_by_its_file_works_once_its_staff_have_passwords(written, visitor, monkeypatch, capsys):
    assert written(FILE) == 0
    assert capsys.readouterr().out.splitlines() == [
        "unit hua: new", "unit west: new", "unit w01: new", "gateway gw-hua-w01: new", "staff lin: new",
    ]  # fmt: skip
    assert sign_in(visitor, "", login="lin").status_code == 401
    assert give_password(monkeypatch, "lin", "too short") == 1
    assert give_password(monkeypatch, "lin", PASSWORD) == 0
    assert sign_in(visitor, login="lin").status_code == 303
    assert visitor.get("/tasks").status_code == 200
    assert written(FILE) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "nothing to change"
    assert visitor.get("/api/v1/me").json()["name"] == "林夕"  # and nobody was signed out by it


def test_a_gateway_moves_and_somebody_leaves_by_changing_the_file(written, visitor, engine: Engine, monkeypatch):
    written(FILE)
    give_password(monkeypatch, "lin", PASSWORD)
    sign_in(visitor, login="lin")
    moved = FILE.replace('gateways = ["gw-hua-w01"]\n', "") + "active = false\n"
    moved += '[[store]]\nid = "w02"\nname = "桥头店"\ngateways = ["gw-hua-w01"]\n'
    before = counted(engine)
    assert written(moved, "--check") == 0
    assert counted(engine) == before
    assert written(moved) == 0
    with engine.connect() as connection:
        place = connection.execute(select(gateways.c.store_id).where(gateways.c.id == "gw-hua-w01")).scalar_one()
        path = connection.execute(select(org_units.c.path).where(org_units.c.id == "w02")).scalar_one()
    assert (place, path) == ("w02", "/hua/w02/")
    assert visitor.get("/api/v1/me").status_code == 401


def counted(engine: Engine) -> list[int]:
    """How many units, gateways and people there are."""
    with engine.connect() as connection:
        return [
            connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (org_units, gateways, staff)
        ]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (('area = "west"', 'area = "wset"'), "there is no area 'wset'"),
        (('unit = "w01"', 'unit = "w09"'), "there is no unit 'w09'"),
        (('role = "specialist"', 'role = "boss"'), "boss"),
        (('id = "w01"', 'id = "W 01"'), "$.store[0].id"),
        (('login = "lin"', 'login = "clerk"'), "clerk belongs to another chain"),
        (("gw-hua-w01", "gw-n01"), "gw-n01 belongs to another chain"),
        (('id = "w01"', 'id = "west"'), "'west' is there 2 times"),
        (('name = "西区"', 'name = "西区"\nnmae = "x"'), "nmae"),
        (("[chain]", "[chain"), "line"),
    ],
)
def test_a_file_that_cannot_be_is_explained_and_changes_nothing(written, engine: Engine, capsys, change, why):
    before = counted(engine)
    assert written(FILE.replace(*change)) == 1
    said = capsys.readouterr().err
    assert "nothing was changed" in said
    assert why in said.replace('"', "'")
    assert counted(engine) == before


def test_a_new_password_ends_the_sessions_of_its_owner_and_of_nobody_else(as_, written, monkeypatch, app):
    clerk, manager = as_("clerk"), as_("manager")
    assert written(FILE) == 0
    assert give_password(monkeypatch, "clerk", "another long one") == 0
    assert clerk.get("/api/v1/me").status_code == 401
    assert manager.get("/api/v1/me").status_code == 200
    visitor = TestClient(app)
    assert sign_in(visitor).status_code == 401
    assert sign_in(visitor, "another long one").status_code == 303
    assert give_password(monkeypatch, "nobody", "another long one") == 1


def test_who_mistypes_the_new_password_is_told_so(written, monkeypatch, capsys):
    assert written(FILE) == 0
    typed = iter((PASSWORD, PASSWORD + "x"))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(typed))
    assert main(["staff", "password", "lin"]) == 1
    assert "The two are not the same. Nothing was changed." in capsys.readouterr().err
