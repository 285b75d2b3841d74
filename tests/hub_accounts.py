"""Users of the Hub for tests and their tokens. 账号与令牌。"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["write", "read", "fineGrained"]


@dataclass(frozen=True)
class User:
    """An account. 账号。"""

    name: str
    orgs: tuple[str, ...] = ()
    is_pro: bool = False


@dataclass(frozen=True)
class Token:
    """What a user lets a program do. 访问令牌。"""

    user: User
    role: Role
    writable: tuple[str, ...] = ()  # repositories or namespaces, if fine-grained

    def may_read(self, repo_id: str) -> bool:
        return repo_id.split("/")[0] in (self.user.name, *self.user.orgs)

    def may_write(self, repo_id: str) -> bool:
        if self.role == "fineGrained":
            return repo_id in self.writable or repo_id.split("/")[0] in self.writable
        return self.role == "write" and self.may_read(repo_id)

    @property
    def may_propose(self) -> bool:
        """Whether it may open pull requests, wherever it may not write. 可提合并请求。"""
        return self.role == "write"

    def identity(self) -> dict[str, object]:
        """The answer to `whoami`. 身份。"""
        access: dict[str, object] = {"displayName": "class", "role": self.role}
        if self.role == "fineGrained":
            scopes = [_scope("user", self.user.name, ["repo.content.read"])] + [
                _scope("model" if "/" in name else "user", name, ["repo.write"])
                for name in self.writable
            ]
            access["fineGrained"] = {"canReadGatedRepos": False, "global": [], "scoped": scopes}
        return {
            "type": "user",
            "id": "1",
            "name": self.user.name,
            "fullname": self.user.name,
            "email": f"{self.user.name}@example.org",
            "isPro": self.user.is_pro,
            "orgs": [
                {"type": "org", "name": org, "fullname": org, "roleInOrg": "write"}
                for org in self.user.orgs
            ],
            "auth": {"type": "access_token", "accessToken": access},
        }


def _scope(kind: str, name: str, permissions: list[str]) -> dict[str, object]:
    return {"entity": {"_id": "1", "type": kind, "name": name}, "permissions": permissions}


TEACHER = User("teacher", orgs=("class-3",))
TOKENS = {
    "hf_write": Token(TEACHER, "write"),
    "hf_read": Token(TEACHER, "read"),
    "hf_fine_read": Token(TEACHER, "fineGrained"),
    "hf_fine_write": Token(TEACHER, "fineGrained", writable=("teacher/lesson",)),
    "hf_student": Token(User("student"), "write"),
    "hf_pro": Token(User("principal", is_pro=True), "write"),
}
