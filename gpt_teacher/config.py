"""config.yaml -> frozen dataclasses, strictly. 读取配置，严格检查。

Unknown keys, wrong types and impossible values are all reported together, each with the file, the
key, the value, what is allowed and, for a misspelt key, the nearest known one. `--set
section.key=value` goes through the same checks. A run saves the configuration that it really
used.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_origin, get_type_hints

import yaml

from gpt_teacher.errors import ConfigError, shown
from gpt_teacher.strict import build, convert, did_you_mean, load_yaml, parse_sections

Check = tuple[str, bool, str]  # key, whether its value is fine, what is allowed


class Section:
    """One section of config.yaml; checks itself when it is made. 配置的一节。"""

    def checks(self) -> list[Check]:
        """Return (key, ok, allowed) for each rule beyond the type. 取值范围。"""
        return []

    def __post_init__(self) -> None:
        """Raise ConfigError with every value of a wrong type, else out of range. 检查类型与范围。

        The types are those of config.yaml: one text stands for a list of it.
        """
        problems = []
        for key, hint in get_type_hints(type(self)).items():
            value = getattr(self, key)
            try:
                object.__setattr__(self, key, convert(value, hint))
            except ValueError as error:
                problems.append(f"{key}: {shown(value)} is not allowed; it must be {error}")
        problems += [
            f"{key}: {shown(getattr(self, key))} is not allowed; it must be {allowed}"
            for key, ok, allowed in ([] if problems else self.checks())
            if not ok
        ]
        if problems:
            raise ConfigError(problems)


@dataclass(frozen=True)
class ModelConfig(Section):
    """Shape of the network. 模型的形状。"""

    n_layer: int = 4
    n_head: int = 4
    n_embd: int = 256
    seq_len: int = 128  # longest sequence, in tokens
    dropout: float = 0.0
    position: Literal["rope", "learned"] = "rope"

    @property
    def head_dim(self) -> int:
        """Width of one attention head. 每个注意力头的宽度。"""
        return self.n_embd // self.n_head

    def checks(self) -> list[Check]:
        """See Section. 取值范围。"""
        rope_ok = self.position != "rope" or self.n_head < 1 or self.head_dim % 2 == 0
        divisible = self.n_head < 1 or self.n_embd % self.n_head == 0
        return [
            ("n_layer", self.n_layer >= 1, "1 or more"),
            ("n_layer", self.n_layer <= 1_000, "1000 at most"),
            ("n_head", self.n_head >= 1, "1 or more"),
            ("n_embd", self.n_embd >= 1, "1 or more"),
            ("n_embd", self.n_embd <= 100_000, "100000 at most"),
            ("n_embd", divisible, f"divisible by n_head = {self.n_head}"),
            ("n_embd", rope_ok or not divisible, "an even number for each head (RoPE turns pairs)"),
            ("seq_len", self.seq_len >= 8, "8 or more tokens"),
            # The rotations of all positions are tabulated, also for a stranger's model.
            ("seq_len", self.seq_len <= 65_536, "65536 tokens at most"),
            ("dropout", 0.0 <= self.dropout < 1.0, "at least 0 and below 1"),
        ]


@dataclass(frozen=True)
class TrainingConfig(Section):
    """How the weights are learnt. 训练方式。"""

    batch_size: int = 32  # sequences per update
    micro_batch: int = 32  # sequences per forward and backward pass
    optimizer: Literal["muon", "adamw"] = "muon"
    lr: float = 4.5e-3  # peak learning rate, reached after warmup_steps updates
    muon_lr: float = 0.01  # the same for the matrices of the blocks, with muon
    min_lr_ratio: float = 0.02  # the last learning rate, as a share of the peak
    weight_decay: float = 0.01
    beta2: float = 0.99  # decay of AdamW's mean of squared gradients
    max_grad_norm: float = 1.0
    question_weight: float = 0.0  # at first, of a question's own tokens; an answer's have 1
    label_smoothing: float = 0.0  # share of a target spread over all tokens at the start; fades
    max_steps: int = 4_800  # updates; --minutes plans them from the clock instead
    warmup_steps: int = 30
    eval_interval: int = 100  # updates between evaluations; the state is saved then, too
    early_stop: int = 0  # evaluations without a better val loss before stopping; 0 = never
    save_dir: str = "checkpoints"
    seed: int = 42
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = (
        "auto"  # of matrix products; weights: float32
    )
    threads: int = 0  # CPU threads; 0 = one for each physical core
    probe_questions: tuple[str, ...] = ()  # asked at each evaluation; () = some from the data

    def checks(self) -> list[Check]:
        """See Section. 取值范围。"""
        return [
            ("batch_size", self.batch_size >= 1, "1 or more sequences"),
            ("micro_batch", self.micro_batch >= 1, "1 or more sequences"),
            ("lr", self.lr > 0, "above 0"),
            ("muon_lr", self.muon_lr > 0, "above 0"),
            ("min_lr_ratio", 0 <= self.min_lr_ratio <= 1, "from 0 to 1"),
            ("weight_decay", self.weight_decay >= 0, "0 or more"),
            ("beta2", 0 < self.beta2 < 1, "between 0 and 1"),
            ("max_grad_norm", self.max_grad_norm > 0, "above 0"),
            ("question_weight", 0 <= self.question_weight <= 1, "from 0 to 1"),
            ("label_smoothing", 0 <= self.label_smoothing < 1, "at least 0 and below 1"),
            ("max_steps", self.max_steps >= 1, "1 or more updates"),
            ("warmup_steps", self.warmup_steps >= 0, "0 or more updates"),
            ("eval_interval", self.eval_interval >= 1, "1 or more updates"),
            ("early_stop", self.early_stop >= 0, "0 (never) or more evaluations"),
            ("save_dir", bool(self.save_dir.strip()), "the name of a folder"),
            ("seed", 0 <= self.seed < 2**31, "from 0 to 2147483647"),
            ("threads", 0 <= self.threads <= 1024, "from 0 (automatic) to 1024"),
        ]


@dataclass(frozen=True)
class DataConfig(Section):
    """Where the text comes from. 数据来源。"""

    train_path: str = "data/train.jsonl"
    val_path: str | None = "data/val.jsonl"
    unknown_path: str | None = (
        None  # questions to be answered with 不知道, taught along with train_path
    )
    unknown_share: float = 0.33  # of the training samples, if there are unknown questions
    test_path: str | None = None  # other wordings again, for the exam at the end
    unknown_val_path: str | None = None  # other unknown questions; the refusal is fitted on them
    unknown_test_path: str | None = None  # and others again, for the exam at the end
    format: Literal["instruct", "lm"] = "instruct"
    keep_duplicates: bool = False
    noise: float = 0.0  # share of noisy training questions at the start; fades on the way
    short_answers: float = 0.0  # share of samples cut after the answer's first tokens; fewer later
    val_fraction: float = 0.1  # lm without val_path: the last share of the text is for validation
    cache_dir: str = "runs/cache"  # encoded lm text

    def checks(self) -> list[Check]:
        """See Section. 取值范围。"""
        return [
            ("train_path", bool(self.train_path.strip()), "the name of a file"),
            ("unknown_share", 0 <= self.unknown_share < 1, "at least 0 and below 1"),
            ("noise", 0 <= self.noise <= 1, "from 0 to 1"),
            ("short_answers", 0 <= self.short_answers <= 1, "from 0 to 1"),
            ("val_fraction", 0 < self.val_fraction < 1, "between 0 and 1"),
        ]


@dataclass(frozen=True)
class TokenizerConfig(Section):
    """How text becomes ids. 分词器。"""

    type: Literal["hf_tokenizers", "sentencepiece", "char"] = "hf_tokenizers"
    path: str = "tokenizer/tokenizer.json"
    vocab_size: int = 824  # tokens to learn, special ones included; `char` takes what the text has

    def checks(self) -> list[Check]:
        """See Section. 取值范围。"""
        enough = self.type == "char" or self.vocab_size >= 260
        return [
            ("path", bool(self.path.strip()), "the name of a file"),
            ("vocab_size", enough, "260 or more: 256 bytes and 4 special tokens"),
            ("vocab_size", self.vocab_size <= 1_000_000, "1000000 at most"),
        ]


@dataclass(frozen=True)
class SamplingConfig(Section):
    """How the next token is chosen. 采样方式。"""

    temperature: float = 0.0  # 0 = always the likeliest token
    top_k: int = 0  # keep the k likeliest tokens; 0 = all
    top_p: float = 1.0  # keep the likeliest tokens that together reach this probability; 1 = all
    repetition_penalty: float = 1.0  # above 1: tokens of the answer so far become less likely
    min_new_tokens: int = 1  # the answer does not end before
    max_new_tokens: int = 120
    stop: tuple[str, ...] = ()  # the answer ends before the first of these texts
    refusal: bool = True  # False = the model must say something, sure or not
    refuse_below: float | None = None  # probability; None = as fitted after training
    seed: int = 42

    def checks(self) -> list[Check]:
        """See Section. 取值范围。"""
        warm = 0.01 <= self.temperature <= 100  # less makes the logits infinite
        return [
            ("temperature", warm or self.temperature == 0, "0 (greedy), or from 0.01 to 100"),
            ("top_k", self.top_k >= 0, "0 (off) or more"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1 (off)"),
            ("repetition_penalty", 0 < self.repetition_penalty <= 100, "above 0, at most 100"),
            ("min_new_tokens", self.min_new_tokens >= 0, "0 or more tokens"),
            ("max_new_tokens", self.max_new_tokens >= 1, "1 or more tokens"),
            (
                "max_new_tokens",
                self.max_new_tokens >= self.min_new_tokens,
                "min_new_tokens or more",
            ),
            ("stop", all(self.stop), "texts that are not empty"),
            (
                "refuse_below",
                self.refuse_below is None or 0 <= self.refuse_below <= 1,
                "from 0 (never) to 1, or null",
            ),
            ("seed", 0 <= self.seed < 2**63, "from 0 to 9223372036854775807"),
        ]


@dataclass(frozen=True)
class HubConfig(Section):
    """The Hugging Face Hub. 模型仓库。"""

    repo_id: str | None = None  # USER/NAME: what the page serves; None = models of this machine
    revision: str | None = None  # branch, tag or commit of it; None = the newest
    offline: bool = False  # True = only what has been downloaded before

    def checks(self) -> list[Check]:
        """See Section. 取值范围。"""
        has_owner = self.repo_id is None or self.repo_id.count("/") == 1
        return [("repo_id", has_owner, "USER/NAME, or null")]


@dataclass(frozen=True)
class AppConfig(Section):
    """The web page. 网页。"""

    host: str = "127.0.0.1"  # 0.0.0.0 lets the whole classroom network in
    port: int = 0  # 0 = the first free one from 7860
    language: Literal["zh", "en"] = "zh"
    training: bool = True  # visitors may train on this machine, one at a time

    def checks(self) -> list[Check]:
        """See Section. 取值范围。"""
        return [("port", 0 <= self.port <= 65535, "from 0 (automatic) to 65535")]


@dataclass(frozen=True)
class Config:
    """The whole of config.yaml. 全部配置。"""

    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    data: DataConfig = field(default_factory=DataConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    hub: HubConfig = field(default_factory=HubConfig)
    app: AppConfig = field(default_factory=AppConfig)

    def to_yaml(self) -> str:
        """Return YAML that load_config reads back to an equal Config. 写成 YAML。"""
        sections = {
            name: {k: list(v) if isinstance(v, tuple) else v for k, v in section.items()}
            for name, section in asdict(self).items()
        }
        return yaml.safe_dump(sections, allow_unicode=True, sort_keys=False)


SECTIONS: dict[str, type[Section]] = {
    "model": ModelConfig,
    "training": TrainingConfig,
    "data": DataConfig,
    "tokenizer": TokenizerConfig,
    "sampling": SamplingConfig,
    "hub": HubConfig,
    "app": AppConfig,
}


def load_config(path: Path, overrides: list[str] | None = None) -> Config:
    """Read a config file, then the `--set` overrides. 读取配置文件与 --set。

    Raises ConfigError with every problem found, a line each.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError([f"{path}: no such file; give one with --config FILE"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: cannot be read as UTF-8 text: {error}"]) from None
    return parse_config(text, str(path), overrides)


def parse_config(text: str, source: str, overrides: list[str] | None = None) -> Config:
    """Return the configuration written in a text; source names it in errors. 解析配置。"""
    problems: list[str] = []
    values = parse_sections(text, source)
    places = {f"{section}.{key}": source for section, keys in values.items() for key in keys}
    for override in overrides or []:
        _apply_override(override, values, places, problems)
    set_by_hand = {key for key, place in places.items() if place.startswith("--set")}
    data = values.get("data", {})
    if "data.train_path" in set_by_hand:
        for key in ("val_path", "test_path"):
            if f"data.{key}" not in set_by_hand:
                # The file's val_path belongs to the file's train_path, not to the user's own data.
                data[key] = None
    elif Path(str(data.get("train_path", ""))) not in (Path(), Path(DataConfig.train_path)):
        data.setdefault("val_path", None)  # nor does the default one belong to another train_path
    sections: dict[str, Any] = {}
    for name, given in values.items():
        if name not in SECTIONS:
            place = next((places[f"{name}.{key}"] for key in given), source)
            near = did_you_mean(str(name), [*SECTIONS])
            problems.append(f"{place}: unknown section {shown(name)}{near}")
            continue
        sections[name], found = build(SECTIONS[name], given)
        for key, problem in found:
            problems.append(f"{places.get(f'{name}.{key}', source)}: {name}.{problem}")
    if problems:
        raise ConfigError(problems)
    return Config(**sections)


def _apply_override(
    override: str,
    values: dict[str, dict[str, Any]],
    places: dict[str, str],
    problems: list[str],
) -> None:
    """Write one `section.key=value` into values. 应用一条 --set。"""
    name, equals, text = override.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot and key):
        problems.append(
            f"--set {override}: expected section.key=value, as in training.max_steps=50"
        )
        return
    try:
        values.setdefault(section, {})[key] = _read_override(text, section, key)
    except ValueError as error:
        problems.append(f"--set {override}: {error}")
    places[f"{section}.{key}"] = f"--set {override}"


def _read_override(text: str, section: str, key: str) -> Any:
    """Return the value of a `--set`: text where text is wanted, else YAML. 读取 --set。

    ValueError says what is wrong with it.
    """
    hints = get_type_hints(SECTIONS[section]) if section in SECTIONS else {}
    if hints.get(key) in (int, float):
        return text.strip().strip("'\"")  # YAML reads 010 as 8, and 1:30 as 90
    try:
        value = load_yaml(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        if get_origin(hints.get(key)) is tuple and re.fullmatch(r"\s*\[.*\]\s*", text, re.DOTALL):
            raise ValueError("no list; put each text in quotes: ['…', '…']") from None
        return text  # a Windows path or a stop text such as `[` is no YAML, but fine as text
    if hints.get(key) is bool or value is None or isinstance(value, list):
        return value
    is_quoted = text.strip()[:1] in ("'", '"')
    return value if is_quoted else text.strip()  # YAML reads 007 as 7, `用户:` as a mapping
