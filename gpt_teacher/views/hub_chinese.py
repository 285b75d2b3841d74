"""Why a model was not published -> the same in Chinese. 没有发布成功的原因，用中文说。

The sentences of gpt_teacher.hub speak to whoever reads a terminal; these name what a visitor of the
page can do. A sentence that is not known here is shown as it is.
"""

from __future__ import annotations

import re

from gpt_teacher.views.chinese import translated

LOG_IN = "登录（本机：在终端运行 hf auth login；Space：用上面的登录按钮），再发布一次"
SENTENCES = [
    (re.compile(f".*?{pattern}"), chinese)  # behind what was being done
    for pattern, chinese in (
        # ---- the name and the account
        (
            r"(.+) is not the name of a repository;",
            "{0} 不能做仓库名：请用英文字母、数字和 - _ .，例如 gpt-teacher-demo",
        ),
        (
            r"(.+) is the address of a (?:dataset|space), not",
            "{0} 不是模型的网址：请只写仓库名，例如 gpt-teacher-demo",
        ),
        (
            r"(\S+) is not yours: you may publish as (.+); use",
            "不能发布到 {0} 名下，你的账号是 {1}：仓库名前面不用写账号",
        ),
        (
            r"(\S+) is public already; .* (\S+/settings),",
            "{0} 早已公开：请在 {1} 改成私有，或者不勾选“只有我能看到”",
        ),
        (
            r"(\S+) holds other files, no model of this project \((.+)\);",
            "{0} 里有别的文件（{1}），没有动它：请换一个仓库名",
        ),
        (r"no token on this machine;", f"还没有登录 Hub：请先{LOG_IN}"),
        (r"does not accept the token", f"Hub 不认这次登录，可能已经过期：请重新{LOG_IN}"),
        (
            r"the token (?:of \S+ )?may only read",
            "这个令牌只能读：请在 Hub 的设置页新建一个可写（write）的令牌，再登录",
        ),
        (r"this account may not do that", "这个账号无权发布：请换一个账号登录"),
        (r"asks for a paid account", "Hub 说这要付费账号：请换一个账号，或者发布成公开的"),
        # ---- the way to the Hub
        (r"HF_HUB_OFFLINE is set", "这台机器设成了离线（HF_HUB_OFFLINE）：取消后重新打开小老师"),
        (
            r"(\S+) is a mirror for reading only",
            "{0} 是镜像，只能下载：取消 HF_ENDPOINT 后重新打开小老师",
        ),
        (r"(\S+) does not answer;", "{0} 没有回应：请检查网络，过一会儿再发布一次"),
        (r"no way to (\S+) \(", "连不上 {0}：请检查网络，再发布一次"),
        (
            r"(\S+) is no Hub, or a login page",
            "{0} 回的不是 Hub 的内容，可能是网络的登录页：请先在浏览器里登录网络，再发布一次",
        ),
        # ---- the Hub itself; trying again is safe
        (r"too many requests", "这个网络向 Hub 发的请求太多：等几分钟，再发布一次"),
        (r"the Hub has a fault \(HTTP (\d+)\)", "Hub 出了故障（HTTP {0}）：过一会儿再发布一次"),
        (r"uploading a file has expired", "上传的地址过期了：再发布一次就好"),
        (r"no such repository, or it is private", "仓库中途不见了，或者无权查看：再发布一次"),
        (
            r"(\S+) has changed meanwhile:",
            "{0} 刚被别人改过，没有覆盖它：请看一看，再发布一次就会盖过去",
        ),
        (r"the Hub answers HTTP (\d+)", "Hub 回答 HTTP {0}：再发布一次，还不行就换个仓库名"),
        # ---- this machine
        (r"cannot write (.+?): ", "{0} 写不进去：请腾出磁盘空间，再发布一次"),
    )
]


def in_chinese(message: str) -> str:
    """Return why publishing failed, in Chinese. 译成中文。"""
    return translated(message, SENTENCES)
