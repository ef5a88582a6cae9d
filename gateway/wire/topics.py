"""The MQTT topic tree. MQTT 5 only, QoS 1 everywhere.

    kangdock/1/<gateway>/batch/<batch id>      gateway -> cloud    one Batch
    kangdock/1/<gateway>/receipt/<batch id>    cloud -> gateway    one Receipt, after the cloud's commit
    kangdock/1/<gateway>/status                gateway -> cloud    one Status, retained, also the will
    kangdock/1/<gateway>/ask/<ask id>          gateway -> cloud    one Ask, which expires within seconds
    kangdock/1/<gateway>/told/<ask id>         cloud -> gateway    one Told

The batch id is in the topic, so a batch nobody can decode is receipted all the same. Store and chain are not:
a gateway knows only its own name, the broker's ACL ties that name to its login, and the cloud knows where it
stands.
"""

import re
from uuid import UUID

ROOT = "kangdock/1"
BATCHES = f"{ROOT}/+/batch/+"
STATUSES = f"{ROOT}/+/status"
ASKS = f"{ROOT}/+/ask/+"
GATEWAY_NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,62}")
_BATCH = re.compile(rf"{ROOT}/(?P<gateway>{GATEWAY_NAME.pattern})/batch/(?P<batch>[0-9a-f-]{{36}})")
_ASK = re.compile(rf"{ROOT}/(?P<gateway>{GATEWAY_NAME.pattern})/ask/(?P<ask>[0-9a-f-]{{36}})")
_STATUS = re.compile(rf"{ROOT}/(?P<gateway>{GATEWAY_NAME.pattern})/status")


def batch(gateway: str, batch_id: UUID) -> str:
    """Where `gateway` publishes one batch."""
    return f"{ROOT}/{gateway}/batch/{batch_id}"


def receipt(gateway: str, batch_id: UUID) -> str:
    """Where the cloud answers one batch."""
    return f"{ROOT}/{gateway}/receipt/{batch_id}"


def receipts(gateway: str) -> str:
    """What `gateway` subscribes to."""
    return f"{ROOT}/{gateway}/receipt/+"


def status(gateway: str) -> str:
    """Where `gateway` keeps its retained status."""
    return f"{ROOT}/{gateway}/status"


def ask(gateway: str, ask_id: UUID) -> str:
    """Where `gateway` asks one question."""
    return f"{ROOT}/{gateway}/ask/{ask_id}"


def told(gateway: str, ask_id: UUID) -> str:
    """Where the cloud answers it."""
    return f"{ROOT}/{gateway}/told/{ask_id}"


def all_told(gateway: str) -> str:
    """What `gateway` subscribes to for such answers."""
    return f"{ROOT}/{gateway}/told/+"


def read_batch(topic: str) -> tuple[str, UUID] | None:
    """(gateway, batch id) of a batch topic, or None if `topic` is not one."""
    return _named(_BATCH.fullmatch(topic))


def read_ask(topic: str) -> tuple[str, UUID] | None:
    """(gateway, ask id) of a question's topic, or None if `topic` is not one."""
    return _named(_ASK.fullmatch(topic))


def read_receipt(topic: str) -> UUID | None:
    """The batch id of a receipt topic, or None if `topic` is not one."""
    return _last(topic, "receipt")


def read_told(topic: str) -> UUID | None:
    """The ask id of an answer's topic, or None if `topic` is not one."""
    return _last(topic, "told")


def read_status(topic: str) -> str | None:
    """The gateway of a status topic, or None if `topic` is not one."""
    match = _STATUS.fullmatch(topic)
    return None if match is None else match["gateway"]


def _named(match: re.Match[str] | None) -> tuple[str, UUID] | None:
    if match is None:
        return None
    try:
        return match[1], UUID(match[2])
    except ValueError:
        return None


def _last(topic: str, word: str) -> UUID | None:
    parts = topic.split("/")
    if len(parts) != 5 or parts[3] != word:
        return None
    try:
        return UUID(parts[4])
    except ValueError:
        return None
