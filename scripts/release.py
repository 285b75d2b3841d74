"""Publish a run step by step: exam, card, push, tag, Space; what is current is skipped. 一键发布。

python -m scripts.release --repo-id USER/NAME --tag v1
python -m scripts.release --repo-id USER/NAME --space USER/APP --zero-gpu
"""

from __future__ import annotations

import argparse
from pathlib import Path

from gpt_teacher.hub.connection import (
    check_may_publish,
    look_up_account,
    repo_id_of,
)
from gpt_teacher.hub.folder import make_folder, run_folders
from gpt_teacher.hub.push import PushOptions, Repository, publish
from gpt_teacher.late_exam import take_late_exam
from gpt_teacher.machine import set_threads
from scripts import space_options
from scripts.command_line import DONE, make_parser, read_config, run, say
from scripts.deploy_space import deploy_model
from scripts.push_to_hub import check_answer, source, wanted_repo


def main() -> int:
    """Do each step that is not done yet. 主程序。"""
    arguments = parse()
    config = read_config(arguments)
    model = Repository(wanted_repo(arguments, config))
    app = repo_id_of(arguments.space, "space") if arguments.space else None
    space = Repository(app, "space") if app else None
    options = PushOptions(arguments.tag, arguments.private, force=arguments.force)
    account = look_up_account(say)
    check_may_publish(account, model.repo_id)
    if space is not None:
        check_may_publish(account, space.repo_id, option="--space")
    set_threads(config.training.threads)
    run_folder = source(arguments, config)
    if not take_late_exam(run_folders(run_folder).last, say):
        say("1 考试：已有成绩 / exam: taken already")
    folder, facts = make_folder(run_folder, model.repo_id, None)
    say(f"2 模型卡 / card: {folder / 'README.md'}")
    published = publish(folder, model, options, say)
    if published.changed:
        check_answer(published, folder, facts)
    else:
        say("3 发布：Hub 上已是最新 / push: current already")
    print(f"{published.address} @ {published.commit[:7]}")
    if space is not None:
        deploy_model(space, model, published.commit, config, arguments)
    return DONE


def parse() -> argparse.Namespace:
    """Return the options. 选项。"""
    parser = make_parser(__doc__)
    parser.set_defaults(dry_run=False, output=None)
    add = parser.add_argument
    add("--repo-id", metavar="USER/NAME", help="the model; default: hub.repo_id of the config")
    add("--checkpoint", type=Path, metavar="FOLDER", help="default: checkpoints, else pretrained")
    add("--tag", metavar="NAME", help="give this version a name, e.g. v1")
    add("--private", action="store_true", help="a new repository is for you alone")
    add("--force", action="store_true", help="publish over whatever is there; move a tag")
    add("--space", metavar="USER/NAME", help="put the app online, too")
    space_options.add(parser)
    return parser.parse_args()


if __name__ == "__main__":
    run(main, nothing_to_save=True)
