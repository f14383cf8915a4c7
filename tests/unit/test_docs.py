"""Docs that are made from something are fresh, and what they name is there."""

import json
import re
from pathlib import Path

import pytest

from builder import docs
from lab import reliability

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "CONTRIBUTING.md", "docs/design.md", "docs/security.md", "docs/reliability.md")


def test_configuration_page_is_fresh() -> None:
    wanted = docs.render(json.loads(docs.SCHEMA.read_text()))
    assert docs.PAGE.read_text() == wanted, "run: ./build.py run python -m builder.docs"


def test_reliability_page_is_what_the_last_soak_said() -> None:
    wanted = reliability.page(reliability.from_text(reliability.KEPT.read_text()))
    assert reliability.PAGE.read_text() == wanted, "run: ./build.py run python -m lab.reliability"


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert ((ROOT / page).parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES)
def test_named_files_exist(page: str) -> None:
    text = (ROOT / page).read_text()
    for name in re.findall(r"`((?:builder|lab|firstboot|images|overlays|tests)/[\w./-]+\w)`", text):
        if "NAME" not in name:
            assert (ROOT / name).exists(), name


def test_make_targets_in_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for page in PAGES:
        for target in re.findall(r"(?:`|^ +)make ([a-z]+)", (ROOT / page).read_text(), re.MULTILINE):
            assert re.search(rf"^(?:[a-z ]+ )?{target}(?: [a-z ]+)?:", makefile, re.MULTILINE), target
