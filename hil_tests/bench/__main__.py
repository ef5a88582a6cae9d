"""`make bench`: runs every figure (or those whose name starts with an argument) and prints one JSON line for each.

A line is {"figure", "value", "unit", "baseline", "ratio"}; medians over interleaved rounds, baseline and ratio
null where there is nothing fair to compare with. It judges nothing: read the ratios, the machine is shared.
"""

import importlib
import json
import sys

MODULES = ("outbox", "decode", "ingest", "clinical", "gateway", "crowd", "dock", "meter_to_task")


def main(wanted: list[str]) -> int:
    """Prints the figures; returns 1 if one could not be measured, after measuring the others."""
    failed = 0
    for name in MODULES:
        if wanted and not any(want.startswith(name) or name.startswith(want.split(".")[0]) for want in wanted):
            continue
        try:
            for figure in importlib.import_module(f"hil_tests.bench.{name}").figures():
                print(json.dumps(figure), flush=True)
        except Exception as error:
            failed = 1
            print(f"bench {name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
