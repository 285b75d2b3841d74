"""Commands that talk to the Hub of the tests, each a process with the real client. 命令。"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from conftest import Commands, Finished
from hub_server import HubServer, client_environment

REPO = "teacher/demo"
LONGEST_SECONDS = 45.0  # whatever goes wrong, a command ends


class HubCommands:
    """Runs `python -m scripts.NAME` in a project, as the owner of a token. 运行命令。

    Every run is checked: it ends in time, prints no traceback and no token.
    """

    def __init__(self, commands: Commands, project: Path, home: Path) -> None:
        self.commands, self.project, self.home = commands, project, home

    def environment(
        self, endpoint: HubServer | str, token: str | None = "hf_write", xet: bool = False
    ) -> dict[str, str]:
        """The variables of such a process; its client has its cache in `home`."""
        return client_environment(endpoint, self.home, token, xet)

    def start(
        self,
        endpoint: HubServer | str,
        name: str,
        *arguments: object,
        token: str | None = "hf_write",
        xet: bool = False,
        **variables: str,
    ) -> int:
        """Return the process id of a command that runs."""
        environment = self.environment(endpoint, token, xet) | variables
        return self.commands.start(name, *arguments, folder=self.project, environment=environment)

    def run(
        self,
        endpoint: HubServer | str,
        name: str,
        *arguments: object,
        token: str | None = "hf_write",
        xet: bool = False,
        **variables: str,
    ) -> Finished:
        """Run a command to its end."""
        started_at = time.monotonic()
        process = self.start(endpoint, name, *arguments, token=token, xet=xet, **variables)
        done = self.checked(self.commands.wait(process), token)
        assert time.monotonic() - started_at < LONGEST_SECONDS
        return done

    def checked(self, done: Finished, token: str | None = "hf_write") -> Finished:
        """What no command may print."""
        output = done.stdout + done.stderr
        assert "Traceback" not in output, output
        assert token is None or token not in output, output
        return done

    def push(self, endpoint: HubServer | str, *arguments: object, **how: object) -> Finished:
        """Run push_to_hub for REPO."""
        return self.run(endpoint, "push_to_hub", "--repo-id", REPO, *arguments, **how)

    def pushed(self, endpoint: HubServer | str, *arguments: object, **how: object) -> Finished:
        """Run push_to_hub for REPO, which goes well."""
        done = self.push(endpoint, *arguments, **how)
        assert done.code == 0, done.stderr
        return done

    def ask(self, endpoint: HubServer | str, *arguments: object, **how: object) -> Finished:
        """Ask the model of REPO a question that it was taught."""
        return self.run(endpoint, "ask", "什么是密度?", "--checkpoint", REPO, *arguments, **how)

    def forget_downloads(self) -> None:
        """Empty the cache of the client."""
        shutil.rmtree(self.home / "hub", ignore_errors=True)
