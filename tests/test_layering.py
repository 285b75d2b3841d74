"""Imports point one way: a module imports only modules of a lower row."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = "gpt_teacher"
PACKAGES = ("card", "hub", "views")  # folders, whose own modules import each other

ROWS = [
    ["errors", "refusal"],
    ["atomic", "strict", "text_encoding"],
    ["config"],
    ["commands"],
    ["tokenizer", "model", "run_log", "text_files", "machine"],
    ["tokenizer_training", "transformers_files", "prompt", "loss", "optim", "quantize", "tables"],
    [
        "batches",
        "distributed",
        "noise",
        "corpus",
        "checkpoint",
        "exam",
        "look_alikes",
        "data_counts",
        "decoder",
        "training_pass",
    ],
    ["questions", "plain_text", "sampler", "data_check", "dataset_card", "similar"],
    ["batched_answers", "expected_answers"],
    ["data", "own_questions", "word_chain", "attention_maps", "parameter_count"],
    ["evaluate"],
    ["final_exam", "trainer"],
    ["run_state", "exam_report", "card"],
    ["stored_report"],
    ["training_run", "late_exam"],
    ["training_files"],
    ["hub", "posttrain", "export"],
    ["training_worker", "training_jobs"],
    ["views"],
]
ROW_OF = {module: number for number, row in enumerate(ROWS) for module in row}
ONLY_IN = {"gradio": "views", "huggingface_hub": "hub", "transformers": "export"}


def _modules() -> list[Path]:
    return sorted(path for path in (ROOT / PACKAGE).rglob("*.py") if path.stem != "__init__")


def _name(path: Path) -> str:
    """errors.py -> errors; views/ask.py -> views."""
    return path.relative_to(ROOT / PACKAGE).with_suffix("").parts[0]


def _imports(path: Path) -> list[str]:
    """All imported modules, also those inside functions; `if TYPE_CHECKING` does not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module]
            if node.module == PACKAGE:
                found += [f"{PACKAGE}.{alias.name}" for alias in node.names]
    return found


@pytest.mark.parametrize("path", _modules(), ids=_name)
def test_a_module_imports_only_lower_rows(path: Path) -> None:
    module = _name(path)
    assert module in ROW_OF, f"{module} has no row in tests/test_layering.py"
    for imported in _imports(path):
        package, _, rest = imported.partition(".")
        if package != PACKAGE or not rest or rest.split(".")[0] not in ROW_OF:
            continue
        other = rest.split(".")[0]
        inside_a_package = module == other and module in PACKAGES
        assert inside_a_package or ROW_OF[other] < ROW_OF[module], f"{module} imports {other}"


@pytest.mark.parametrize("path", _modules(), ids=_name)
def test_each_third_party_library_has_one_door(path: Path) -> None:
    for imported in _imports(path):
        door = ONLY_IN.get(imported.split(".")[0])
        assert door is None or _name(path) == door, f"{path.name} imports {imported}"


@pytest.mark.parametrize("path", _modules(), ids=_name)
def test_the_package_imports_no_script(path: Path) -> None:
    assert not [name for name in _imports(path) if name.split(".")[0] in ("scripts", "app")]


def test_scripts_are_thin() -> None:
    for path in (ROOT / "scripts").glob("*.py"):
        code = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        assert len(code) <= 80, f"{path.name} has {len(code)} lines"


def test_every_package_is_installed() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    named = ast.literal_eval(text.split("\npackages = ")[1].split("\n")[0])
    found = [path.parent.relative_to(ROOT) for path in ROOT.glob("[gs]*/**/__init__.py")]
    assert sorted(named) == sorted(".".join(folder.parts) for folder in found)
