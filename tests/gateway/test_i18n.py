"""Every word on the dock screen is Chinese when it should be."""

from pathlib import Path

import pytest

from gateway import i18n


def test_every_word_used_is_translated_and_none_is_left_over(capsys: pytest.CaptureFixture[str]):
    assert i18n.main(["check"]) == 0
    assert capsys.readouterr().out == ""


def test_a_missing_a_leftover_and_a_fuzzy_word_are_each_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "page.html").write_text('{{ _("Used") }} {{ _("Doubtful") }} {{ _("Fine") }}')
    po = tmp_path / "locale" / "zh_CN" / "LC_MESSAGES" / "messages.po"
    po.parent.mkdir(parents=True)
    po.write_text(
        'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\nmsgid "Fine"\nmsgstr "好"\n\n'
        '#, fuzzy\nmsgid "Doubtful"\nmsgstr "疑"\n\nmsgid "Left"\nmsgstr "剩"\n'
    )
    monkeypatch.setattr(i18n, "SOURCE", tmp_path)
    assert i18n.problems() == ["not translated: 'Used'", "fuzzy: 'Doubtful'", "no longer used: 'Left'"]


def test_english_is_what_the_code_says():
    assert i18n.translator("en")("Open visit") == "Open visit"
    assert i18n.translator("zh_CN")("Open visit") == "确定"
