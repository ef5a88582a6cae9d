"""Drivers in packages of their own: a package on the path, as pip leaves it, and the commands that meet it."""

import asyncio
from pathlib import Path

import pytest

from gateway import doctor
from gateway.__main__ import main
from gateway.config import load
from gateway.conversation import Sighting
from gateway.drivers import DRIVERS, NotADriver, known_drivers, load_installed, recognise

DRIVER = """
from gateway.conversation import Driver, Garbled
from gateway.drivers import ble_thermometer as ours
from gateway.proof import Proof

def decode(data):
    if len(data) != 2:
        raise Garbled("length")
    return {"weight": int.from_bytes(data, "little")}

def offered(**different):
    return Driver(**{
        "name": "ble.acme.scale", "transport": "ble", "recognise": lambda sighting: "181d" in sighting.services,
        "talk": ours.talk, "devices": "Acme scales.", "source": "Acme.", "quirks": "None.",
        "proven_by": "Nothing.", "proof": Proof.AGREED, "services": frozenset({"181d"}),
        "decoders": {"ble.acme.weight": decode}, **different})

DRIVER = offered()
"""
SCALE = Sighting(transport="ble", address="C4:64:E3:12:00:01", services=frozenset({"181d"}))


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest):
    """Puts a package with the entry point `acme_scale` on the path; `last` is what its module ends with."""

    def install(last: str = "", offers: str = "DRIVER") -> None:
        module = "acme_" + "".join(filter(str.isalnum, request.node.name))  # imported once a test, never again
        site = tmp_path / "site"
        information = site / "acme_kangdock-1.0.0.dist-info"
        information.mkdir(parents=True)
        (site / f"{module}.py").write_text(f"{DRIVER}\n{last}\n", "utf-8")
        (information / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-kangdock\nVersion: 1.0.0\n")
        (information / "entry_points.txt").write_text(f"[kangdock.drivers]\nacme_scale = {module}:{offers}\n")
        monkeypatch.syspath_prepend(site)

    return install


def test_an_installed_driver_comes_before_ours_and_has_its_meters(install) -> None:
    assert recognise(SCALE, known_drivers()) is None
    install()
    (driver,) = load_installed()
    assert known_drivers() == (driver, *DRIVERS)
    assert recognise(SCALE, known_drivers()) is driver


def test_an_installed_driver_is_listed_shown_decoded_and_replayed(
    install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install()
    transcript = tmp_path / "not_paired_and_gone.txt"
    transcript.write_text(
        "# driver: ble.acme.scale\n# received: 2026-03-02T01:32:00+00:00\n\n> pair\n. lost\n= lost\n"
    )
    assert main(["drivers", "list"]) == 0
    assert main(["drivers", "show", "ble.acme.scale"]) == 0
    assert main(["decode", "ble.acme.weight", "c030"]) == 0
    assert main(["replay", str(transcript)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("ble.acme.scale")
    assert "Frames     ble.acme.weight" in out
    assert '"fields":{"weight":12480}' in out
    assert err == ""


BROKEN = [
    ("raise RuntimeError('no licence')", "DRIVER", "cannot be loaded: RuntimeError: no licence"),
    ("raise SystemExit('not on this machine')", "DRIVER", "cannot be loaded: SystemExit: not on this machine"),
    ("import acme_nowhere", "DRIVER", "cannot be loaded: ModuleNotFoundError: No module named 'acme_nowhere'"),
    ("DRIVER = Driver(name='ble.acme.scale')", "DRIVER", "cannot be loaded: TypeError"),
    ("", "NOTHING", "cannot be loaded: AttributeError"),
    ("", "decode", "is a function, not a Driver"),
    ("DRIVER = offered(transport='usb')", "DRIVER", "has the transport 'usb', not ble or serial"),
    ("DRIVER = offered(services=frozenset())", "DRIVER", "has neither services nor names"),
    ("DRIVER = offered(services=frozenset({'181D'}))", "DRIVER", "has services in capitals"),
    ("DRIVER = offered(name='ble.glucose')", "DRIVER", "is called 'ble.glucose', as another driver is"),
]


@pytest.mark.parametrize(("last", "offers", "why"), BROKEN)
def test_a_package_that_offers_no_driver_is_named_with_the_reason(
    install, capsys: pytest.CaptureFixture[str], last: str, offers: str, why: str
) -> None:
    install(last, offers)
    with pytest.raises(NotADriver) as refused:
        load_installed()
    assert "acme_scale" in str(refused.value)
    assert "of package acme-kangdock" in str(refused.value)
    assert why in str(refused.value)
    assert main(["drivers", "list"]) == 1
    assert why in capsys.readouterr().err
    # What is ours is still decoded, and whoever reads the answer knows that something is missing.
    assert main(["decode", "ble.sfloat", "70f1"]) == 0
    assert why in capsys.readouterr().err


def test_the_doctor_names_a_package_that_keeps_the_gateway_from_starting(install, tmp_path: Path) -> None:
    settings = tmp_path / "gateway.toml"
    settings.write_text(
        f'[gateway]\nname = "gw-1"\ndata_directory = "{tmp_path}"\n[mqtt]\nhost = "localhost"\n'
        '[[slots]]\nname = "counter-1"\n'
    )
    install(offers="decode")
    line = asyncio.run(doctor.drivers(load(settings)))
    assert line.verdict is doctor.Verdict.FAIL
    assert "acme-kangdock" in line.found
    assert "uninstall" in line.todo
