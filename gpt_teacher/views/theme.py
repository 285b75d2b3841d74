"""How the page looks, and how it is served. 页面的样子与启动方式。"""

from __future__ import annotations

import os
from typing import Any

from gpt_teacher.config import AppConfig
from gpt_teacher.views.quick_gradio import gr, without_proxy

# System fonts that have Chinese: nothing is fetched from another host.
FONT = [
    "system-ui",
    "PingFang SC",
    "Microsoft YaHei",
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "sans-serif",
]
MONO = ["ui-monospace", "Consolas", "Noto Sans Mono CJK SC", "monospace"]
# Hidden is Gradio's own list of routes: the page's button for the language keeps the query.
CSS = """
.nav-holder { display: none }
.min_value, .max_value { color: var(--body-text-color) !important }
.dark #inside-tokens .text { color: #fff }
#size-table :is(th, td) { padding: 6px 10px }
#size-table :is(td + td, strong) { white-space: nowrap }
@media (max-width: 600px) { #size-table :is(th, td) { padding: 6px 4px; font-size: 0.8em } }
.label-wrap { min-height: 40px }
.block-info, .info { color: var(--body-text-color-subdued) }
button.gallery-item, button.label-wrap { min-height: 40px; align-items: center }
input[type="range"]::-webkit-slider-thumb { border: 2px solid var(--primary-700) }
input[type="range"]::-moz-range-thumb { border: 2px solid var(--primary-700) }
footer .divider { display: none }
footer .show-api { color: var(--body-text-color) !important; min-height: 40px }
.dark .coloured .token .text { color: #fff }
.coloured .textfield { padding: 0 }
body:not(.dark) button[role="tab"].selected { color: var(--primary-700) }
.prose code { white-space: normal; overflow-wrap: anywhere }
.tab-container button { min-height: 40px }
@media (max-width: 500px) {
    .tab-container button { padding: 0 6px; font-size: 14px }
    .prose table { font-size: var(--text-xs) }
    .prose th, .prose td { padding: var(--spacing-sm) !important }
}
"""


def theme() -> gr.themes.Base:
    """Return the theme: large text, and enough contrast in light and dark. 主题。"""
    return gr.themes.Default(
        primary_hue="blue", secondary_hue="blue", text_size="lg", font=FONT, font_mono=MONO
    ).set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        body_text_color_subdued="*neutral_600",
        block_info_text_color="*neutral_600",
        block_title_text_color="*neutral_700",
        block_label_text_color="*neutral_700",
        slider_color="*primary_700",
    )


def launch(page: gr.Blocks, app: AppConfig, quiet: bool = False) -> str:
    """Serve a page in threads of its own; return its address. 启动网页。

    Gradio asks that address as it starts, which no proxy could reach.
    """
    with without_proxy():
        _, url, _ = page.launch(**_launch_options(app), prevent_thread_lock=True, quiet=quiet)
    return str(url)


def _launch_options(app: AppConfig) -> dict[str, Any]:
    return {
        "server_name": app.host,
        "server_port": app.port or None,
        "theme": theme(),
        "css": CSS,
        "ssr_mode": False,
        "run_history": False,  # on shared computers, nobody's questions are kept
        "enable_monitoring": False,
        "footer_links": ["api"],
        "max_file_size": "4mb",  # each reader has a smaller limit of its own
        "show_error": not os.getenv("SPACE_ID"),
    }
