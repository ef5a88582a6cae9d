"""Every public vector, decoded by the command a field engineer would use."""

import json
from typing import Any

import pytest

from gateway import decode
from gateway.drivers import DECODERS
from tests.gateway.drivers.vectors import VECTORS


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_a_published_frame_decodes_as_its_source_says(
    vector: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    status = decode.main([vector["protocol"], vector["hex"]])
    answer = json.loads(capsys.readouterr().out)
    expected = vector["expected"]
    assert answer["protocol"] == vector["protocol"]
    if expected.get("valid") is False:
        assert (answer["valid"], answer["error"], status) == (False, expected["error"], 1)
    else:
        assert (answer["valid"], status) == (True, 0)
        assert _as_far_as(expected, answer["fields"]) == expected


def _as_far_as(expected: Any, answer: Any) -> Any:
    """`answer` without the fields that `expected` does not speak of: a source may state only some of them."""
    match expected, answer:
        case dict(), dict():
            return {name: _as_far_as(value, answer.get(name, "missing")) for name, value in expected.items()}
        case list(), list() if len(expected) == len(answer):
            return [_as_far_as(*pair) for pair in zip(expected, answer, strict=True)]
        case _:
            return answer


def test_every_decoder_has_a_published_frame() -> None:
    assert {vector["protocol"] for vector in VECTORS} == set(DECODERS)
