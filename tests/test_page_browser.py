"""Pages in a real browser: pointing, switching, stepping, the keyboard, both themes, a phone, paper, and no request."""

import base64
import json
from dataclasses import replace

import numpy as np
import pytest
from browser import barriers, chromium, console, emulate, phone, requests
from pages import SMALL, document

from scratchnet import init
from scratchnet.init import PREPARATIONS, SCHEMES
from scratchnet.lab.experiment import Arm
from scratchnet.report import page as pages

KEYS = {"right": "\ue014", "left": "\ue012", "end": "\ue010", "home": "\ue011", "space": " "}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture(scope="module")
def made(tmp_path_factory, dataset):
    """Addresses of pages of small runs, by name."""
    folder = tmp_path_factory.mktemp("pages")
    few, short = ["he_normal", "rule_uniform", "zeros"], replace(SMALL, batch_size=120)
    stand_in = replace(dataset, name="synthetic")
    hostile = Arm("my.py:mine", 'my.py:mine </script><img src="http://127.0.0.1:9/x"> ' + "long" * 30, init.he_normal)
    documents = {
        "usual": document(dataset, few, lesson={"zeros": (9.475, 2.304)}),
        "one-seed": document(dataset, few, seeds=(7,), settings=short),
        "diverged": document(dataset, ["he_normal", "constant:value=1e30"], settings=short),
        "all": document(dataset, [*SCHEMES, *PREPARATIONS], seeds=(0,), settings=short, images=300),
        "one-arm": document(dataset, ["he_normal"], settings=short),
        "stand-in": document(stand_in, few, settings=short),
        "hostile": document(dataset, [hostile], seeds=(0,), settings=short),
    }
    for name, text in documents.items():
        pages.write(folder / f"{name}.html", text)
    return {name: (folder / f"{name}.html").as_uri() for name in documents}


NAMES = ["usual", "one-seed", "diverged", "all", "one-arm", "stand-in", "hostile"]


@pytest.fixture
def usual(browser, made):
    emulate(browser)
    browser.get(made["usual"])
    return browser


def find(page, selector):
    return page.find_element("css selector", selector)


def texts(page, selector):
    return page.execute_script("return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)", selector)


def painted(page, color):
    """How many pixels of the chart have nearly this colour of the page's."""
    return page.execute_script(
        """
        const canvas = document.querySelector(".chart canvas"), c = canvas.getContext("2d");
        const probe = document.createElement("canvas").getContext("2d");
        probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(arguments[0]).trim();
        probe.fillRect(0, 0, 1, 1);
        const [r, g, b] = probe.getImageData(0, 0, 1, 1).data;
        const d = c.getImageData(0, 0, canvas.width, canvas.height).data;
        let n = 0;
        for (let i = 0; i < d.length; i += 4)
          n += d[i + 3] > 200 && Math.abs(d[i] - r) + Math.abs(d[i + 1] - g) + Math.abs(d[i + 2] - b) < 12;
        return n;""",
        color,
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_page_asks_for_nothing_logs_nothing_and_bars_nobody(name, browser, made):
    emulate(browser)
    console(browser), requests(browser)
    browser.get(made[name])
    assert len(texts(browser, ".chart canvas")) == 1
    assert barriers(browser) == []
    emulate(browser, theme="dark")
    assert barriers(browser) == []
    assert console(browser) == []
    assert requests(browser) == [made[name]]


@pytest.mark.parametrize("name", NAMES)
def test_on_a_phone_nothing_is_wider_than_the_screen(name, browser, made):
    emulate(browser)
    phone(browser)
    try:
        browser.get(made[name])
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
        assert browser.execute_script("return document.querySelector('.chart canvas').clientWidth") > 250
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_policy_stops_a_request_and_a_script_that_were_smuggled_in(usual):
    requests(usual)
    usual.execute_script(
        "const i = new Image(); i.src = 'http://127.0.0.1:9/x'; document.body.append(i);"
        "const s = document.createElement('script'); s.textContent = 'window.smuggled = 1'; document.body.append(s);"
    )
    assert usual.execute_script("return window.smuggled") is None
    assert any("Content Security Policy" in line or "violates" in line for line in console(usual))
    events = [json.loads(entry["message"])["message"] for entry in usual.get_log("performance")]
    ends = [e["params"].get("blockedReason") for e in events if e["method"] == "Network.loadingFailed"]
    assert ends == ["csp"]  # the image was never asked for


def test_pointing_at_the_curves_shows_the_values_of_each_arm(usual):
    from selenium.webdriver import ActionChains

    assert texts(usual, ".key .value") == ["", "", ""]
    over = find(usual, ".chart .u-over")
    ActionChains(usual).scroll_to_element(over).move_to_element(over).perform()
    values = texts(usual, ".key .value")
    assert all(" to " in value for value in values)
    assert values[2].startswith("2.30")
    assert texts(usual, ".where")[0] in [f"Batch {n}" for n in range(40, 61)]


def test_the_arrow_keys_move_along_the_batches_and_a_live_line_says_the_values(usual):
    plot = find(usual, ".chart .plot")
    plot.send_keys(KEYS["right"])
    assert texts(usual, ".where") == ["Batch 1"]
    plot.send_keys(KEYS["right"], KEYS["right"], KEYS["left"])
    [said] = texts(usual, ".chart [aria-live=polite]")
    assert said.startswith("Batch 2: he_normal 2.")
    assert "zeros 2.30" in said
    plot.send_keys(KEYS["end"])
    assert texts(usual, ".where") == ["Batch 100"]


def test_an_arm_can_be_switched_off_and_on_with_the_keyboard(usual):
    assert painted(usual, "--arm-2") > 100
    box = usual.find_elements("css selector", ".key input")[2]
    box.send_keys(KEYS["space"])
    assert painted(usual, "--arm-2") == 0
    assert painted(usual, "--arm-0") > 100
    find(usual, ".chart .plot").send_keys(KEYS["home"])
    assert texts(usual, ".key .value")[2] == ""
    box.send_keys(KEYS["space"])
    assert painted(usual, "--arm-2") > 100


def test_scale_batches_and_seeds_can_be_chosen(usual):
    from selenium.webdriver.support.select import Select

    plot = find(usual, ".chart .plot")
    before = painted(usual, "--arm-0")
    find(usual, "input[value=log]").click()
    assert painted(usual, "--arm-0") != before
    find(usual, "input[value='10']").click()
    plot.send_keys(KEYS["end"])
    assert texts(usual, ".where") == ["Batch 10"]
    find(usual, "input[value=all]").click()
    plot.send_keys(KEYS["end"])
    assert texts(usual, ".where") == ["Batches 21 to 120"]
    Select(find(usual, ".chart select")).select_by_visible_text("seed 1")
    content = json.loads(texts(usual, "#losses-chosen-arms-data")[0])
    rows = [np.frombuffer(base64.b64decode(arm["values"]), "<f4").reshape(6, -1) for arm in content["arms"]]
    assert texts(usual, ".key .value") == [f"{seeds[3 + 1, -1]:.3f}" for seeds in rows]


def test_colours_follow_the_theme(usual):
    light = usual.execute_script("return getComputedStyle(document.body).color")
    assert painted(usual, "--arm-0") > 100
    emulate(usual, theme="dark")
    assert usual.execute_script("return getComputedStyle(document.body).color") != light
    usual.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    assert painted(usual, "--arm-0") > 100


def test_a_reader_steps_through_training_with_slider_buttons_and_keys(usual):
    from selenium.webdriver.support.select import Select

    assert texts(usual, ".place") == ["before the first step"]
    first = texts(usual, ".told")[0]
    find(usual, ".steps input[type=range]").send_keys(KEYS["right"])
    assert texts(usual, ".place") == ["after 1 step"]
    assert texts(usual, ".told")[0] != first
    find(usual, "[aria-label='A later step']").click()
    assert texts(usual, ".place") == ["after 10 steps"]
    find(usual, ".steps input[type=range]").send_keys(KEYS["end"])
    assert texts(usual, ".place") == ["after 120 steps"]
    Select(find(usual, ".steps select")).select_by_visible_text("zeros")
    assert "symmetric, fades" in texts(usual, ".told")[0]
    assert "1 distinct unit of 20" in texts(usual, ".layer")[0]
    assert len(texts(usual, ".layer")) == 3
    assert all(int(n) > 0 for n in usual.execute_script(
        "return [...document.querySelectorAll('.layer')].map(e => e.querySelectorAll('rect').length)"
    ))  # fmt: skip


def test_one_seed_has_no_band_and_nothing_to_choose(browser, made):
    browser.get(made["one-seed"])
    assert texts(browser, ".chart select") == []
    find(browser, ".chart .plot").send_keys(KEYS["home"])
    assert all(" to " not in value and value for value in texts(browser, ".key .value"))


def test_a_diverged_arm_is_a_gap_and_said_to_be_one(browser, made):
    browser.get(made["diverged"])
    find(browser, ".chart .plot").send_keys(KEYS["end"])
    values = texts(browser, ".key .value")
    assert values[1] == "no number"
    assert "NaN" not in find(browser, "main").text
    assert painted(browser, "--arm-0") > 50


def test_what_a_reader_has_no_room_for_scrolls_and_the_caption_stays(browser, made):
    emulate(browser)
    phone(browser)
    try:
        browser.get(made["usual"])
        widths = (
            "return [...document.querySelectorAll('.caption, label, select')].map(e => e.getBoundingClientRect().right)"
        )
        assert max(browser.execute_script(widths)) <= 360
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_of_thirty_four_arms_five_are_drawn_until_the_reader_asks_for_more(browser, made):
    browser.get(made["all"])
    boxes = browser.find_elements("css selector", ".key input")
    assert len(boxes) == len([*SCHEMES, *PREPARATIONS])
    assert sum(box.is_selected() for box in boxes) == 5
    [button] = [b for b in browser.find_elements("css selector", ".chart button") if b.text == "All starts"]
    button.click()
    assert all(box.is_selected() for box in boxes)


def test_on_paper_are_the_static_figure_and_the_tables_and_nothing_to_operate(usual):
    shown = "return [...document.querySelectorAll(arguments[0])].map(e => e.getClientRects().length > 0)"
    assert usual.execute_script(shown, ".picture") == [False]
    emulate(usual, media="print")
    assert usual.execute_script(shown, ".picture") == [True]
    assert not any(usual.execute_script(shown, ".live, input, button, select"))
    assert all(usual.execute_script(shown, "table"))
    assert usual.execute_script("return document.querySelector('.picture img').naturalWidth") > 300


def test_without_a_script_the_static_figure_stands_in_its_place(browser, made):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        emulate(browser)
        browser.get(made["usual"])
        assert find(browser, ".picture").is_displayed()
        assert not find(browser, ".chart").is_displayed()
        assert find(browser, "table").is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_no_transition_runs_where_less_motion_is_asked_for(usual):
    emulate(usual, reduced_motion=True)
    assert usual.execute_script("return getComputedStyle(document.querySelector('button')).transitionDuration") == "0s"
