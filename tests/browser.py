"""A headless Chromium for the tests of pages: what it shows, what it logs, what it asks the network for."""

import json
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

# .ci/run sets it: there a missing browser is a failure, and elsewhere these tests are skipped.
REQUIRED = bool(os.environ.get("SCRATCHNET_BROWSER_REQUIRED"))
# axe.min.js of the npm package axe-core, which checks a page for people who use a keyboard or a screen reader
AXE = os.environ.get("AXE_CORE", "")


def missing(what):
    (pytest.fail if REQUIRED else pytest.skip)(what)


@contextmanager
def chromium(profile, width=1280, height=900):
    """A driver of Chromium with an empty profile in the folder `profile`; it has ended when this has."""
    selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    from selenium.webdriver.chrome.service import Service

    browser = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")
    driver = shutil.which("chromedriver")
    if not (browser and driver):
        missing("Chromium and its chromedriver are not on this machine (Debian: chromium, chromium-driver)")
    options = selenium.ChromeOptions()
    options.binary_location = browser
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    for option in (
        *("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "no-first-run", "disable-quic"),
        *("disable-background-networking", "disable-component-update", "disable-sync", "disable-extensions"),
        *(f"user-data-dir={profile}", f"window-size={width},{height}", "force-device-scale-factor=1"),
    ):
        options.add_argument(f"--{option}")
    page = selenium.Chrome(options=options, service=Service(driver))
    try:
        page.set_window_size(width, height)
        yield page
    finally:
        page.quit()


def console(page):
    """What the page has written to the console since this was last asked."""
    return [entry["message"] for entry in page.get_log("browser")]


def requests(page):
    """The addresses that the page has asked for since this was last asked, without data: and blob: addresses."""
    events = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    sent = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    return [url for url in sent if not url.startswith(("data:", "blob:", "chrome:"))]


def emulate(page, *, theme="light", media="", reduced_motion=False):
    """Show the page in the light or the dark theme, and with media="print" as it is printed."""
    features = [{"name": "prefers-color-scheme", "value": theme}]
    features += [{"name": "prefers-reduced-motion", "value": "reduce"}] * reduced_motion
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})


def phone(page, width=360, height=740):
    """Give the page a phone's width."""
    size = {"width": width, "height": height, "deviceScaleFactor": 2, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def photograph(page, path):
    """The whole page as a PNG."""
    import base64

    shot = page.execute_cdp_cmd("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": True})
    Path(path).write_bytes(base64.b64decode(shot["data"]))


def barriers(page):
    """What axe-core finds that is serious or critical: (rule, what it says, where)."""
    if not AXE:
        missing("AXE_CORE does not name axe.min.js of the npm package axe-core")
    page.execute_cdp_cmd("Page.setBypassCSP", {"enabled": True})
    try:
        page.execute_script(Path(AXE).read_text("utf-8"))
        # After a change of theme, the colours of buttons fade for a moment: none of them is a colour of the page.
        still = "Promise.allSettled(document.getAnimations().map(a => a.finished))"
        run = f"const done = arguments[0]; {still}.then(() => axe.run()).then(done, e => done({{error: String(e)}}))"
        found = page.execute_async_script(run)
    finally:
        page.execute_cdp_cmd("Page.setBypassCSP", {"enabled": False})
    assert "error" not in found, found
    return [
        (v["id"], v["help"], [node["target"] for node in v["nodes"]][:3])
        for v in found["violations"]
        if v["impact"] in ("serious", "critical")
    ]
