"""Errors that a user can mend. 用户能自己改正的错误。

    GPTTeacherError
    ├── ConfigError        config.yaml or --set: every problem at once
    ├── DataError          a training, validation or text file
    ├── TokenizerError     a tokenizer is missing, broken, or does not fit the checkpoint
    ├── CheckpointError    a checkpoint folder is missing, incomplete, damaged or not writable
    ├── PromptError        a question that the model cannot take
    ├── TrainingError      the run cannot go on (the loss is not a number)
    └── HubError           the Hub, the network or an account does not do what was asked

Each message names the file, the place, the value and the remedy. The commands print it alone,
without a traceback, and exit with 2.
"""

import reprlib

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxtuple = 2, 10, 10
_SHORT.maxstring = _SHORT.maxother = 80


def shown(value: object) -> str:
    """Return a value of a file for a message, cut short. 消息里的值。

    A few lines of YAML with aliases can be a list of millions.
    """
    try:
        return _SHORT.repr(value)
    except ValueError:  # thousands of digits
        return "a number beyond all measure"


class GPTTeacherError(Exception):
    """Anything that the user can mend. 用户可改正的错误的总类。"""


class ConfigError(GPTTeacherError):
    """Problems of a configuration, all of them. 配置有误。"""

    def __init__(self, problems: list[str]) -> None:
        """Join the problems, a line each. 一行一个问题。"""
        self.problems = problems
        super().__init__("\n".join(problems))


class DataError(GPTTeacherError):
    """A data file that cannot be used as it is. 数据文件有误。"""


class TokenizerError(GPTTeacherError):
    """A tokenizer that is missing, broken or another one. 分词器有误。"""


class CheckpointError(GPTTeacherError):
    """A checkpoint folder that cannot be read or written. 检查点有误。"""


class PromptError(GPTTeacherError):
    """A question that does not fit the model. 问题不合要求。"""


class TrainingError(GPTTeacherError):
    """A run that cannot go on. 训练无法继续。"""


class HubError(GPTTeacherError):
    """The Hub, the way to it or an account refuses. 与 Hub 打交道失败。"""

    def __init__(self, message: str, status: int | None = None, unreachable: bool = False) -> None:
        """Keep, beside the message, what kind of failure it is. 失败的种类。"""
        super().__init__(message)
        self.status = status  # HTTP status of the answer, if one came
        self.unreachable = unreachable  # no answer, or a fault of the Hub: it may pass
