"""What a customer takes along, read back from the code as a phone would."""

import pytest

from gateway.screen import qr
from gateway.screen.slip import slip
from gateway.screen.wording import Wording
from tests.gateway.screen import scenes
from tests.gateway.screen.counter import Counter
from tests.gateway.screen.qr_reader import read

CHINESE, ENGLISH = Wording.of("zh_CN", 480), Wording.of("en", 480)


@pytest.mark.parametrize("text", ["x" * 17, "中文" * 30, "血压 142/91 mmHg 偏高↑\n" * 8, "x" * 850])
def test_a_code_holds_the_text_letter_by_letter(text: str):
    assert read(qr.svg(text)) == text


def test_a_code_says_what_the_slip_says_and_not_who():
    counter = Counter()
    scenes.slip(counter)
    made = slip(counter.board.counter("counter-1"), counter.now, CHINESE)
    told = read(qr.svg(made.text)).splitlines()
    assert told[0] == "检测结果单 2026-11-21 12:07"
    assert told[1] == "平均血压 3次测量的平均值 144/91 mmHg 偏高↑ (90–139/60–89)"
    assert told[2] == "血压 12:00 152/96 mmHg 偏高↑ (90–139/60–89); 脉搏 76 次/分 达标 (60–100)"
    assert told[5] == "血糖 空腹 12:07 6.4 mmol/L 偏高↑ (3.9–6.0)"
    assert told[-1] == "结果仅供参考，不能替代医生诊断。"
    assert "1042" not in made.text


def test_what_is_urgent_is_on_the_slip():
    counter = Counter()
    scenes.opened(counter)
    scenes.pressure(counter, 165, 102)
    made = slip(counter.board.counter("counter-1"), counter.now, ENGLISH)
    assert "Urgent: Doctor within three days" in made.text
    assert "(90–139/60–89)" in made.text


def test_there_is_no_slip_without_a_visit_or_without_a_measurement():
    counter = Counter()
    scenes.sugar(counter, "6.4", visit=None)
    assert slip(counter.board.counter("counter-1"), counter.now, CHINESE) is None
    scenes.opened(counter)
    assert slip(counter.board.counter("counter-1"), counter.now, CHINESE) is None
