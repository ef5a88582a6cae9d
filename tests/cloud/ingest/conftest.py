"""A founded chain in a database of its own."""

import pytest
from sqlalchemy import Engine

from tests.cloud import chains


@pytest.fixture
def ledger(engine: Engine) -> Engine:
    """An engine on a database with two chains, three gateways and three members."""
    chains.found(engine)
    return engine
