"""When a meter that calls is answered: seldom enough for its battery, soon enough for the next customer."""

from gateway.docking import GONE_AFTER_S, REST_LONGEST_S, REST_ON_A_CABLE_S, REST_S, RETRY_S, Manners


def test_a_meter_that_keeps_calling_is_asked_less_and_less_until_it_has_something_new():
    manners = Manners()
    now, rests = 0.0, []
    for _ in range(6):
        assert manners.may_talk("A", now)
        manners.begun("A")
        assert not manners.may_talk("A", now), "one conversation at a time"
        manners.ended("A", now, well=True, new=0)
        began = now
        while not manners.may_talk("A", now):
            now += 1.0
        rests.append(now - began)
    assert rests == [REST_S, 2 * REST_S, 4 * REST_S, 8 * REST_S, REST_LONGEST_S, REST_LONGEST_S]
    manners.begun("A")
    manners.ended("A", now, well=True, new=1)
    assert manners.may_talk("A", now + REST_S)


def test_a_meter_that_was_put_away_is_asked_at_once_when_it_calls_again():
    manners = Manners()
    for now in (0.0, 1.0, 1.0 + GONE_AFTER_S + 1):
        assert manners.may_talk("A", now) is (now != 1.0)
        if now == 0.0:
            manners.begun("A")
            manners.ended("A", now, well=True, new=0)


def test_after_a_lost_line_the_meter_is_asked_again_after_a_second():
    manners = Manners()
    assert manners.may_talk("A", 0.0)
    manners.begun("A")
    manners.ended("A", 0.0, well=False, new=0)
    assert not manners.may_talk("A", RETRY_S / 2)
    assert manners.may_talk("A", RETRY_S)


def test_a_meter_whose_bytes_wait_already_is_answered_at_once_but_never_twice_at_a_time():
    manners = Manners()
    manners.may_talk("A", 0.0, calling=True)
    manners.begun("A")
    assert not manners.may_talk("A", 0.1, calling=True)
    for well in (True, False):
        manners.ended("A", 1.0, well=well, new=0)
        assert not manners.may_talk("A", 1.0)
        assert manners.may_talk("A", 1.0, calling=True)


def test_a_meter_on_a_cable_never_rests_long():
    manners = Manners()
    manners.may_talk("1-1.2", 0.0)
    for well in [True] * 6 + [False] * 6:
        manners.ended("1-1.2", 100.0, well=well, new=0, cable=True)
    assert not manners.may_talk("1-1.2", 100.0 + REST_ON_A_CABLE_S - 1)
    assert manners.may_talk("1-1.2", 100.0 + REST_ON_A_CABLE_S)
