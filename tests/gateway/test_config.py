"""A wrong line in the settings is explained by name before anything starts."""

import re
import shutil
from importlib import resources
from pathlib import Path

import pytest

from gateway.config import MQTT_PASSWORD, VIRTUAL_METERS, ConfigError, load
from gateway.visits import Visits

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


def copy_of_the_rules(directory: Path) -> None:
    shutil.copytree(Path(str(resources.files("gateway.clinical") / "library")), directory)


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        load(written(tmp_path, text), {})
    return [re.sub(r"^.*gateway\.toml: ", "", line) for line in refused.value.problems]


@pytest.fixture
def example(tmp_path: Path) -> str:
    """The shipped file, in a machine that has the files it names."""
    for name in ("ca.pem", "gateway.pem", "gateway.key", "cards.txt"):
        (tmp_path / name).write_text("M0001042")
    copy_of_the_rules(tmp_path / "rules")
    return EXAMPLE.read_text().replace("/etc/kangdock", str(tmp_path))


def test_the_example_that_is_shipped_loads(tmp_path: Path, example: str):
    config = load(written(tmp_path, example), {})
    assert config.gateway == "gw-store-0417"
    assert config.mqtt.tls_ca == tmp_path / "ca.pem"
    assert [slot.label for slot in config.slots] == ["1号检测台"]
    assert config.clock_trusted is None


def test_every_commented_line_of_the_example_would_load_too(tmp_path: Path, example: str):
    code = re.sub(r'^# (\[|[a-z_]+ = |"[0-9A-F:]+" = )', r"\1", example, flags=re.M)
    config = load(written(tmp_path, code), {})
    assert config.virtual is not None
    assert config.slots[1].meters == ("C0:26:DA:00:00:01",)
    assert config.mqtt.tls_key is not None
    assert config.ble.passkeys == {"C4:64:E3:00:00:01": 12345}
    assert [one.baud for one in config.serial] == [2400, 0]


def test_a_file_that_the_settings_name_must_be_there(tmp_path: Path):
    (tmp_path / "folder.pem").mkdir()
    text = SMALL + 'tls_ca = "ca.pem"\ntls_cert = "folder.pem"\ntls_key = "gone.key"\n'
    assert problems(tmp_path, text) == [
        f"mqtt.tls_ca: {tmp_path / 'ca.pem'}: there is no such file; expected a readable file",
        f"mqtt.tls_cert: {tmp_path / 'folder.pem'}: cannot be read by this user; expected a readable file",
        f"mqtt.tls_key: {tmp_path / 'gone.key'}: there is no such file; expected a readable file",
    ]


def test_a_virtual_store_is_checked_before_it_opens(tmp_path: Path):
    lines = problems(tmp_path, SMALL + '[virtual]\nmeters = ["glucose", "scales"]\ncards = "cards.txt"\n')
    assert lines == [
        f"virtual.cards: {tmp_path / 'cards.txt'}: there is no such file; expected a readable file",
        "virtual.meters: no virtual meter 'scales'; expected some of " + ", ".join(VIRTUAL_METERS),
    ]


def test_the_counter_may_judge_by_the_chains_own_rules_and_average_by_its_guideline(tmp_path: Path):
    copy_of_the_rules(tmp_path / "rules")
    config = load(written(tmp_path, SMALL + '[rules]\ndirectory = "rules"\naverages_by = "primary2025"\n'), {})
    assert (config.rules.directory, config.rules.averages_by) == (tmp_path / "rules", "primary2025")


def test_rules_that_cannot_be_used_are_refused_before_anything_starts(tmp_path: Path):
    (line,) = problems(tmp_path, SMALL + '[rules]\ndirectory = "gone"\n')
    assert line.startswith("rules.directory: ")
    (tmp_path / "empty").mkdir()
    (line,) = problems(tmp_path, SMALL + '[rules]\ndirectory = "empty"\n')
    assert "holds no rule" in line
    copy_of_the_rules(tmp_path / "rules")
    with (tmp_path / "rules" / "glucose.toml").open("a") as rules:
        rules.write("[[rule]]\n")
    (line,) = problems(tmp_path, SMALL + '[rules]\ndirectory = "rules"\n')
    assert "glucose.toml" in line
    (line,) = problems(tmp_path, SMALL + '[rules]\naverages_by = "mine"\n')
    assert line.startswith("rules.averages_by: ")


def test_raw_bytes_are_a_part_of_what_the_outbox_may_take(tmp_path: Path):
    (line,) = problems(tmp_path, SMALL + "[outbox]\nmax_mb = 64\n")
    assert line == "outbox.journal_max_mb: 128 is more than max_mb, 64; expected a part of it"


def test_a_passkey_is_kept_by_its_meters_address_and_never_printed(tmp_path: Path):
    config = load(written(tmp_path, SMALL + '[ble.passkeys]\n"c4:64:e3:00:00:01" = "004711"\n'), {})
    assert config.ble.passkeys == {"C4:64:E3:00:00:01": 4711}
    assert "4711" not in repr(config)


@pytest.mark.parametrize("passkey", ["4711", '"4711"', '"00471l"', "[4711]", "true"])
def test_a_passkey_of_another_shape_is_explained_without_repeating_it(tmp_path: Path, passkey: str):
    (line,) = problems(tmp_path, SMALL + f'[ble.passkeys]\n"C4:64:E3:00:00:01" = {passkey}\n')
    assert line.startswith("ble.passkeys.C4:64:E3:00:00:01: ")
    assert "six digits" in line
    assert "4711" not in line


def test_a_passkey_belongs_to_an_address(tmp_path: Path):
    (line,) = problems(tmp_path, SMALL + '[ble.passkeys]\nYuwell = "004711"\n')
    assert line.startswith("ble.passkeys.Yuwell: not an address; expected a Bluetooth address")
    assert problems(tmp_path, SMALL + '[ble]\npasskeys = "004711"\n') == [
        "ble.passkeys: found str; expected a table [ble.passkeys]"
    ]


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
        tls_cert = "gateway.toml"
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
        "gateway: found int; expected a table [gateway]",
        "mqtt: missing; expected a table [mqtt]",
    ]


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"gone\.toml: cannot be read: No such file"):
        load(tmp_path / "gone.toml", {})


def test_serial_meters_are_named_by_where_they_are_plugged_in_or_what_they_are(tmp_path: Path):
    config = load(
        written(
            tmp_path,
            SMALL
            + """
[[serial]]
usb_path = "1-1.2:1.0"
driver = "serial.omron_hbp"
label = "Tunnel"
baud = 2400
[[serial]]
usb_id = "1a86:7523"
driver = "serial.benecheck"
[[serial]]
device = "/dev/rfcomm0"
driver = "serial.cardiochek"
[[slots]]
name = "a"
meters = ["1-1.2:1.0", "/dev/rfcomm0"]
""",
        ),
        {},
    )
    tunnel, benecheck, lipids = config.serial
    assert (tunnel.usb_path, tunnel.driver, tunnel.label, tunnel.baud) == (
        "1-1.2:1.0",
        "serial.omron_hbp",
        "Tunnel",
        2400,
    )
    assert (benecheck.usb_id, benecheck.baud) == ("1a86:7523", 0)
    assert lipids.device == "/dev/rfcomm0"
    slots = Visits({slot.name: slot.meters for slot in config.slots} | {"b": ()})
    assert slots.slot_of("/dev/rfcomm0") == slots.slot_of("1-1.2:1.0") == "a"


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ('usb_path = "1-1.2"', "serial[1].driver: missing; expected a driver of `python -m gateway drivers list`"),
        ('driver = "serial.x"', "serial[1].usb_path: does not say which port; expected usb_path, usb_id or both"),
        (
            'driver = "serial.x"\nusb_path = "1-1"\ndevice = "/dev/rfcomm0"',
            "serial[1].usb_path: does not say which port",
        ),
        (
            'driver = "serial.x"\ndevice = "/dev/ttyUSB0"',
            "serial[1].device: /dev/ttyUSB0 is another port tomorrow; expected its usb_path",
        ),
        ('driver = "serial.x"\nusb_path = "ttyUSB0"', "serial[1].usb_path: found 'ttyUSB0'; expected a USB path"),
        ('driver = "serial.x"\nusb_id = "1A86:7523"', "serial[1].usb_id: found '1A86:7523'; expected vendor and"),
        ('driver = "Omron"\nusb_path = "1-1"', "serial[1].driver: found 'Omron'; expected a driver of"),
        (
            'driver = "serial.x"\nusb_path = "1-1"\n[[serial]]\ndriver = "serial.y"\nusb_path = "1-1"',
            "serial: 1-1 twice; expected one driver for each port",
        ),
    ],
)
def test_a_serial_port_that_is_not_clear_is_explained(tmp_path: Path, lines: str, complaint: str):
    first, *_ = problems(tmp_path, f"{SMALL}\n[[serial]]\n{lines}\n")
    assert first.startswith(complaint)
