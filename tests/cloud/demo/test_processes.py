"""What a crashed demo leaves behind is found by its mark, and nothing else is touched."""

import os
import subprocess
import sys
from pathlib import Path

from cloud.demo.processes import MARK, leftovers, stop_leftovers

SLEEPER = "import signal; print('up', flush=True); signal.pause()"


def _sleeper(mark: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPER],
        env={**os.environ, MARK: str(mark)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "up\n"
    return process


def test_only_the_processes_of_this_demo_are_stopped(tmp_path: Path) -> None:
    ours, others = _sleeper(tmp_path / "ours"), _sleeper(tmp_path / "other")
    try:
        assert leftovers(tmp_path / "ours") == [ours.pid]
        # It is our child, so it stays a zombie (without an environment) until we wait for it.
        assert stop_leftovers(tmp_path / "ours") == 1
        assert ours.wait(10) != 0
        assert others.poll() is None
    finally:
        for process in (ours, others):
            process.kill()
            process.wait()
