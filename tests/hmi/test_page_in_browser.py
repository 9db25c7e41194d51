"""The page as an operator sees it, in a real browser over a real records process."""

import json
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect, sync_playwright

from inspector.core.part import PartId
from inspector.core.verdict import Reason
from inspector.records.journal import Journal
from inspector.records.pictures import PictureSender
from inspector.records.status import LineState, write_status
from tests.hmi.filled_ledger import cup_with_stain, status_of
from tests.records.plant import NOON_NS, RecordsProcess, configuration, row_of

pytestmark = pytest.mark.browser

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_WORDS_LIKE_HTML = "<img src=x onerror=alert(1)> & Söhne"


class Line:
    """The records side of a line: journal, records process, page, and a status kept fresh."""

    def __init__(self, directory: Path) -> None:
        config = directory / "line.yaml"
        settings = json.loads(configuration(directory / "records"))
        config.write_text(json.dumps(settings | {"page": {"port": 0}}))
        self._status_file = directory / "status.json"
        self.name, self.recipe, self.state = "Hall 3", "festival-02", LineState.RUNNING
        self.journal = Journal(directory / "records")
        self.records = RecordsProcess(directory / "records", config)
        self.records.start()
        self.pictures = PictureSender(self.records.sender)
        self._alive = True
        self._writer = threading.Thread(target=self._write)
        self._writer.start()
        self.page = subprocess.Popen(
            [sys.executable, "-m", "inspector.hmi", "--config", str(config),
             "--status", str(self._status_file)],
            stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        assert self.page.stdout is not None
        self.url = self.page.stdout.readline().strip()

    def _write(self) -> None:
        while self._alive:
            status = status_of(
                ("lane-1",), self.state, time.time(), NOON_NS / 1e9, self.name, self.recipe
            )
            write_status(self._status_file, status)
            time.sleep(0.3)

    def die(self) -> None:
        self._alive = False
        self._writer.join()

    def close(self) -> None:
        self.die()
        self.page.kill()
        self.page.communicate()
        self.records.close()


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    running = Line(tmp_path)
    yield running
    running.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=CHROMIUM_ARGUMENTS
        )
        yield chromium
        chromium.close()


@pytest.fixture
def tablet(browser: Any, line: Line) -> Iterator[Page]:
    page: Page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(line.url)
    yield page
    page.close()


@pytest.fixture
def complaints(browser: Any, line: Line) -> Iterator[tuple[Page, list[str]]]:
    page: Page = browser.new_page(viewport={"width": 1280, "height": 800})
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("dialog", lambda dialog: told.append(f"dialog: {dialog.message}"))
    page.goto(line.url)
    yield page, told
    page.close()


def test_counters_rise_while_one_watches(line: Line, tablet: Page) -> None:
    expect(tablet.locator("#title")).to_have_text("Running")
    expect(tablet.locator("#passed")).to_have_text("0")
    expect(tablet.locator("#no-rejects")).to_be_visible()

    for number in range(1, 41):
        line.journal.append(row_of(number))
    line.journal.append(row_of(41, Reason.MISSING_FRAME))
    expect(tablet.locator("#passed")).to_have_text("40")
    expect(tablet.locator("#rejected")).to_have_text("1")
    expect(tablet.locator("#reasons")).to_contain_text("No picture came from the camera")

    line.journal.append(row_of(42))
    expect(tablet.locator("#passed")).to_have_text("41")
    expect(tablet.locator("#rate")).to_have_text("2.4 %")


def test_the_page_goes_on_asking_whatever_stands_behind_its_address(
    line: Line, browser: Any
) -> None:
    page: Page = browser.new_page()
    page.goto(f"{line.url}#%")
    expect(page.locator("#title")).to_have_text("Running")
    line.journal.append(row_of(1))
    expect(page.locator("#passed")).to_have_text("1")
    page.close()


def test_the_last_reject_is_shown_with_its_pictures(
    line: Line, complaints: tuple[Page, list[str]]
) -> None:
    page, told = complaints
    cup, heat, _ = cup_with_stain(random.Random(4))
    for number in range(1, 15):
        line.journal.append(row_of(number, Reason.DEFECT))
        line.pictures.send(PartId("lane-1", 7, number), cup, heat)
        time.sleep(0.05)

    expect(page.locator("#last .words")).to_have_text("Defect on the cup")
    expect(page.locator("#last .facts")).to_contain_text("Part 14")
    expect(page.locator("#earlier li")).to_have_count(11)
    images = page.locator("#last img")
    expect(images).to_have_count(2)
    for index in range(2):
        expect(images.nth(index)).to_have_js_property("complete", True)
        expect(images.nth(index)).to_have_js_property("naturalWidth", 384)
    expect(page.locator("#last .box")).to_have_count(1)
    assert told == []


def test_the_lines_death_is_told(line: Line, tablet: Page) -> None:
    expect(tablet.locator("#title")).to_have_text("Running")
    line.die()

    # Told after 2 s of silence; what is waited for here is that it is told at all.
    expect(tablet.locator("#title")).to_contain_text("No news from the line for")
    expect(tablet.locator("body")).to_have_class("stale")


def test_the_pages_own_death_is_told(line: Line, tablet: Page) -> None:
    expect(tablet.locator("#title")).to_have_text("Running")
    line.page.kill()

    expect(tablet.locator("#title")).to_contain_text("No news for")
    expect(tablet.locator("#detail")).to_contain_text("Check the network")


def test_a_lost_camera_is_told_in_words(line: Line, tablet: Page) -> None:
    expect(tablet.locator("#title")).to_have_text("Running")
    line.state = LineState.REJECTING

    expect(tablet.locator("#state")).to_have_attribute("data-level", "rejecting")
    expect(tablet.locator("#title")).to_contain_text("Rejecting everything: the camera of")
    expect(tablet.locator("#detail")).to_have_text("Check its cable and its power")


def test_names_are_text_whatever_they_look_like(
    line: Line, complaints: tuple[Page, list[str]]
) -> None:
    page, told = complaints
    line.name = line.recipe = _WORDS_LIKE_HTML

    expect(page.locator("#line")).to_have_text(_WORDS_LIKE_HTML)
    expect(page.locator("#recipe")).to_have_text(f"Recipe {_WORDS_LIKE_HTML}")
    assert page.locator("header img").count() == 0
    assert told == []


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (800, 1280)])
def test_everything_fits_one_screen(line: Line, browser: Any, width: int, height: int) -> None:
    cup, heat, _ = cup_with_stain(random.Random(4))
    for number in range(1, 15):
        line.journal.append(row_of(number, Reason.DEFECT))
        line.pictures.send(PartId("lane-1", 7, number), cup, heat)
    page: Page = browser.new_page(viewport={"width": width, "height": height})
    page.goto(line.url)
    expect(page.locator("#earlier li")).to_have_count(11)
    last = page.locator("#earlier li").last.bounding_box()
    across = page.evaluate("document.documentElement.scrollWidth")
    down = page.evaluate("document.documentElement.scrollHeight")
    page.close()

    assert last is not None
    assert last["y"] + last["height"] <= height
    assert across <= width
    assert down <= height


SCREENS = [(1280, 800), (1920, 1080), (1024, 600), (800, 480), (390, 844), (360, 640)]


def cut_off(page: Page) -> list[str]:
    """Elements whose text needs more room across than they have, on any screen."""
    script = """() => [...document.querySelectorAll("html, #state *, #numbers, #numbers *")]
        .filter((one) => one.clientWidth > 0 && one.scrollWidth > one.clientWidth)
        .map((one) => `${innerWidth} px: ${one.id || one.className || one.tagName}`)"""
    found: list[str] = []
    for width, height in SCREENS:
        page.set_viewport_size({"width": width, "height": height})
        found += page.evaluate(script)
    return found


def test_millions_of_cups_and_long_words_are_read_to_their_end_on_every_screen(
    line: Line, tablet: Page
) -> None:
    def answer(route: Route) -> None:
        state = route.fetch().json()
        state["lanes"][0] |= {"passed": 12_345_678, "rejected": 1_234_567, "reject_percent": 9.1}
        state["headline"] |= {
            "title": "Rejecting everything: the PLC of lane-1 at 192.168.110.120:502 cannot be reached",
            "detail": "Name /opt/vimbax_sdk/VimbaX_2026-1/cti/VimbaGigETL.cti in camera.producer",
        }
        route.fulfill(json=state)

    tablet.route("**/api/state", answer)
    expect(tablet.locator("#passed")).to_have_text("12,345,678")
    assert cut_off(tablet) == []
    tablet.unroute_all(behavior="ignoreErrors")


def test_what_was_not_today_has_its_day(line: Line, tablet: Page) -> None:
    line.journal.append(row_of(1, Reason.DEFECT))
    day = time.strftime("%-d %b", time.localtime(NOON_NS / 1e9))
    expect(tablet.locator("#since")).to_contain_text(day)
    expect(tablet.locator("#last .facts")).to_contain_text(day)


def test_a_reject_of_before_midnight_gets_its_day_when_midnight_has_passed(
    line: Line, tablet: Page
) -> None:
    rejected_s = NOON_NS / 1e9 + 1
    tablet.clock.set_fixed_time(rejected_s + 60)
    line.journal.append(row_of(1, Reason.DEFECT))
    facts = tablet.locator("#last .facts")
    expect(facts).to_contain_text(time.strftime("%H:%M:%S", time.localtime(rejected_s)))

    tablet.clock.set_fixed_time(rejected_s + 86_400)
    expect(facts).to_contain_text(time.strftime("%-d %b %H:%M", time.localtime(rejected_s)))
