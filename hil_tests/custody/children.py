"""The victims that are our own programs, as processes that can be killed and started again.

Servers that are not ours are `cloud.demo.servers`'; who dies when is `siege`'s.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from cloud.demo.servers import Server, free_port

METERS = ("glucose", "pressure", "temperature", "glucose", "pressure", "glucose", "temperature", "glucose")
"""A virtual meter rests eight seconds after each customer; with eight of them there is always a free one."""
PACE_S = 0.2
"""Between two customers, who then take a second and a half to measure."""
CONFIG = """\
[gateway]
name = "{name}"
data_directory = "data"
clock_trusted = true

[mqtt]
host = "127.0.0.1"
port = {broker_port}

[screen]
port = {screen_port}

[ble]
enabled = false
"""
CUSTOMERS = """
[virtual]
meters = [{meters}]
cards = "cards"
pace_s = {pace_s}
seed = {seed}
"""


class Child(Server):
    """One of our own processes."""

    def __init__(self, directory: Path, name: str, arguments: list[str], environment: dict[str, str]) -> None:
        super().__init__(directory)
        self.name = name
        self._arguments = arguments
        self._environment = environment

    def command(self) -> list[str]:
        """See Server."""
        settings = [f"{key}={value}" for key, value in self._environment.items()]
        return ["/usr/bin/env", *settings, sys.executable, "-m", *self._arguments]

    def ready(self) -> bool:
        """It is not asked: a siege has no time to wait for its victims."""
        return True


class RealGateway(Child):
    """`python -m gateway run`, as a store runs it: radio stack, docking, screen and uplink, on virtual air."""

    def __init__(self, directory: Path, name: str, broker_port: int, cards: Sequence[str]) -> None:
        """Without `cards` nobody comes, and it only delivers what it has."""
        config = directory / "gateway.toml"
        super().__init__(directory, name, ["gateway", "run", "--config", str(config)], {})
        self._config = config
        self._broker_port = broker_port
        self._cards = cards
        self._starts = 0

    def command(self) -> list[str]:
        """See Server; each start finds new meters, because a virtual one forgets its memory when it is killed."""
        self._starts += 1
        text = CONFIG.format(name=self.name, broker_port=self._broker_port, screen_port=free_port())
        if self._cards:
            (self.directory / "cards").write_text("\n".join(self._cards))
            text += CUSTOMERS.format(
                meters=", ".join(f'"{meter}"' for meter in METERS), pace_s=PACE_S, seed=self._starts
            )
        self._config.write_text(text)
        return super().command()
