"""Publish a trained model on the Hugging Face Hub, with its card. 把模型发布到 Hub。

hf auth login
python -m scripts.push_to_hub --repo-id USER/NAME
python -m scripts.push_to_hub --repo-id USER/NAME --dry-run      write the folder, publish nothing
"""

from __future__ import annotations

import argparse
from pathlib import Path

from gpt_teacher import default_checkpoint, open_origin
from gpt_teacher.card.facts import CardFacts
from gpt_teacher.config import Config
from gpt_teacher.errors import HubError
from gpt_teacher.hub.connection import (
    check_may_publish,
    look_up_account,
    repo_id_of,
)
from gpt_teacher.hub.files import files_in
from gpt_teacher.hub.folder import asker, make_folder
from gpt_teacher.hub.push import Published, PushOptions, Repository, publish, pulled_back
from scripts.command_line import DONE, make_parser, read_config, run, say


def main() -> int:
    """Look before, make the folder, publish it, fetch it back. 主程序。"""
    arguments = parse()
    config = read_config(arguments)
    repo_id = wanted_repo(arguments, config)
    options = PushOptions(arguments.tag, arguments.private, arguments.create_pr, arguments.force)
    if not arguments.dry_run:
        check_may_publish(look_up_account(say), repo_id, arguments.create_pr)
    folder, facts = make_folder(source(arguments, config), repo_id, arguments.output)
    if arguments.dry_run:
        show_plan(folder, repo_id)
        return DONE
    published = publish(folder, Repository(repo_id), options, say)
    if not published.changed:
        say("没有变化，不用上传 / nothing to upload: the Hub has it already")
    check_answer(published, folder, facts)
    print(f"{published.address} @ {published.commit[:7]}")
    return DONE


def parse() -> argparse.Namespace:
    """Return the options. 选项。"""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--repo-id", metavar="USER/NAME", help="where to; default: hub.repo_id of the config")
    add("--checkpoint", type=Path, metavar="FOLDER", help="default: checkpoints, else pretrained")
    add("--dry-run", action="store_true", help="write the folder and the plan; needs no network")
    add("--output", type=Path, metavar="FOLDER", help="default: runs/hub/USER/NAME")
    add("--tag", metavar="NAME", help="give this version a name, e.g. v1")
    add("--private", action="store_true", help="a new repository is for you alone")
    add("--create-pr", action="store_true", help="propose it to somebody else's repository")
    add("--force", action="store_true", help="publish over whatever is there; move a tag")
    return parser.parse_args()


def wanted_repo(arguments: argparse.Namespace, config: Config) -> str:
    """Return the repository to publish to. 目标仓库。Raises HubError."""
    name = arguments.repo_id or config.hub.repo_id
    if name is None:
        raise HubError("where to? Give --repo-id USER/NAME; USER is your name on the Hub")
    return repo_id_of(name)


def source(arguments: argparse.Namespace, config: Config) -> Path:
    """Return the run to publish: the user's own if there is one, else the shipped one. 来源。"""
    return arguments.checkpoint or default_checkpoint(config).parent


def show_plan(folder: Path, repo_id: str) -> None:
    """Tell what would be published. 发布计划。"""
    for path in files_in(folder):
        print(f"{(folder / path).stat().st_size:>12,}  {path}")
    print(f"{folder}: to be published as {repo_id}; nothing was published (--dry-run)")


def check_answer(published: Published, folder: Path, facts: CardFacts) -> None:
    """Fetch it back, compare it, and ask it a question of the card. 拉回来再问一次。"""
    with pulled_back(published, folder, say) as pulled:
        ask = asker(open_origin(pulled))
    for sample in facts.samples[:1]:
        answer = ask(sample.question).text
        if answer != sample.answer:
            said = f"answers {sample.question!r} with {answer!r}, not {sample.answer!r}"
            raise HubError(f"what was fetched back {said}")
        say(f"拉回核对无误 / fetched back and checked: {sample.question} → {answer}")


if __name__ == "__main__":
    run(main, nothing_to_save=True)
