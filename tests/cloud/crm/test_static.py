"""Files of others are what they were when they were reviewed, and the Chinese is complete."""

import hashlib
import re
import tomllib
from pathlib import Path

from cloud import i18n
from cloud.crm import app

STATIC = Path(app.__file__).parent / "static"
TEMPLATES = Path(app.__file__).parent / "templates"


def test_vendored_files_are_unchanged_and_all_listed():
    listed = tomllib.loads((STATIC / "vendor" / "VENDOR.toml").read_text())["file"]
    for entry in listed:
        digest = hashlib.sha256((STATIC / "vendor" / entry["file"]).read_bytes()).hexdigest()
        assert digest == entry["sha256"], entry["file"]
    there = {path.name for path in (STATIC / "vendor").iterdir()} - {"VENDOR.toml"}
    assert there == {entry["file"] for entry in listed}


def test_every_text_is_there_in_chinese_and_none_is_left_over():
    assert list(i18n.problems()) == []


def test_no_template_brings_its_own_script_style_or_network_address():
    for template in TEMPLATES.rglob("*.html"):
        html = template.read_text()
        assert not re.search(r"<script(?![^>]*(src=\"/static/|application/json))", html), template.name
        assert not re.search(r"\son\w+=|\sstyle=|https?://", html), template.name
        for form in re.findall(r"<form[^>]*method=\"post\".*?</form>", html, flags=re.S):
            if 'action="/login' not in form:
                assert "csrf" in form or "parts.hidden" in form, (template.name, form[:80])
