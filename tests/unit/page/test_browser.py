"""The page in a real browser: readable on a phone and on a desk, by everybody, in light and dark.

Screenshots of every state are in out/tests/page afterwards.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Page, sync_playwright

from tests import browser as browsers
from tests.jobs import REPORTS

from . import scenes
from .serving import served

SHOTS = REPORTS / "page"
WIDTHS = {"phone": (390, 844), "desktop": (1280, 900)}
LOOKS = [(scene, *look) for scene in scenes.SCENES for look in (("phone", "light"), ("desktop", "dark"))]
LOOKS += [("working", "phone", "dark"), ("working", "desktop", "light")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Its sandbox needs namespaces that root in a container lacks; all that it sees is our own page.
        yield playwright.chromium.launch(executable_path=browsers.program(), args=["--no-sandbox"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    with served(folder) as port:
        yield f"http://127.0.0.1:{port}/"


def opened(browser: Browser, width: str, scheme: str, errors: list[str], script: bool = True) -> Page:
    x, y = WIDTHS[width]
    context = browser.new_context(
        viewport={"width": x, "height": y},
        color_scheme="dark" if scheme == "dark" else "light",
        java_script_enabled=script,
    )
    page = context.new_page()
    page.on("console", lambda m: errors.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: errors.append(str(e)))
    page.on("request", lambda r: errors.append(r.url) if not r.url.startswith("http://127.0.0.1:") else None)
    return page


@pytest.mark.parametrize(("scene", "width", "scheme"), LOOKS)
def test_a_look_at_it(browser: Browser, url: str, folder: Path, scene: str, width: str, scheme: str) -> None:
    scenes.write(folder, scene, time.time())
    errors: list[str] = []
    page = opened(browser, width, scheme, errors)
    page.goto(url)
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{scene}-{width}-{scheme}.png", full_page=True)
    found = [f"{v['id']}: {v['nodes'][0]['html']}" for v in Axe().run(page).response["violations"]]
    across = page.evaluate("document.documentElement.scrollWidth")
    page.context.close()
    assert found == [] and errors == []
    assert across <= WIDTHS[width][0], "it has to be scrolled sideways"


def test_it_says_the_same_without_javascript(browser: Browser, url: str, folder: Path) -> None:
    scenes.write(folder, "working", time.time())
    page = opened(browser, "phone", "light", [], script=False)
    page.goto(url)
    assert page.locator("#headline h2").inner_text() == "Working"
    assert page.locator("#silent").is_hidden()
    page.context.close()


def test_it_follows_what_happens_and_says_when_it_cannot(browser: Browser, url: str, folder: Path) -> None:
    scenes.write(folder, "working", time.time())
    page = opened(browser, "phone", "light", [])
    page.goto(url)
    page.locator("summary").click()
    scenes.write(folder, "wan-down", time.time())
    page.evaluate("refresh()")
    page.get_by_role("heading", name="No internet").wait_for()
    assert page.locator("#verdicts").is_visible(), "what was opened stays open"
    assert page.title().startswith("No internet")
    page.route("**/*", lambda route: route.abort())
    page.evaluate("refresh()")
    page.get_by_text("The gateway does not answer at the moment").wait_for()
    page.context.close()
