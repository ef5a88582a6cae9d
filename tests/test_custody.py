"""Everything dies, again and again, and every reading is counted. The long version is `make hil`."""

from pathlib import Path

from hil_tests.custody.siege import VICTIMS, besiege

KILLS = 36
"""Six of each victim: about a minute."""


def test_whatever_is_killed_every_reading_arrives_once_at_its_own_member(tmp_path: Path) -> None:
    count = besiege(tmp_path, KILLS, seed=20261121)
    assert count.kills == dict.fromkeys(VICTIMS, KILLS // len(VICTIMS))
    assert count.saved > 200  # there was a load
    assert count.saved_by_real > 0  # also from the program that stores run
    assert count.tasks > 0  # and it had consequences
    assert (count.lost, count.wrong_member, count.from_nowhere) == (0, 0, 0)
    assert (count.decided_twice, count.double_tasks, count.dead_letters) == (0, 0, 0)
    assert count.unknown <= count.unknown_at_most
    assert count.holds
