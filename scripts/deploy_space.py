"""Put the app online as a Space that serves a published model. 把网页部署成 Space。

python -m scripts.deploy_space --repo-id USER/NAME --model USER/MODEL --zero-gpu
python -m scripts.deploy_space --repo-id USER/NAME --model USER/MODEL --dry-run
"""

from __future__ import annotations

import argparse
from pathlib import Path

from gpt_teacher.config import Config
from gpt_teacher.errors import HubError
from gpt_teacher.hub.connection import (
    check_may_publish,
    look_up_account,
    prepare_client,
    repo_id_of,
)
from gpt_teacher.hub.files import RemoteFiles, files_in
from gpt_teacher.hub.push import Repository, published_model
from gpt_teacher.hub.space import PRIVATE, deploy, wait_until_running
from gpt_teacher.hub.space_folder import make_space_folder
from scripts import space_options
from scripts.command_line import DONE, make_parser, read_config, run, say


def main() -> int:
    """Look at the model, make the folder, deploy it, wait. 主程序。"""
    arguments = parse()
    config = read_config(arguments)
    prepare_client()
    space = Repository(repo_id_of(arguments.repo_id, "space"), "space")
    model = Repository(wanted_model(arguments, config))
    if not arguments.dry_run:
        check_may_publish(look_up_account(say), space.repo_id)
    revision = arguments.revision or (None if arguments.model else config.hub.revision)
    deploy_model(space, model, revision, config, arguments)
    return DONE


def deploy_model(
    space: Repository,
    model: Repository,
    revision: str | None,
    config: Config,
    arguments: argparse.Namespace,
) -> None:
    """Deploy the app for one commit of a model. 部署。"""
    try:
        files = published_model(model, revision, say)
    except HubError as error:
        if not (arguments.dry_run and error.unreachable):
            raise
        say(f"{error}\nthe folder is written all the same, for {revision or 'main'}")
        files = RemoteFiles(revision or "main", False, {})
    if files.private:
        say(PRIVATE.format(model=model.repo_id, address=space.address))
    folder = make_space_folder(space, model, files, config, arguments.output)
    if arguments.dry_run:
        print(f"{folder}: {len(files_in(folder))} files; nothing was published (--dry-run)")
        return
    variables = {"MODEL_REPO_ID": model.repo_id, "MODEL_REVISION": files.commit}
    deployed = deploy(folder, space, variables, arguments.zero_gpu, say)
    if not deployed.changed:
        say("Space 没有变化 / the Space is current already")
    if arguments.wait > 0:
        wait_until_running(space, deployed.commit, arguments.wait, say)
    print(f"{space.address} · {model.repo_id} @ {files.commit[:7]}")


def wanted_model(arguments: argparse.Namespace, config: Config) -> str:
    """Return the model that the Space is to serve. 要展示的模型。Raises HubError."""
    name = arguments.model or config.hub.repo_id
    if name is None:
        raise HubError("which model? Give --model USER/NAME, as it was published")
    return repo_id_of(name)


def parse() -> argparse.Namespace:
    """Return the options. 选项。"""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--repo-id", required=True, metavar="USER/NAME", help="the Space")
    add("--model", metavar="USER/NAME", help="what it serves; default: hub.repo_id of the config")
    add("--revision", help="branch, tag or commit of the model; default: the newest")
    add("--dry-run", action="store_true", help="write the folder, publish nothing")
    add("--output", type=Path, metavar="FOLDER", help="default: runs/hub/spaces/USER/NAME")
    space_options.add(parser)
    return parser.parse_args()


if __name__ == "__main__":
    run(main, nothing_to_save=True)
