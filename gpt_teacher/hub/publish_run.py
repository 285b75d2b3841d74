"""A run that was started in the page -> a repository of its visitor. 发布网页上训练的模型。"""

from __future__ import annotations

from gpt_teacher.hub.connection import Say, check_may_publish, look_up_account, repo_id_of
from gpt_teacher.hub.folder import make_folder
from gpt_teacher.hub.login import logged_in
from gpt_teacher.hub.push import Published, PushOptions, Repository, publish
from gpt_teacher.training_files import RunFiles


def publish_run(
    files: RunFiles, name: str, private: bool, token: str | None, say: Say
) -> Published:
    """Publish the model of a run as NAME of whoever the token belongs to. 发布。

    The token is used for this alone; None = the login of this machine. A name with a slash is
    taken as it is. Raises HubError.
    """
    with logged_in(token):
        account = look_up_account(say)
        repo_id = repo_id_of(name if "/" in name else f"{account.name}/{name.strip()}")
        check_may_publish(account, repo_id)
        folder, _ = make_folder(files.model, repo_id, files.published)
        return publish(folder, Repository(repo_id), PushOptions(private=private), say)
