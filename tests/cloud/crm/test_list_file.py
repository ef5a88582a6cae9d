"""Members come as a list: who is new, who has changed, and why a list is refused, without naming anybody."""

from datetime import date

import pytest
from sqlalchemy import Engine, func, select

from cloud.__main__ import main
from cloud.crm.members.tables import members
from tests.cloud.crm.conftest import MEMBERS, id_of

HEAD = "code,name,store,sex,birth_date,phone,conditions,medications\n"


@pytest.fixture
def put(tmp_path, database, monkeypatch):
    """Writes the list and puts it; returns the exit status."""
    monkeypatch.setenv("DATABASE_URL", database)

    def run(text: str | bytes, chain: str = "kang") -> int:
        path = tmp_path / "members.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8-sig"))
        return main(["members", "put", str(path), "--chain", chain])

    return run


def member(engine: Engine, code: str):
    """The row of a card."""
    with engine.connect() as connection:
        query = select(members).where(members.c.chain_id == "kang", members.c.code == code)
        return connection.execute(query).one()


def test_a_list_adds_who_is_new_and_changes_who_is_there(put, engine, as_, capsys):
    text = f"{HEAD}N-1,欧阳修,n01,male,1958-05-02,138 0000-1111,htn dm,insulin\nM10001,张桂芳,n01,female,,,htn,\n"
    for said in ("1 new, 1 there already", "0 new, 2 there already"):
        assert put(text) == 0
        assert capsys.readouterr().out.strip() == said
    new, known = member(engine, "N-1"), member(engine, "M10001")
    assert (new.birth_date, new.phone, new.conditions, new.medications) == (
        date(1958, 5, 2), "13800001111", ["dm", "htn"], ["insulin"],
    )  # fmt: skip
    assert (known.id, known.name, known.birth_date, known.phone) == (id_of("张桂兰"), "张桂芳", None, None)
    assert "欧阳修" in as_("clerk").post("/members/search", asked="N-1").text


def test_a_column_that_is_not_there_is_left_alone(put, engine):
    before = member(engine, "M10001")
    assert put("code,name,store\nM10001,张桂兰,s01\n") == 0
    after = member(engine, "M10001")
    assert after.store_id == "s01"
    assert (after.phone, after.conditions, after.birth_date) == (
        before.phone,
        before.conditions,
        before.birth_date,
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("code,name\nN-1,欧阳修\n", "'store'"),
        ("code,name,store,salary\nN-1,欧阳修,n01,1\n", "'salary'"),
        ("code,name,store,name\nN-1,欧阳修,n01,欧阳修\n", "twice"),
        (f"{HEAD}N-1,欧阳修,e01,,,,,\n", "line 2, store: is no store of this chain"),
        (f"{HEAD}n 1,欧阳修,n01,,,,,\n", "line 2, code"),
        (f"{HEAD}N-1,,n01,,,,,\n", "line 2, name"),
        (f"{HEAD}N-1,欧阳修,n01,男,,,,\n", "line 2, sex"),
        (f"{HEAD}N-1,欧阳修,n01,,1958/5/2,,,\n", "line 2, birth_date"),
        (f"{HEAD}N-1,欧阳修,n01,,,13800001111x,,\n", "line 2, phone"),
        (f"{HEAD}N-1,欧阳修,n01,,,,diabetes,\n", "line 2, conditions: is none of htn, dm"),
        (f"{HEAD}N-1,欧阳修,n01,,,,,,,,\n", "line 2 has more fields"),
        (f"{HEAD}N-1,欧阳修,n01,,,,,\nN-1,欧阳询,n01,,,,,\n", "1 codes are there more than once"),
        (f'{HEAD}N-1,"欧阳修,n01\n', "line"),
        ('code,"name,store\nN-1,欧阳修,n01\n', "line"),
        (f"{HEAD}N-1,欧阳修,n01,male,1958-05-02,13800001111\n", "line 2 has fewer fields"),
        (f"{HEAD}Q-1234,欧阳修,n01,,,,,\n", "line 2, code: begins with Q-"),
        (f"{HEAD}1042,欧阳修,n01,,,,,\n", "line 2, code: is four digits"),
        (f"{HEAD}TAIL-1042,欧阳修,n01,,,,,\n", "line 2, code: begins with TAIL-"),
        (HEAD.encode() + "N-1,欧阳修,n01,,,,,\n".encode("gbk"), "CSV UTF-8"),
        (HEAD + "x,欧阳修,n01,,,,,\n" * 30, "and 10 more"),
    ],
)
def test_a_list_that_cannot_be_is_refused_by_line_and_names_nobody(put, engine, capsys, text, why):
    assert put(text) == 1
    said = capsys.readouterr().err
    assert why in said
    assert "nothing was changed" in said
    assert "欧阳" not in said
    assert "1380000" not in said
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(members)).scalar_one() == len(MEMBERS)


def test_a_list_is_of_one_chain(put, engine, capsys):
    assert put(f"{HEAD}M10001,黄志强,e01,,,,,\n", chain="yi") == 0  # the same code on another chain's card
    assert member(engine, "M10001").name == "张桂兰"
    assert put(f"{HEAD}N-1,欧阳修,n01,,,,,\n", chain="nobody") == 1
