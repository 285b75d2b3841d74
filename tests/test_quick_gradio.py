"""gradio is imported without the stubs that it writes, and is whole."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys

from conftest import ROOT

PROGRAM = """
import ast, inspect
parsed, parse, getfile = [], ast.parse, inspect.getfile
def counted(source, *arguments, **options):
    parsed.append(source)
    return parse(source, *arguments, **options)
ast.parse = counted
from gpt_teacher.views.quick_gradio import gr
assert inspect.getfile is getfile
print(sum("class Slider(" in str(source) for source in parsed), gr.Slider(1, 5).maximum)
"""


def test_no_component_is_parsed_and_all_are_there() -> None:
    said = subprocess.check_output([sys.executable, "-c", PROGRAM], cwd=ROOT, text=True)
    assert said.split() == ["0", "5"]


def test_its_classes_have_their_sources_again() -> None:
    from gpt_teacher.views.quick_gradio import gr

    assert inspect.getfile(gr.Slider).endswith("slider.py")


NO_MATPLOTLIB = """
import importlib.util, sys
find_spec, looked_for = importlib.util.find_spec, []
importlib.util.find_spec = lambda *which: None if which == ("matplotlib",) else find_spec(*which)
from gpt_teacher.views.quick_gradio import gr
class Finder:
    find_spec = staticmethod(lambda name, path=None, target=None: looked_for.append(name))
sys.meta_path.insert(0, Finder())
with gr.utils.MatplotlibBackendMananger():  # around each event
    pass
print(looked_for)
"""


def test_a_matplotlib_that_is_not_there_is_not_looked_for_at_each_event() -> None:
    said = subprocess.check_output([sys.executable, "-c", NO_MATPLOTLIB], cwd=ROOT, text=True)
    assert said.strip() == "[]"


BEHIND_A_PROXY = """
import os
from gpt_teacher.views.quick_gradio import gr
print("no_proxy" in os.environ)
"""


def test_it_is_imported_behind_a_socks_proxy() -> None:
    """Found here: an HTTP client, made and not used, asked for a package that is not there."""
    environment = {**os.environ, "all_proxy": "socks5://127.0.0.1:9"}
    environment.pop("no_proxy", None)
    environment.pop("NO_PROXY", None)
    command = [sys.executable, "-c", BEHIND_A_PROXY]
    said = subprocess.check_output(command, cwd=ROOT, env=environment, text=True)
    assert said.strip() == "False"
