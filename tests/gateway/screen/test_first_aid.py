"""Danger signs, whoever feels unwell, and the first-aid cards they bring, in a real Chromium."""

import re
from datetime import timedelta
from decimal import Decimal

from playwright.sync_api import Browser, expect

from gateway.wire.messages import Answer, Asked, TakenAt, TimeQuality
from gateway.wire.vocabulary import Kind, Meal
from tests.gateway.screen.browsing import arrived, follow, looking
from tests.gateway.screen.counter import Served
from tests.gateway.screen.scenes import (
    emergency,
    low_sugar,
    opened,
    pressure,
    put_away,
    sugar,
    symptoms,
    taken,
)


def test_danger_signs_are_asked_in_one_touch_and_bring_the_card(browser: Browser, served: Served):
    counter = served.counter
    served.do(lambda: symptoms(counter))
    with looking(browser, served) as page:
        expect(page.locator("#ask h2")).to_have_text("现在有没有下面的不适？")
        page.locator("#choice-chest_pain").click()
        expect(page.locator(".card")).to_be_visible()
        expect(page.locator(".phone")).to_contain_text("120")
        expect(page.locator(".card .stated")).to_have_text("自述：胸痛或胸闷")
    assert [(one.what, one.values) for one in counter.answers] == [(Asked.SYMPTOMS, ("chest_pain",))]


def test_no_danger_sign_is_an_answer_too(browser: Browser, served: Served):
    counter = served.counter
    served.do(lambda: symptoms(counter))
    with looking(browser, served) as page:
        page.locator("#choice-none").click()
        expect(page.locator("#left")).to_be_visible()  # then rest, and measure again
        expect(page.locator(".stated")).to_have_text("自述无不适")
    assert [(one.what, one.values) for one in counter.answers] == [(Asked.SYMPTOMS, ())]


def test_several_danger_signs_are_touched_one_after_the_other(browser: Browser, served: Served):
    counter = served.counter
    served.do(lambda: symptoms(counter))
    with looking(browser, served) as page:
        page.locator("#several").click()
        page.locator("#choice-vomiting").click()
        page.locator("#choice-severe_headache").click()
        served.do(lambda: counter.board.link("down"))  # a change must not forget what was touched
        expect(page.locator(".lights")).to_contain_text("云端 离线")
        expect(page.locator("#choice-vomiting")).to_have_attribute("aria-pressed", "true")
        page.locator("#choice-vomiting").click()  # touched by mistake
        page.locator("#choice-eye_pain").click()
        page.locator("#several").click()
        expect(page.locator(".card")).to_be_visible()
    assert [set(one.values) for one in counter.answers] == [{"severe_headache", "eye_pain"}]


def test_the_card_shows_the_number_that_is_the_emergency(browser: Browser, served: Served):
    counter = served.counter
    panel = {"total_cholesterol_mmol_l": Decimal("5.10"), "triglyceride_mmol_l": Decimal("12.40")}
    served.do(lambda: opened(counter))
    fats = served.do(lambda: taken(counter, Kind.LIPID_PANEL, values=panel))
    served.do(lambda: opened(counter, "M0002077", "counter-2"))
    heart = served.do(lambda: pressure(counter, 118, 76, 162, slot="counter-2"))
    for reading, sign in ((fats, "abdominal_pain"), (heart, "syncope")):
        about = {"id": reading.id, "reading": reading.id, "at": counter.now, "slot": "counter-1"}
        said = Answer(what=Asked.SYMPTOMS, values=(sign,), **about)
        served.do(lambda said=said: counter.board.answered(said))
    with looking(browser, served) as page:
        expect(page.locator(".card .seen")).to_contain_text("甘油三酯 12.40")
    with looking(browser, served, "/dock?slot=counter-2") as page:
        expect(page.locator(".card .seen")).to_contain_text("脉搏 162")


def test_staff_see_somebody_unwell_and_the_card_is_two_touches_away(browser: Browser, served: Served):
    counter = served.counter
    served.do(lambda: opened(counter))
    measured = served.do(lambda: sugar(counter, "5.2", meal=Meal.FASTING))
    with looking(browser, served) as page:
        expect(page.locator("#ask-unwell")).to_be_hidden()
        page.locator("#unwell summary").click()
        served.do(lambda: counter.board.link("down"))  # a change does not fold it
        expect(page.locator(".lights")).to_contain_text("云端 离线")
        page.locator("#unwell-facial_droop").click()
        expect(page.locator(".card")).to_contain_text("可能是中风")
        expect(page.locator(".card .stated")).to_have_text("自述：嘴歪")
        expect(page.locator(".card .seen")).to_have_count(0)  # the value is not what is wrong
        expect(page.locator("#unwell")).to_have_count(0)
        page.locator("#card-read").click()
        expect(page.locator("#ask-unwell")).to_be_hidden()
    said = [(one.reading, one.what, one.values) for one in counter.answers]
    assert said[0] == (measured.id, Asked.SYMPTOMS, ("facial_droop",))


def test_what_was_said_before_is_not_forgotten_when_more_is_said(browser: Browser, served: Served):
    counter = served.counter
    served.do(lambda: symptoms(counter))
    with looking(browser, served) as page:
        page.locator("#choice-severe_headache").click()
        page.locator("#card-read").click()
        page.locator("#unwell summary").click()
        page.locator("#unwell-several").click()
        page.locator("#unwell-muscle_pain").click()
        served.do(lambda: counter.board.link("down"))  # a change forgets nothing
        expect(page.locator(".lights")).to_contain_text("云端 离线")
        page.locator("#unwell-joint_red_hot_painful").click()
        page.locator("#unwell-several").click()
        expect(page.locator("#ask-unwell")).to_be_hidden()
        expect(page.locator("#value .stated")).to_contain_text("关节红、热、很痛")
        expect(page.locator(".visit .light.bad")).to_contain_text("血压极高")  # still the emergency it was
    last = [set(one.values) for one in counter.answers if one.what is Asked.SYMPTOMS][-1]
    assert last == {"severe_headache", "muscle_pain", "joint_red_hot_painful"}


def test_a_sign_touched_by_mistake_is_taken_back(browser: Browser, served: Served):
    counter = served.counter
    served.do(lambda: opened(counter))
    served.do(lambda: sugar(counter, "5.2", meal=Meal.FASTING))
    with looking(browser, served) as page:
        page.locator("#unwell summary").click()
        page.locator("#unwell-limb_weakness").click()
        page.locator("#card-read").click()
        expect(page.locator(".visit .light.bad")).to_contain_text("可能是中风")
        page.locator("#unwell summary").click()
        expect(page.locator("#take-back")).to_have_text("收回：单侧手脚没力")
        page.locator("#take-back").click()
        expect(page.locator(".visit .light.bad")).to_have_count(0)
        expect(page.locator("#value .stated")).to_have_text("自述无不适")
    assert [one.values for one in counter.answers if one.what is Asked.SYMPTOMS] == [("limb_weakness",), ()]


def test_signs_half_touched_when_a_card_comes_are_asked_in_one_touch_again(browser: Browser, served: Served):
    """Beside a card there is no "more than one": with its switches left on, no sign could be sent any more."""
    counter = served.counter
    served.do(lambda: symptoms(counter))
    before = counter.now - timedelta(seconds=10)  # out of a meter's memory, from before the pressure
    with looking(browser, served) as page:
        page.locator("#several").click()
        page.locator("#choice-severe_headache").click()
        earlier = TakenAt(at=before, quality=TimeQuality.DEVICE, received=counter.now)
        served.do(lambda: sugar(counter, "2.4", meal=Meal.RANDOM, time=earlier))
        expect(page.locator(".card #choice-severe_headache")).to_be_visible()
        page.locator("#choice-eye_pain").click()
        expect(page.locator("#choice-eye_pain")).to_have_count(0)
    assert [(one.what, one.values) for one in counter.answers] == [(Asked.SYMPTOMS, ("eye_pain",))]


def test_a_stroke_can_be_told_while_a_question_to_everybody_stands(browser: Browser, served: Served):
    counter = served.counter
    served.do(lambda: opened(counter))
    served.do(lambda: taken(counter, Kind.URIC_ACID, values={"urate_umol_l": Decimal(310)}))
    with looking(browser, served) as page:
        expect(page.locator("#choice-joint_red_hot_painful")).to_be_visible()
        expect(page.locator("#several")).to_have_count(0)  # there is only one
        page.locator("#unwell summary").click()
        page.locator("#unwell-speech_trouble").click()
        expect(page.locator(".card")).to_contain_text("可能是中风")


def test_escape_folds_what_was_opened_and_leads_back_to_the_dock(browser: Browser, served: Served):
    counter = served.counter
    served.do(lambda: opened(counter))
    served.do(lambda: pressure(counter, 118, 76))
    with looking(browser, served) as page:
        page.locator("#unwell summary").click()
        expect(page.locator("#ask-unwell")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("#ask-unwell")).to_be_hidden()
        expect(page.locator("#code")).to_be_focused()
        follow(page, "#to-meters", "/meters")
        page.keyboard.press("Escape")
        arrived(page, "/dock")


def test_somebody_unwell_is_asked_by_keyboard_alone(browser: Browser, served: Served):
    counter = served.counter
    served.do(lambda: opened(counter))
    served.do(lambda: pressure(counter, 118, 76))
    with looking(browser, served) as page:
        page.keyboard.press("ArrowDown")
        expect(page.locator("#code")).to_be_focused()  # what is folded is not walked through
        page.locator("#unwell summary").focus()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        expect(page.locator(".card")).to_be_visible()
        expect(page.locator("#code")).to_be_focused()
    assert len(counter.answers) == 1


def test_an_emergency_shows_its_card_at_once_with_the_cloud_down(browser: Browser, served: Served):
    counter = served.counter
    served.do(lambda: counter.board.link("down"))
    with looking(browser, served) as page:
        served.do(lambda: emergency(counter))
        card = page.locator(".card")
        expect(card).to_be_visible()
        expect(card.locator(".phone b")).to_have_text("120")
        assert card.locator(".phone b").evaluate("one => parseFloat(getComputedStyle(one).fontSize)") >= 96
        expect(card.locator(".seen b")).to_have_text("232/141")
        expect(card.locator("li")).to_have_count(5)
        expect(card.locator(".unsigned")).to_be_visible()
        expect(page.locator(".lights")).to_contain_text("云端 离线")
        page.locator("#card-read").click()
        expect(card).to_have_count(0)
        expect(page.locator(".visit")).to_contain_text("拨打120")
    assert counter.answers[-1].what is Asked.FIRST_AID


def test_the_steps_of_a_card_that_was_read_stand_beside_its_value_and_nobody_is_sent_to_rest(
    browser: Browser, served: Served
):
    counter = served.counter
    served.do(lambda: put_away(counter))
    with looking(browser, served) as page:
        expect(page.locator("#ask")).to_have_count(0)
        expect(page.locator("#value")).to_be_visible()
        expect(page.locator("#steps li").nth(1)).to_contain_text("换另一只手臂再测一次，以后每5分钟一次")
        served.do(lambda: counter.later(minutes=2))
        expect(page.locator("#value")).to_have_count(0)
        expect(page.locator("#steps li")).to_have_count(5)  # the value's minute is over, the emergency is not
        served.do(lambda: pressure(counter, 150, 92))
        expect(page.locator("#steps")).to_have_count(0)


def test_the_card_stays_while_its_value_goes(browser: Browser, served: Served):
    counter = served.counter
    served.do(lambda: emergency(counter))
    with looking(browser, served) as page:
        expect(page.locator(".card .seen")).to_be_visible()
        served.do(lambda: counter.later(seconds=61))
        expect(page.locator(".card .seen")).to_have_count(0)
        expect(page.locator(".card li")).to_have_count(5)


def test_the_card_shows_no_other_value_than_its_own(browser: Browser, served: Served):
    counter = served.counter
    served.do(lambda: emergency(counter))
    with looking(browser, served) as page:
        expect(page.locator(".card .seen b")).to_have_text("232/141")
        served.do(lambda: sugar(counter, "5.5", meal=Meal.FASTING))
        expect(page.locator(".card .seen")).to_have_count(0)
        expect(page.locator(".card li")).to_have_count(5)


def test_a_low_sugar_shows_its_card_and_asks_beside_it(browser: Browser, served: Served):
    counter = served.counter
    served.do(lambda: low_sugar(counter))
    with looking(browser, served) as page:
        expect(page.locator(".card h2").first).to_contain_text("吃糖15克")
        page.locator("#choice-cannot_swallow").click()
        expect(page.locator(".card")).to_contain_text("低血糖，人不清醒或不能咽")


def test_an_emergency_at_the_other_counter_is_seen_here(browser: Browser, served: Served):
    counter = served.counter
    with looking(browser, served) as page:
        served.do(lambda: opened(counter, "M0002077", "counter-2"))
        served.do(
            lambda: taken(
                counter,
                Kind.BLOOD_PRESSURE,
                "counter-2",
                values={"systolic_mmhg": Decimal(232), "diastolic_mmhg": Decimal(141)},
            )
        )
        expect(page.locator("#slot-counter-2")).to_have_text(re.compile("紧急情况"))
        expect(page.locator(".card")).to_have_count(0)
        follow(page, "#slot-counter-2", "/dock?slot=counter-2")
        expect(page.locator(".card")).to_be_visible()


def test_an_emergency_calls_whoever_looks_at_the_meters_back_to_the_dock(browser: Browser, served: Served):
    counter = served.counter
    with looking(browser, served, "/meters?slot=counter-1") as page:
        served.do(lambda: emergency(counter))
        arrived(page, "/dock?slot=counter-1")
        expect(page.locator(".card")).to_be_visible()
