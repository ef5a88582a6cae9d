"""A wrong line in the settings is explained by name before anything starts."""

import re
from pathlib import Path

import pytest

from gateway.config import MQTT_PASSWORD, ConfigError, load

EXAMPLE = Path(__file__).parents[2] / "gateway" / "deploy" / "gateway.example.toml"

SMALL = """
[gateway]
name = "gw-1"
data_directory = "data"
[mqtt]
host = "broker"
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "gateway.toml"
    path.write_text(text)
    return path


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        load(written(tmp_path, text), {})
    return [re.sub(r"^.*gateway\.toml: ", "", line) for line in refused.value.problems]


def test_the_example_that_is_shipped_loads():
    config = load(EXAMPLE, {})
    assert config.gateway == "gw-store-0417"
    assert config.mqtt.tls_ca == Path("/etc/kangdock/ca.pem")
    assert [slot.label for slot in config.slots] == ["1号检测台"]
    assert config.clock_trusted is None


def test_every_commented_line_of_the_example_would_load_too(tmp_path: Path):
    text = EXAMPLE.read_text()
    code = re.sub(r"^# (\[|[a-z_]+ = )", r"\1", text, flags=re.M)
    config = load(written(tmp_path, code), {})
    assert config.virtual is not None
    assert config.slots[1].meters == ("C0:26:DA:00:00:01",)
    assert config.mqtt.tls_key is not None


def test_a_small_file_is_enough(tmp_path: Path):
    config = load(written(tmp_path, SMALL), {})
    assert config.data_directory == tmp_path / "data"
    assert [slot.name for slot in config.slots] == ["counter"]
    assert config.screen.host == "127.0.0.1"
    assert config.virtual is None


def test_the_password_comes_from_the_environment_and_is_never_printed(tmp_path: Path):
    config = load(written(tmp_path, SMALL), {MQTT_PASSWORD: "hunter2"})
    assert config.mqtt.password == "hunter2"
    assert "hunter2" not in repr(config)


def test_a_password_in_the_file_is_refused_without_repeating_it(tmp_path: Path):
    (line,) = problems(tmp_path, SMALL + 'password = "hunter2"\n')
    assert line.startswith("mqtt.password: does not belong into a file")
    assert MQTT_PASSWORD in line
    assert "hunter2" not in line


def test_an_unknown_key_is_named_with_what_was_probably_meant(tmp_path: Path):
    (line,) = problems(tmp_path, SMALL + "kepalive_s = 30\n")
    assert line == "mqtt.kepalive_s: unknown; expected 'keepalive_s' (did you mean that?)"


def test_an_unknown_table_is_named(tmp_path: Path):
    (line,) = problems(tmp_path, SMALL + "[screeen]\nport = 1\n")
    assert line.startswith("screeen: unknown; expected 'screen'")


def test_all_mistakes_are_reported_at_once(tmp_path: Path):
    lines = problems(
        tmp_path,
        """
        [gateway]
        name = "Store 1"
        local_utc_offset_min = true
        language = "fr"
        [mqtt]
        host = "broker"
        port = 70000
        tls_cert = "a.pem"
        [screen]
        port = "8101"
        [[slots]]
        name = "one"
        meters = ["AA"]
        [[slots]]
        name = "one"
        meters = ["aa", 7]
        [virtual]
        meters = "glucose"
        """,
    )
    assert [line.split(": ")[0] for line in lines] == [
        "gateway.name",
        "gateway.data_directory",
        "gateway.language",
        "gateway.local_utc_offset_min",
        "slots[2].meters",
        "slots.name",
        "mqtt.port",
        "mqtt.tls_cert",
        "screen.port",
        "virtual.meters",
        "virtual.cards",
    ]
    assert "found 70000; expected a whole number from 1 to 65535" in lines[6]


def test_a_meter_lies_in_one_slot_only(tmp_path: Path):
    slots = '[[slots]]\nname = "a"\nmeters = ["c0:26"]\n[[slots]]\nname = "b"\nmeters = ["C0:26"]\n'
    assert problems(tmp_path, SMALL + slots) == ["slots.meters: 'C0:26' twice; expected each one in one slot only"]


@pytest.mark.parametrize("text", ["[gateway", "a = 1\na = 2", "\ud800".encode("utf-16-le", "surrogatepass")])
def test_a_file_that_is_not_toml_says_so(tmp_path: Path, text: str | bytes):
    path = tmp_path / "gateway.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match="not a TOML file"):
        load(path, {})


def test_missing_tables_are_named_once_each(tmp_path: Path):
    assert problems(tmp_path, "gateway = 3\n") == [
        "gateway: found 3; expected a table [gateway]",
        "mqtt: missing; expected a table [mqtt]",
    ]


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"gone\.toml: cannot be read: No such file"):
        load(tmp_path / "gone.toml", {})
