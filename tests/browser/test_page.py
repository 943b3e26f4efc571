"""The page in a real browser: what an operator sees, how old it is, and what happens when something dies."""

import os
import signal
import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import FakeStation, until
from tests.tools.slow_link import SlowLink

OpenPage = Callable[..., Any]

YOUNG_MS = 1000  # a queue anywhere on the way would be seconds; the figures themselves come from tests.tools.page

# Reads the bar code of the picture on the screen each time it changes: the capture time the pixels themselves carry.
READ_BAR_CODE = """
(seconds) => new Promise((done) => {
  const canvas = document.querySelector(".picture"), seen = [];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const until = performance.now() + 1000 * seconds;
  let last = 0;
  const look = () => {
    const block = 20 * canvas.width / 1280, row = context.getImageData(0, Math.round(block / 2), canvas.width, 1).data;
    let us = 0;
    for (let bit = 47; bit >= 0; bit--) us = us * 2 + (row[4 * Math.round((bit + .5) * block)] > 127 ? 1 : 0);
    if (us !== last) { seen.push([us, performance.now()]); last = us; }
    if (performance.now() < until) setTimeout(look, 2); else done(seen.slice(1));
  };
  look();
})
"""


def ages_ms(page: Any, seconds: float) -> list[float]:
    """Age of each picture when it was on the screen, by the host's own clock and not by the page's estimate of it."""
    offsets = []
    for _ in range(20):
        before_ms = time.monotonic_ns() / 1e6
        page_ms = page.evaluate("performance.now()")
        after_ms = time.monotonic_ns() / 1e6
        offsets.append((after_ms - before_ms, (before_ms + after_ms) / 2 - page_ms))
    offset_ms = min(offsets)[1]
    return [page_ms + offset_ms - us / 1000 for us, page_ms in page.evaluate(READ_BAR_CODE, seconds)]


def banner_text(page: Any) -> str:
    banner = page.locator("#banner")
    return str(banner.inner_text()) if banner.is_visible() else ""


def wait_for_banner(page: Any, words: str) -> None:
    """That it takes at most two seconds is measured by tests.tools.page, not here: this machine may be busy."""
    banner = "document.getElementById('banner')"
    until(page, f"!{banner}.hidden && {banner}.innerText.includes('{words}')")


# -- the picture ---------------------------------------------------------------------------------------------------------


def test_the_picture_is_young_and_says_how_old_it_is(station: FakeStation, open_page: OpenPage) -> None:
    page = open_page(station.url)
    true_ages = ages_ms(page, 4)
    assert len(true_ages) > 5
    assert statistics.median(true_ages) < YOUNG_MS
    shown_ms = page.evaluate(
        "stationPage.live.ages.slice().sort((a, b) => a - b)[Math.floor(stationPage.live.ages.length / 2)]"
    )
    assert shown_ms == pytest.approx(statistics.median(true_ages), abs=40, rel=0.5)
    assert "ms" in page.locator(".age-value").inner_text()
    assert page.problems == []


def test_boxes_lie_over_the_picture(station: FakeStation, open_page: OpenPage) -> None:
    page = open_page(station.url)
    drawn = page.evaluate("""() => {
        const boxes = document.querySelector(".boxes"), picture = document.querySelector(".picture");
        const pixels = boxes.getContext("2d").getImageData(0, 0, boxes.width, boxes.height).data;
        let painted = 0;
        for (let n = 3; n < pixels.length; n += 4) painted += pixels[n] > 0;
        const a = boxes.getBoundingClientRect(), b = picture.getBoundingClientRect();
        return { painted, same: ["left", "top", "width", "height"].every((side) => Math.abs(a[side] - b[side]) < 1) };
    }""")
    assert drawn["painted"] > 500
    assert drawn["same"]


def test_a_frozen_picture_is_greyed_and_said_so(station: FakeStation, open_page: OpenPage) -> None:
    page = open_page(station.url)
    assert not page.locator(".no-picture").is_visible()
    station.change(freeze=True)
    page.wait_for_selector(".age.old")
    page.wait_for_selector(".figure.stale")
    assert "NO LIVE PICTURE" in page.locator(".no-picture").inner_text()
    assert banner_text(page) == ""  # the values are still live
    station.change(freeze=False)
    page.wait_for_selector(".figure:not(.stale)")


def test_a_lost_camera_is_named_while_the_other_one_shows(station: FakeStation, open_page: OpenPage) -> None:
    station.change(cameras=2)
    page = open_page(station.url)
    station.change(lost=["camera0"])
    page.wait_for_selector("[data-camera=camera0] .figure.stale")
    assert "sends nothing" in page.locator("[data-camera=camera0] .no-picture").inner_text()
    page.wait_for_selector("[data-camera=camera1] .figure:not(.stale):not(.none)")
    assert "camera0" in page.locator("#cameras .bad").inner_text()


def test_a_slow_link_makes_fewer_pictures_not_older_ones(
    station: FakeStation, open_page: OpenPage, slow_link: Callable[[int, float], SlowLink]
) -> None:
    link = slow_link(station.port, 1_000_000)
    page = open_page(station.url.replace(str(station.port), str(link.port)))
    true_ages = ages_ms(page, 5)
    assert len(true_ages) > 5
    assert statistics.median(true_ages) < YOUNG_MS
    assert banner_text(page) == ""


def test_a_stalled_viewer_costs_the_others_nothing(station: FakeStation, open_page: OpenPage) -> None:
    stalled, healthy = open_page(station.url), open_page(station.url)
    stalled.evaluate(
        "setTimeout(() => { const until = performance.now() + 9000; while (performance.now() < until); }, 10)"
    )
    time.sleep(1)
    true_ages = ages_ms(healthy, 4)
    assert statistics.median(true_ages) < YOUNG_MS
    assert len(true_ages) > 5
    until(stalled, f"stationPage.live.ages.at(-1) < {YOUNG_MS}")


def test_nobody_watching_means_no_pictures(station: FakeStation, open_page: OpenPage) -> None:
    page = open_page(station.url)
    assert station.report()["watched"] == ["camera0"]
    page.close()
    deadline_s = time.monotonic() + 60
    while station.report()["watched"]:
        assert time.monotonic() < deadline_s
        time.sleep(0.1)


# -- what dies -----------------------------------------------------------------------------------------------------------


def test_a_killed_station_is_a_dead_link(mortal_station: FakeStation, open_page: OpenPage) -> None:
    page = open_page(mortal_station.url)
    mortal_station.process.kill()
    page.wait_for_selector("#banner:not([hidden])")
    page.wait_for_selector("body.dead")
    wait_for_banner(page, "NO CONNECTION")
    page.wait_for_selector(".figure.stale")


def test_a_killed_panel_is_a_dead_link_and_then_comes_back_by_itself(
    mortal_station: FakeStation, open_page: OpenPage
) -> None:
    page = open_page(mortal_station.url)
    page.evaluate("window.notReloaded = true")
    os.kill(mortal_station.panel_pid, signal.SIGKILL)
    wait_for_banner(page, "NO CONNECTION")
    until(page, "document.getElementById('banner').hidden")
    page.wait_for_selector(".figure:not(.stale)")
    assert page.evaluate("window.notReloaded") is True
    assert mortal_station.report()["restarts"] == 1
    page.locator("#stop").click()  # still signed in
    mortal_station.wait_for(lambda said: "stop" in said)


def test_a_silent_station_is_not_shown_as_live(station: FakeStation, open_page: OpenPage) -> None:
    page = open_page(station.url)
    station.change(quiet=True)
    wait_for_banner(page, "NOT ANSWERING")
    station.change(quiet=False)
    until(page, "document.getElementById('banner').hidden")


def test_a_silent_network_is_noticed_without_tcp(
    station: FakeStation, open_page: OpenPage, slow_link: Callable[[int, float], SlowLink]
) -> None:
    link = slow_link(station.port, 5_000_000)
    page = open_page(station.url.replace(str(station.port), str(link.port)))
    link.swallow()
    wait_for_banner(page, "NO CONNECTION")


# -- commands ------------------------------------------------------------------------------------------------------------


def test_stop_is_immediate_and_asks_nothing(station: FakeStation, open_page: OpenPage) -> None:
    page = open_page(station.url)
    page.locator("#stop").click()
    station.wait_for(lambda said: "stop" in said)  # how soon: tests.tools.page, by the device's own record
    assert not page.locator("dialog[open]").count()
    until(page, "document.getElementById('stop-note').innerText.includes('received')")


def test_start_asks_first_and_takes_no_for_an_answer(station: FakeStation, open_page: OpenPage) -> None:
    station.change(state="IDLE")
    page = open_page(station.url)
    station.report()
    station.said.clear()  # what the pages of earlier tests asked for has come by now
    start = page.get_by_role("button", name="Start", exact=True)
    until(page, "!document.querySelector('[data-command=start]').disabled")
    start.click()
    page.get_by_role("button", name="Cancel").click()
    start.click()
    page.locator("#confirm-yes").click()
    station.wait_for(lambda said: said.get("command") == "start")
    assert [said["command"] for said in station.said if "command" in said] == ["start"]


def test_everything_works_from_the_keyboard(station: FakeStation, open_page: OpenPage) -> None:
    page = open_page(station.url)
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert reached.index("stop") < reached.index("abort") < reached.index("Hold")
    page.locator("#stop").focus()
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"
    page.keyboard.press("Enter")
    station.wait_for(lambda said: "stop" in said)


def test_without_a_token_one_may_look_and_not_touch(station: FakeStation, open_page: OpenPage) -> None:
    page = open_page(station.url.split("#")[0])
    assert page.locator("#stop").is_disabled()
    page.locator("#who").click()
    page.locator("#token").fill("not the token")
    page.keyboard.press("Enter")
    until(page, "document.getElementById('sign-in-error').textContent.includes('wrong')")
    page.locator("#token").fill(station.token)
    page.keyboard.press("Enter")
    until(page, "!document.getElementById('stop').disabled")


def test_the_token_leaves_the_address_bar_and_no_script_can_read_it(station: FakeStation, open_page: OpenPage) -> None:
    page = open_page(station.url)
    assert "token" not in page.url
    assert page.evaluate("document.cookie") == ""


# -- how it looks --------------------------------------------------------------------------------------------------------


def test_simulation_is_written_on_the_page_and_so_is_that_nothing_is_sent(
    station: FakeStation, open_page: OpenPage
) -> None:
    page = open_page(station.url)
    assert page.locator("#badges").inner_text() == "SIMULATION"
    station.change(observing=True)
    until(page, "document.getElementById('badges').innerText.includes('NO DIVERTS SENT')")
    assert page.locator("#link-controller dd").inner_text() == "none"
    assert page.locator("#machine-state").inner_text() == "Observing"


def test_outcomes_and_reasons_are_in_words(station: FakeStation, open_page: OpenPage) -> None:
    page = open_page(station.url)
    assert "too late for the gate" in page.locator("#reasons").inner_text()
    assert "late" in page.locator("#n-missed").inner_text()
    assert page.locator("#item-rows tr").count() == 12
    assert "E-STOP" not in page.locator("body").inner_text().upper().replace("EMERGENCY STOP", "")


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1366, 768), (1920, 1080)])
@pytest.mark.parametrize("cameras", [1, 2])
def test_picture_counts_and_controls_are_seen_without_scrolling(
    station: FakeStation, open_page: OpenPage, width: int, height: int, cameras: int
) -> None:
    station.change(cameras=cameras)
    page = open_page(station.url, width=width, height=height)
    until(page, f"document.querySelectorAll('.camera').length === {cameras}")
    for seen in ("#stop", "#abort", "#controls", ".camera:last-child .figure", ".tiles", "#alarm-list"):
        box = page.locator(seen).bounding_box()
        assert box["y"] >= 0, seen
        assert box["y"] + box["height"] <= height, seen
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    until(page, "document.querySelectorAll('#item-rows tr').length === 12")
    assert page.evaluate(CUT_OFF) == []


def test_many_alarms_neither_hide_in_a_box_nor_push_the_counts_away(station: FakeStation, open_page: OpenPage) -> None:
    station.change(conditions={name: "x" for name in ("camera_lost", "jam", "bin_full", "diverts_late", "model_fails")})
    page = open_page(station.url, width=1920, height=1080)
    until(page, "document.querySelectorAll('#alarm-list li.active').length === 5")
    assert (
        page.evaluate(
            "(({ scrollHeight, clientHeight }) => scrollHeight - clientHeight)(document.getElementById('alarm-list'))"
        )
        <= 0
    )
    tiles = page.locator(".tiles").bounding_box()
    assert tiles["y"] + tiles["height"] <= 1080
    page.mouse.wheel(0, 3000)
    until(page, "window.scrollY > 0")
    assert page.locator("#stop").bounding_box()["y"] >= 0  # STOP stays


@pytest.mark.parametrize(("width", "height"), [(1024, 768), (1280, 800), (1920, 1080), (390, 844)])
def test_stop_stays_where_it_is(station: FakeStation, open_page: OpenPage, width: int, height: int) -> None:
    """Who reaches for it must not miss it because a banner came up, an alarm came in or a word grew longer."""
    page = open_page(station.url, width=width, height=height)
    at_first = page.locator("#stop").bounding_box()
    station.change(
        conditions={name: "x" for name in ("camera_lost", "jam", "bin_full")},
        link={"state": "configuring", "timing": "host", "sync_bound_us": None},
    )
    until(page, "document.querySelectorAll('#alarm-list li.active').length === 3")
    assert page.locator("#stop").bounding_box() == at_first
    station.change(quiet=True)
    wait_for_banner(page, "NOT ANSWERING")
    assert page.locator("#stop").bounding_box() == at_first


@pytest.mark.parametrize(("width", "height"), [(390, 844), (360, 740)])
def test_a_phone_shows_it_all_without_scrolling_sideways(
    station: FakeStation, open_page: OpenPage, width: int, height: int
) -> None:
    page = open_page(station.url, width=width, height=height)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CUT_OFF) == []
    stop = page.locator("#stop").bounding_box()
    assert stop["y"] + stop["height"] <= height
    assert stop["width"] > 200
    assert stop["height"] >= 60
    page.mouse.wheel(0, 2000)
    assert page.locator("#stop").bounding_box()["y"] == pytest.approx(stop["y"], abs=1)


@pytest.mark.parametrize("dead", [False, True])
def test_every_word_can_be_read(station: FakeStation, open_page: OpenPage, dead: bool) -> None:
    """WCAG AA: 4.5 to 1, or 3 to 1 for large text; and nothing under 12 px."""
    page = open_page(station.url)
    if dead:
        station.change(quiet=True)
        wait_for_banner(page, "NOT ANSWERING")
    poor = page.evaluate(POOR_CONTRAST)
    assert poor == []


CUT_OFF = """[...document.querySelectorAll(".scroll")].filter((place) => place.scrollWidth > place.clientWidth)
  .map((place) => `${place.innerText.slice(0, 40)}: ${place.scrollWidth} px in ${place.clientWidth}`)"""

POOR_CONTRAST = """
() => {
  const rgb = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, n) => sum + v * [.2126, .7152, .0722][n], 0);
  const behind = (place) => {
    for (let at = place; at; at = at.parentElement) {
      const colour = rgb(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] > .5) return colour;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const place of document.querySelectorAll("body *")) {
    const own = [...place.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !place.getClientRects().length || place.closest("svg")) continue;
    const style = getComputedStyle(place), size = parseFloat(style.fontSize);
    const a = light(rgb(style.color)), b = light(behind(place));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const name = `${place.tagName}#${place.id} ${place.textContent.trim().slice(0, 30)}`;
    if (ratio < (large ? 3 : 4.5) || size < 12) poor.push(`${name}: ${ratio.toFixed(2)} at ${size} px`);
  }
  return poor;
}
"""
