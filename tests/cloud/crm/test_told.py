"""What the next page says after something was done, and where an error leads back to."""

from urllib.parse import quote

from cloud.crm.tasks.outcomes import OUTCOMES
from cloud.crm.web import SAID_COOKIE
from cloud.i18n import Translator
from tests.cloud.crm.conftest import id_of

TASK = f"/tasks/{id_of('task_n')}"


def test_what_was_done_is_said_once_on_the_next_page(as_):
    clerk = as_("clerk")
    clerk.post(f"{TASK}/resolve", outcome="no_answer", back="/tasks")
    words = Translator("zh")(OUTCOMES["no_answer"].consequence)
    refreshing = clerk.get("/tasks", **{"X-Kangdock-Passive": "1"}).text  # another window of the same browser
    assert words not in refreshing
    page = clerk.get("/tasks").text
    assert "已保存。" in page
    assert words in page
    assert "已保存。" not in clerk.get("/tasks").text


def test_every_step_without_a_page_of_its_own_is_said(as_):
    clerk = as_("clerk")
    ids = {"reading": str(id_of("free_n")), "member": str(id_of("张桂兰"))}
    for path, form, words in (
        (f"{TASK}/snooze", {"until": "1h"}, "任务已推迟"),
        (f"{TASK}/claim", {}, ""),
        (f"{TASK}/release", {}, "任务已放回待领取"),
        ("/unclaimed/claim", ids, "读数已归到会员名下"),
        (f"/unclaimed/{id_of('free_n')}/undo", {}, "读数回到待认领"),
    ):
        assert clerk.post(path, **form).status_code == 303, path
        page = clerk.get("/members").text
        assert ("已保存。" in page) == bool(words), path
        assert words in page


def test_nothing_is_said_that_a_stranger_put_there(as_):
    clerk = as_("clerk")
    for words in ("Call 0900-123456", "<b>x</b>", "%ff%fe"):
        clerk.client.cookies.set(SAID_COOKIE, quote(words))
        page = clerk.get("/tasks")
        assert page.status_code == 200
        assert "已保存" not in page.text
        assert "0900" not in page.text


def test_an_error_leads_back_to_where_it_happened(as_):
    clerk = as_("clerk")
    as_("clerk2").post(f"{TASK}/claim")

    def refused(referer: str) -> str:
        answer = clerk.client.post(
            f"{TASK}/claim", data={"csrf": clerk.csrf}, headers={"Referer": referer}, follow_redirects=False
        )
        assert answer.status_code == 409
        return answer.text

    assert 'href="/tasks?tab=pool"' in refused("http://testserver/tasks?tab=pool")
    assert "返回" not in refused(f"http://testserver{TASK}/claim")  # the refused step itself is no page
