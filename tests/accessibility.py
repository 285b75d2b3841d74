"""What a page does to those who cannot see it well, as axe-core judges it.

The rules come with the package axe-playwright-python; only its script is used, so that the tests
need no network and the script is read as UTF-8 on any system.
"""

from __future__ import annotations

import importlib.resources

from playwright.sync_api import Page

SCRIPT = importlib.resources.files("axe_playwright_python") / "axe.min.js"
SERIOUS = ("serious", "critical")


def serious_violations(page: Page) -> list[str]:
    """The broken rules, each with the elements that break it: `rule: selector <html>`."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(SCRIPT.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run({resultTypes: ['violations']})")
    return [
        f"{rule['id']}: {' '.join(map(str, node['target']))} {node['html'][:160]}"
        f" {node['failureSummary'].splitlines()[-1].strip()}"
        for rule in found["violations"]
        if rule["impact"] in SERIOUS
        for node in rule["nodes"]
    ]
