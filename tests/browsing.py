"""Pages in Debian's Chromium, at the widths of phones and of a desk, and what must hold of every page."""

import os
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page

from presence import present

CHROMIUM = Path("/usr/bin/chromium")
SIZES = {"phone": (390, 844), "desk": (1280, 800), "small": (320, 640)}
# Where screenshots go, for people who want to look at them.
SHOTS = os.environ.get("WHYBOX_SCREENSHOTS")


def opened(chromium: Browser, size: str, scheme: str = "light", **options: Any) -> BrowserContext:
    width, height = SIZES[size]
    is_phone = size != "desk"
    return chromium.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        has_touch=is_phone,
        is_mobile=is_phone,
        **options,
    )


# What a finger has to meet is at least 44 pixels wide and high; what only a keyboard reaches is out of sight.
TOO_SMALL = """() => [...document.querySelectorAll("button, input:not([type=hidden]), .button, footer a")]
  .map((each) => [each, each.getBoundingClientRect()])
  .filter(([, box]) => box.width > 0 && (box.width < 44 || box.height < 44))
  .map(([each, box]) => `${each.outerHTML} ${box.width} x ${box.height}`)"""


def fits(page: Page) -> None:
    """Nothing sticks out to the side. A phone would make the page smaller, and `innerWidth` larger."""
    width = present(page.viewport_size)["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width


class Looks:
    """Looks at each page.

    axe finds nothing, nothing sticks out to the side, a finger meets every button, and the browser reports nothing.
    """

    def __init__(self, page: Page, name: str) -> None:
        self._page, self._name, self._number = page, name, 0
        self.said: list[str] = []
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))

    def at(self, what: str) -> None:
        self._page.wait_for_load_state("networkidle")
        # Until colours have changed.
        self._page.evaluate("() => Promise.allSettled(document.getAnimations().map((each) => each.finished))")
        if SHOTS:
            self._number += 1
            self._page.screenshot(path=Path(SHOTS) / f"{self._name}-{self._number:02}-{what}.png")
        found = Axe().run(self._page)
        assert found.violations_count == 0, found.generate_report()
        fits(self._page)
        assert self._page.evaluate(TOO_SMALL) == []
        assert self.said == []
