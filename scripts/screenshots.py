"""Take a picture of each tab of the page: desktop and phone, light and dark. 给网页截图。

python -m scripts.screenshots                          into runs/screenshots
python -m scripts.screenshots --set app.language=en    of the English page
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from gpt_teacher.errors import GPTTeacherError
from gpt_teacher.run_log import LOG_FILE, read_log
from scripts import model_options
from scripts.command_line import DONE, make_parser, read_config, run, say
from scripts.page_models import open_for_page, open_twin

SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
SCHEMES = ("light", "dark")
SETTLE_MILLISECONDS = 1500  # a chart is drawn after its tab is there


def main() -> int:
    """Serve the page, visit it, say where the pictures are. 主程序。"""
    parser = make_parser(__doc__)
    model_options.add(parser)
    parser.add_argument("--output", type=Path, default=Path("runs/screenshots"), metavar="FOLDER")
    arguments = parser.parse_args()
    config = read_config(arguments)
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        raise GPTTeacherError(
            "playwright is not installed; do: pip install -r requirements-dev.txt"
        ) from None
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported
    from gpt_teacher.training_jobs import TrainingJobs
    from gpt_teacher.views.page import HTML_LANG, build_page
    from gpt_teacher.views.quick_gradio import gr
    from gpt_teacher.views.theme import launch

    teacher = open_for_page(arguments, config)
    log = teacher.folder / LOG_FILE
    training_log = read_log(log) if log.exists() else None
    jobs = TrainingJobs(config)
    app = build_page(teacher, training_log, config.app.language, open_twin(teacher), jobs)
    root = [b for b in app.blocks.values() if isinstance(b, gr.Tab) and b.page == ""]
    url = launch(app, config.app, quiet=True)
    try:
        with sync_playwright() as playwright:
            chromium = shutil.which("chromium") or shutil.which("google-chrome")
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            for size, (width, height) in SIZES.items():
                viewport = {"width": width, "height": height}
                page = browser.new_page(viewport=viewport, locale=HTML_LANG[config.app.language])
                for tab in root:
                    for scheme in SCHEMES:
                        page.goto(f"{url}?tab={tab.id}&__theme={scheme}")
                        page.get_by_role("tab", name=tab.label, selected=True).first.wait_for()
                        page.wait_for_timeout(SETTLE_MILLISECONDS)
                        path = arguments.output / f"{tab.id}-{size}-{scheme}.png"
                        page.screenshot(path=path, full_page=True)
                        say(str(path))
    except Error as error:
        raise GPTTeacherError(
            f"no picture: {error.message.splitlines()[0]}; a browser comes with: "
            f"playwright install chromium"
        ) from None
    finally:
        app.close(verbose=False)
    print(arguments.output)
    return DONE


if __name__ == "__main__":
    run(main, nothing_to_save=True)
