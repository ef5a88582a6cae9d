"""Settings that cannot work are named before anything starts."""

from pathlib import Path

import pytest

from cloud import config
from cloud.__main__ import main
from cloud.config import ConfigError

DATABASE = "postgresql://kangdock:hidden@127.0.0.1:5432/kangdock"


def refusal(**environment: str) -> str:
    with pytest.raises(ConfigError) as refused:
        config.load({"DATABASE_URL": DATABASE} | environment)
    assert "hidden" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("DATABASE_URL", "postgresql://kangdock:hidden@db:abc/x", "port"),
        ("DATABASE_URL", "postgresql://kangdock:hidden@db:99999/x", "port"),
        ("DATABASE_URL", "postgresql://[hidden/x", "URL"),
        ("INFLUXDB_URL", "http://influx:abc", "port"),
        ("MQTT_TLS_CA", "/nowhere/ca.pem", "No such file"),
        ("INGEST_HEALTH_HOST", "no such host", "resolves"),
        ("HOST", "no such host", "resolves"),
        ("KANGDOCK_RULES", "/nowhere/rules", "directory"),
    ],
)
def test_a_wrong_value_is_explained_by_its_name(name: str, value: str, why: str) -> None:
    (line,) = refusal(**{name: value}).splitlines()
    assert line.startswith(name)
    assert why in line


def test_certificates_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate")
    assert refusal(MQTT_TLS_CA=str(tmp_path / "ca.pem")).startswith("MQTT_TLS_CA")


def test_rules_that_cannot_be_read_are_named_with_their_file(tmp_path: Path) -> None:
    assert "no rule" in refusal(KANGDOCK_RULES=str(tmp_path))
    (tmp_path / "mine.toml").write_text("[[rule]\n")
    said = refusal(KANGDOCK_RULES=str(tmp_path))
    assert said.startswith("KANGDOCK_RULES")
    assert "mine.toml" in said


@pytest.mark.parametrize("port", ["99999", "0", "-1", "many"])
def test_serve_refuses_a_port_that_is_none(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["serve", f"--port={port}"])
    assert ended.value.code == 2
    assert port in capsys.readouterr().err


def test_every_command_explains_wrong_settings_and_starts_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db:abc/x")
    for command in (["serve"], ["ingest"], ["migrate"], ["work", "release"], ["series", "rebuild"]):
        assert main(command) == 2
        said = capsys.readouterr().err
        assert "DATABASE_URL" in said
        assert "Traceback" not in said
