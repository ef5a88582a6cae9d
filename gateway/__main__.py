"""The gateway's command line. Each command's work is its own module's, imported only when it is asked for."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

DEFAULT_CONFIG = Path("/etc/kangdock/gateway.toml")


def main(argv: Sequence[str]) -> int:
    """Runs one command; returns its exit status."""
    # These have their own arguments and must start fast: a table of ten thousand frames is piped through `decode`.
    if argv[:1] == ["decode"]:
        from gateway.decode import main as decode

        return decode(list(argv[1:]))
    if argv[:1] == ["replay"]:
        from gateway.transcript import main_replay

        return main_replay(list(argv[1:]))
    arguments = _parser().parse_args(argv)
    from gateway import commands

    return commands.run(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gateway", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str, *, config: bool = True) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        if config:
            command.add_argument(
                "--config", type=Path, default=DEFAULT_CONFIG, help=f"settings file ({DEFAULT_CONFIG})"
            )
        return command

    add("run", "run the gateway until it is told to stop")
    add("decode", "decode PROTOCOL HEX, or --lines from standard input", config=False)
    add("replay", "play a transcript through its driver and print the records", config=False)
    capture = add("capture", "dock one meter, and write down what each side said; the gateway must be stopped")
    capture.add_argument("--driver", default="", help="only meters of this driver")
    capture.add_argument("--out", type=Path, default=Path(), help="the folder for transcripts (this one)")
    capture.add_argument("--scrub", action="store_true", help="without the meter's number and address")
    capture.add_argument("--count", type=int, default=1, help="end after so many conversations (1)")
    capture.add_argument("--wait", type=float, default=300.0, help="end after so many seconds (300)")
    simulate = add("simulate", "be the meter of a transcript, for a gateway to dock", config=False)
    simulate.add_argument("transcript", type=Path, help="a file that capture wrote")
    doctor = add("doctor", "look at everything the gateway needs, and say what to do")
    doctor.add_argument("--json", action="store_true", help="one JSON object per line")
    drivers = add("drivers", "the meters this gateway understands", config=False)
    drivers.add_argument("what", choices=("list", "show"))
    drivers.add_argument("name", nargs="?", help="a driver's name, for show")
    journal = add("journal", "what meters sent, as raw bytes kept on disk")
    journal.add_argument("what", choices=("replay",))
    journal.add_argument("conversation", nargs="?", type=UUID, help="which; without it they are listed")
    outbox = add("outbox", "the readings kept on this disk")
    outbox.add_argument("what", choices=("status",))
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
