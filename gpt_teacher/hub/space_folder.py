"""The folder of a Space: the app, the package, and which model it serves. 应用空间的文件夹。

A Space is public: what a user keeps beside the project, data above all, stays at home. The app's
own requirement of gradio is left out: the Space installs `sdk_version`, the same.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from gpt_teacher.card.layout import CARD_FILE
from gpt_teacher.checkpoint import load_checkpoint
from gpt_teacher.config import Config
from gpt_teacher.errors import HubError
from gpt_teacher.hub.files import RemoteFiles, belongs, write_folder
from gpt_teacher.hub.folder import FOLDERS, without_paths
from gpt_teacher.hub.push import Repository
from gpt_teacher.text_files import file_sha256

ROOT = Path(__file__).parent.parent.parent
APP_FILE = "app.py"
REQUIREMENTS = "requirements.txt"
CODE = (  # the app and what it imports
    APP_FILE,
    "LICENSE",
    "scripts/__init__.py",
    "scripts/command_line.py",
    "scripts/model_options.py",
    "scripts/page_models.py",
    "scripts/streams.py",
    "gpt_teacher/**/*.py",
)
FALLBACK = "pretrained/last"  # the model that serves if the wanted one cannot be opened
SHIPPED_TOKENIZER = "tokenizer/tokenizer.json"
MARK = "gpt_teacher/hub/space_folder.py"  # a folder that holds it was made here
PYTHON_VERSION = "3.12.12"  # one of the two that ZeroGPU has
CARD_TEXT = """\
# GPT 小老师 · GPT Teacher

一个从零训练的中文小模型，可以提问、看训练回放。
模型：[{model}]({model_page})，提交 `{commit}`。
回答可能出错，请自己判断。

A tiny Chinese GPT, trained from zero; ask it, watch how it learnt. It can be wrong: judge for
yourself."""


def make_space_folder(
    space: Repository, model: Repository, files: RemoteFiles, config: Config, output: Path | None
) -> Path:
    """Write the folder of a Space that serves this commit of a model, return it. 生成文件夹。

    Raises HubError if the folder cannot be written.
    """
    contents = project_files(ROOT)
    wanted = space_config(config, model.repo_id, files.commit).to_yaml().encode()
    contents["config.yaml"] = without_paths("config.yaml", wanted)
    gradio, others = split_requirements((ROOT / REQUIREMENTS).read_text(encoding="utf-8"))
    contents[REQUIREMENTS] = others.encode()
    body = CARD_TEXT.format(model=model.repo_id, model_page=model.address, commit=files.commit[:7])
    contents[CARD_FILE] = f"{space_front_matter(model.repo_id, files, gradio)}\n{body}\n".encode()
    folder = output or FOLDERS / "spaces" / space.repo_id
    write_folder(folder, contents, MARK if output else None)
    return folder


def project_files(root: Path) -> dict[str, bytes]:
    """Read the app, its code, and the shipped model with its data, nothing else. 项目自己的文件。

    Raises HubError if this is no copy of the project.
    """
    missing = [name for name in (APP_FILE, REQUIREMENTS) if not (root / name).is_file()]
    if missing:
        raise HubError(
            f"{' and '.join(missing)} missing in {root}; run the command in a copy of the project"
        )
    paths = [
        path
        for pattern in (*CODE, f"{FALLBACK}/*")
        for path in sorted(root.glob(pattern))
        if not any(part.startswith(".") for part in path.relative_to(root).parts)
    ]
    code = [path for path in paths if path.suffix == ".py" or belongs(path.name)]
    files = [*code, *shipped_data(root)]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def shipped_data(root: Path) -> list[Path]:
    """Return data files and tokenizer if they are the shipped model's, unchanged. 自带的数据。

    A file of that name with other content is the user's own, and so is any other file there.
    """
    fallback = load_checkpoint(root / FALLBACK)
    splits: dict[str, Any] = fallback.metrics.get("fingerprints", {}).get("data", {})
    known = {root / one["path"]: one["sha256"] for one in splits.values() if "path" in one}
    known[root / SHIPPED_TOKENIZER] = fallback.tokenizer.fingerprint
    inside = {
        p: sha256 for p, sha256 in known.items() if p.resolve().is_relative_to(root.resolve())
    }
    return [p for p, sha256 in inside.items() if p.is_file() and file_sha256(p) == sha256]


def space_config(config: Config, model: str, commit: str) -> Config:
    """Return the configuration of the app in a Space. 空间里的配置。"""
    hub = replace(config.hub, repo_id=model, revision=commit, offline=False)
    return replace(config, hub=hub, app=replace(config.app, host="0.0.0.0", port=7860))


def split_requirements(text: str) -> tuple[str, str]:
    """Return the version of Gradio that the pin begins with, and the other lines. 分开 gradio。"""
    pin = re.search(r"^gradio>=(\d+)\.(\d+)(?:\.(\d+))?,.*\n", text, re.MULTILINE)
    if pin is None:
        raise HubError(f"{REQUIREMENTS} has no line gradio>=X.Y,<Z; put it back")
    major, minor, patch = pin.groups()
    return f"{major}.{minor}.{patch or 0}", text.replace(pin[0], "")


def space_front_matter(model: str, files: RemoteFiles, gradio: str) -> str:
    """Return the YAML block that the Hub builds the Space by. 元数据块。"""
    preloaded = ",".join(path for path in sorted(files.fingerprints) if belongs(path))
    fields = {
        "title": "GPT 小老师",
        "emoji": "🎓",
        "colorFrom": "blue",
        "colorTo": "green",
        "sdk": "gradio",
        "sdk_version": gradio,
        "python_version": PYTHON_VERSION,
        "app_file": APP_FILE,
        "license": "mit",
        "hf_oauth": True,  # who trains a model in the page may log in to publish it
        "hf_oauth_scopes": ["contribute-repos"],  # new repositories; not those that are there
        "short_description": "从零训练的中文小 GPT · a tiny Chinese GPT",
        "tags": ["education", "chinese", "gpt-teacher"],
        "models": [model],
    }
    if preloaded and not files.private:  # private ones cannot be preloaded
        fields["preload_from_hub"] = [f"{model} {preloaded} {files.commit}"]
    return f"---\n{yaml.safe_dump(fields, allow_unicode=True, sort_keys=False, width=1000)}---"
