"""Make docs/HANDOUT.html and docs/HANDOUT_EN.html, to be printed, from the .md beside them.

把讲义做成可以打印的网页。Needs requirements-dev.txt.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from markdown_it import MarkdownIt

from scripts.command_line import DONE, run, write_text

DOCS = Path(__file__).parent.parent / "docs"
LANGUAGES = {"HANDOUT": "zh-CN", "HANDOUT_EN": "en"}  # of each file
PAGE = """<!DOCTYPE html>
<html lang="{language}">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>GPT Teacher</title>
<style>
@page {{ size: A4; margin: 12mm }}
body {{ font: 11pt/1.5 system-ui, "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif;
       max-width: 186mm; margin: auto; padding: 0 2mm }}
h1 {{ font-size: 17pt; margin: 0 }}
h2 {{ font-size: 13pt; margin: 4mm 0 1mm }}
ul {{ margin: 0; padding-left: 6mm }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ border: 1px solid #000; padding: 1.5mm 2mm; height: 7mm; text-align: left }}
@media print {{ a {{ display: none }} }}
</style>
{body}</html>
"""


def main() -> int:
    """Write both. 主程序。"""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    for name in LANGUAGES:
        write_text(DOCS / f"{name}.html", page(name))
    return DONE


def page(name: str) -> str:
    """Return the page of a hand-out. 讲义的网页。"""
    text = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    body = MarkdownIt("commonmark").enable("table").render(text)
    return PAGE.format(language=LANGUAGES[name], body=body)


if __name__ == "__main__":
    run(main)
