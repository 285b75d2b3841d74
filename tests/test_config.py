"""config.yaml and --set: what loads, and every message about what does not."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from gpt_teacher.config import (
    SECTIONS,
    Config,
    DataConfig,
    ModelConfig,
    SamplingConfig,
    TrainingConfig,
    load_config,
    parse_config,
)
from gpt_teacher.errors import ConfigError
from gpt_teacher.strict import convert_number, did_you_mean

ROOT = Path(__file__).parent.parent
TEXTS = ["", "魑魅，hello world 🙂", "ＡＢＣ　，", "\r\n\t"]

# The keys that a file of the original project has, with values of our own.
ORIGINAL_FORM = """\
model:
  n_layer: 3
  n_head: 2
  n_embd: 64
  seq_len: 96
  dropout: 0.1
training:
  batch_size: 12
  micro_batch: 4
  lr: 0.0002
  weight_decay: 0.02
  max_steps: 1500
  warmup_steps: 7
  eval_interval: 25
  save_dir: out
  seed: 7
data:
  train_path: mine/train.jsonl
  val_path: mine/val.jsonl
  format: instruct
tokenizer:
  type: hf_tokenizers
  path: mine/tokenizer.json
"""


def _problems(text: str, overrides: list[str] | None = None) -> list[str]:
    """The lines of the error that a text (named mine.yaml) and --set overrides give."""
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "mine.yaml", overrides)
    assert str(caught.value).splitlines() == caught.value.problems
    return caught.value.problems


def test_a_file_of_the_original_project_loads_with_all_its_values(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(ORIGINAL_FORM, encoding="utf-8")
    config = load_config(path)
    for section, values in yaml.safe_load(ORIGINAL_FORM).items():
        for key, value in values.items():
            assert getattr(getattr(config, section), key) == value, f"{section}.{key}"
    # What the file does not name has the documented default, and nothing else is changed.
    expected = asdict(Config())
    for section, values in yaml.safe_load(ORIGINAL_FORM).items():
        expected[section] |= values
    assert asdict(config) == expected


def test_an_empty_file_gives_the_defaults() -> None:
    assert parse_config("", "mine.yaml") == Config()
    assert parse_config("# only a comment\n", "mine.yaml") == Config()


def test_the_shipped_config_names_every_key() -> None:
    written = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    assert list(written) == list(SECTIONS)
    defaults = asdict(Config())
    for section, values in written.items():
        assert set(values) == set(defaults[section]), section
    load_config(ROOT / "config.yaml")


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + ORIGINAL_FORM.replace("\n", "\r\n").encode())
    assert load_config(path) == parse_config(ORIGINAL_FORM, "mine.yaml")


@pytest.mark.parametrize("written", ["3e-4", "3.0e-4", "0.0003", '"3e-4"', "3E-4", "+3e-4"])
def test_the_learning_rate_may_be_written_in_any_way(written: str) -> None:
    for config in (
        parse_config(f"training:\n  lr: {written}\n", "mine.yaml"),
        parse_config("", "mine.yaml", [f"training.lr={written}"]),
    ):
        assert config.training.lr == 0.0003
        assert isinstance(config.training.lr, float)


@pytest.mark.parametrize("written", ["1000", "1e3", "1000.0", '"1000"', "1_000"])
def test_a_whole_number_may_be_written_in_any_way(written: str) -> None:
    config = parse_config(f"training: {{max_steps: {written}}}", "mine.yaml")
    assert config.training.max_steps == 1000
    assert isinstance(config.training.max_steps, int)


def test_a_whole_number_where_a_fraction_may_stand_becomes_a_float() -> None:
    config = parse_config("training: {lr: 1, weight_decay: 0}", "mine.yaml")
    assert (config.training.lr, config.training.weight_decay) == (1.0, 0.0)
    assert isinstance(config.training.lr, float)
    assert isinstance(config.training.weight_decay, float)


def test_a_large_seed_keeps_its_last_digit() -> None:
    for seed in (2**53 + 1, 2**63 - 1):  # a float would round them
        assert parse_config(f"sampling: {{seed: {seed}}}", "mine.yaml").sampling.seed == seed
        assert parse_config("", "mine.yaml", [f"sampling.seed={seed}"]).sampling.seed == seed
    (problem,) = _problems(f"sampling: {{seed: {2**63}}}")
    assert problem.endswith(f"it must be from 0 to {2**63 - 1}")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("model: {n_head: 3.5}", "model.n_head: 3.5 is not allowed; it must be a whole number"),
        ("model: {n_head: four}", "model.n_head: 'four' is not allowed; it must be a whole number"),
        ("model: {n_head: true}", "model.n_head: True is not allowed; it must be a whole number"),
        ("model: {n_head: null}", "model.n_head: None is not allowed; it must be a whole number"),
        ("model: {n_head: [4]}", "model.n_head: [4] is not allowed; it must be a whole number"),
        ("training: {lr: fast}", "training.lr: 'fast' is not allowed; it must be a number"),
        (
            "training: {lr: .inf}",
            "training.lr: inf is not allowed; it must be a number, not infinite or NaN",
        ),
        (
            "training: {lr: .nan}",
            "training.lr: nan is not allowed; it must be a number, not infinite or NaN",
        ),
        ("training: {lr: 0.0}", "training.lr: 0.0 is not allowed; it must be above 0"),
        ("training: {seed: -1}", "training.seed: -1 is not allowed; it must be from 0 to"),
        ("training: {max_steps: 0}", "training.max_steps: 0 is not allowed; it must be 1 or more"),
        (
            "training: {threads: 1025}",
            "training.threads: 1025 is not allowed; it must be from 0 (automatic) to 1024",
        ),
        (
            "training: {beta2: 1.0}",
            "training.beta2: 1.0 is not allowed; it must be between 0 and 1",
        ),
        ("model: {dropout: 1.0}", "model.dropout: 1.0 is not allowed; it must be at least 0 and"),
        ("model: {seq_len: 7}", "model.seq_len: 7 is not allowed; it must be 8 or more tokens"),
        (
            "model: {seq_len: 65537}",
            "model.seq_len: 65537 is not allowed; it must be 65536 tokens at most",
        ),
        (
            "model: {position: rotary}",
            "model.position: 'rotary' is not allowed; it must be one of rope, learned",
        ),
        ("data: {format: chat}", "data.format: 'chat' is not allowed; it must be one of instruct,"),
        (
            "data: {keep_duplicates: 1}",
            "data.keep_duplicates: 1 is not allowed; it must be true or false",
        ),
        ("data: {train_path: ''}", "data.train_path: '' is not allowed; it must be the name of"),
        ("data: {train_path: [a]}", "data.train_path: ['a'] is not allowed; it must be text"),
        (
            "data: {unknown_share: 1.0}",
            "data.unknown_share: 1.0 is not allowed; it must be at least 0 and below 1",
        ),
        (
            "training: {optimizer: sgd}",
            "training.optimizer: 'sgd' is not allowed; it must be one of muon, adamw",
        ),
        ("training: {muon_lr: 0}", "training.muon_lr: 0.0 is not allowed; it must be above 0"),
        (
            "sampling: {refuse_below: 1.5}",
            "sampling.refuse_below: 1.5 is not allowed; it must be from 0 (never) to 1, or null",
        ),
        ("sampling: {refusal: 1}", "sampling.refusal: 1 is not allowed; it must be true or false"),
        ("data: {noise: 1.5}", "data.noise: 1.5 is not allowed; it must be from 0 to 1"),
        ("sampling: {top_p: 0.0}", "sampling.top_p: 0.0 is not allowed; it must be above 0 and at"),
        ("sampling: {stop: [1]}", "sampling.stop: [1] is not allowed; it must be a list of texts"),
        (
            "sampling: {stop: ['。', '']}",
            "sampling.stop: ('。', '') is not allowed; it must be texts that are not empty",
        ),
        (
            "sampling: {min_new_tokens: 9, max_new_tokens: 8}",
            "sampling.max_new_tokens: 8 is not allowed; it must be min_new_tokens or more",
        ),
        (
            "tokenizer: {vocab_size: 259}",
            "tokenizer.vocab_size: 259 is not allowed; it must be 260 or more: 256 bytes and 4",
        ),
        ("app: {port: 65536}", "app.port: 65536 is not allowed; it must be from 0 (automatic) to"),
    ],
)
def test_a_value_that_is_not_allowed_is_named_with_what_is(text: str, problem: str) -> None:
    (found,) = _problems(text)
    assert found.startswith(f"mine.yaml: {problem}")


def test_a_section_made_in_python_takes_the_values_that_the_file_may_have() -> None:
    """Found here: half a k was taken, a text was compared with numbers, and a stop text cut up."""
    for key, value, allowed in (
        ("top_k", 1.5, "a whole number"),
        ("temperature", "warm", "a number"),
        ("stop", {"。": 1}, "a list of texts"),
        ("refusal", "no", "true or false"),
    ):
        with pytest.raises(ConfigError) as caught:
            SamplingConfig(**{key: value})  # type: ignore[arg-type]
        assert str(caught.value) == f"{key}: {value!r} is not allowed; it must be {allowed}"
    given = {"temperature": "0.5", "top_k": 5.0, "stop": "不知道"}
    made = SamplingConfig(**given)  # type: ignore[arg-type]
    assert made == SamplingConfig(temperature=0.5, top_k=5, stop=("不知道",))
    assert isinstance(made.top_k, int)
    assert TrainingConfig(save_dir=Path("a/b")).save_dir == str(Path("a/b"))  # type: ignore[arg-type]
    assert SamplingConfig(stop=["。"]).stop == ("。",)  # type: ignore[arg-type]


def test_the_width_must_divide_among_the_heads() -> None:
    assert _problems("model: {n_embd: 100, n_head: 3}") == [
        "mine.yaml: model.n_embd: 100 is not allowed; it must be divisible by n_head = 3"
    ]
    with pytest.raises(ConfigError, match=r"n_embd: 100 is not allowed.*divisible by n_head = 3"):
        ModelConfig(n_embd=100, n_head=3)


def test_rope_needs_an_even_number_for_each_head_and_learned_positions_do_not() -> None:
    (problem,) = _problems("model: {n_embd: 12, n_head: 4}")
    assert "n_embd: 12 is not allowed; it must be an even number for each head" in problem
    assert ModelConfig(n_embd=12, n_head=4, position="learned").head_dim == 3


def test_no_head_at_all_is_one_problem_and_no_division_by_zero() -> None:
    assert _problems("model: {n_head: 0}") == [
        "mine.yaml: model.n_head: 0 is not allowed; it must be 1 or more"
    ]


def test_a_default_that_does_not_fit_a_given_value_is_a_problem_of_the_file() -> None:
    (problem,) = _problems("model: {n_head: 3}")
    assert problem.endswith("model.n_embd: 256 is not allowed; it must be divisible by n_head = 3")


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("n_heads", "n_head"),
        ("n_layers", "n_layer"),
        ("seqlen", "seq_len"),
        ("drop_out", "dropout"),
    ],
)
def test_a_misspelt_key_is_told_the_nearest_one(key: str, near: str) -> None:
    assert _problems(f"model: {{{key}: 2}}") == [
        f"mine.yaml: model.{key}: unknown key; did you mean {near!r}?"
    ]


def test_a_key_like_none_is_told_all_of_them() -> None:
    (problem,) = _problems("app: {zzz: 2}")
    assert problem == "mine.yaml: app.zzz: unknown key; known are: host, port, language, training"
    assert did_you_mean("learnig_rate", ["lr", "learning_rate"]) == (
        "; did you mean 'learning_rate'?"
    )


def test_a_misspelt_section_is_told_the_nearest_one() -> None:
    assert _problems("trainning: {lr: 1}") == [
        "mine.yaml: unknown section 'trainning'; did you mean 'training'?"
    ]


def test_a_misspelt_section_in_an_override_is_blamed_on_the_override() -> None:
    (problem,) = _problems("", ["trainning.max_steps=50"])
    assert "--set trainning.max_steps=50" in problem
    assert "mine.yaml" not in problem
    assert "did you mean 'training'?" in problem


def test_a_section_named_by_a_number_is_an_unknown_section() -> None:
    (problem,) = _problems("1: {a: 2}")
    assert problem.startswith("mine.yaml: unknown section 1")


def test_all_problems_are_reported_at_once_each_with_its_place() -> None:
    text = """\
model: {n_layer: 0, n_embd: 100, n_head: 3, posiiton: rope}
training: {lr: fast, micro_batch: 0, warmup: 3}
datas: {train_path: a}
tokenizer: {type: wordpiece}
"""
    problems = _problems(
        text, ["app.port=-1", "sampling.top_p=2.0", "max_steps=50", "training.seed"]
    )
    expected = [
        "--set max_steps=50: expected section.key=value, as in training.max_steps=50",
        "--set training.seed: expected section.key=value, as in training.max_steps=50",
        "mine.yaml: model.posiiton: unknown key; did you mean 'position'?",
        "mine.yaml: model.n_layer: 0 is not allowed; it must be 1 or more",
        "mine.yaml: model.n_embd: 100 is not allowed; it must be divisible by n_head = 3",
        "mine.yaml: training.lr: 'fast' is not allowed; it must be a number",
        "mine.yaml: training.warmup: unknown key; did you mean 'warmup_steps'?",
        "mine.yaml: training.micro_batch: 0 is not allowed; it must be 1 or more sequences",
        "mine.yaml: unknown section 'datas'; did you mean 'data'?",
        "mine.yaml: tokenizer.type: 'wordpiece' is not allowed; it must be one of "
        "hf_tokenizers, sentencepiece, char",
        "--set app.port=-1: app.port: -1 is not allowed; it must be from 0 (automatic) to 65535",
        "--set sampling.top_p=2.0: sampling.top_p: 2.0 is not allowed; it must be above 0 and at "
        "most 1 (off)",
    ]
    assert sorted(problems) == sorted(expected)


def test_a_value_that_the_user_did_not_write_is_not_blamed_beside_one_that_is_wrong() -> None:
    problems = _problems("model: {n_embd: wide, n_head: 3}")
    assert problems == ["mine.yaml: model.n_embd: 'wide' is not allowed; it must be a whole number"]


def test_overrides_win_over_the_file_and_the_last_one_over_the_others() -> None:
    overrides = ["training.max_steps=50", "training.max_steps=60", "model.n_layer=1"]
    config = parse_config(ORIGINAL_FORM, "mine.yaml", overrides)
    assert (config.training.max_steps, config.model.n_layer) == (60, 1)
    assert config.training.warmup_steps == 7  # of the file


@pytest.mark.parametrize(
    ("override", "section", "key", "value"),
    [
        ("sampling.stop=。", "sampling", "stop", ("。",)),
        ("sampling.stop=[", "sampling", "stop", ("[",)),
        ("sampling.stop=用户:", "sampling", "stop", ("用户:",)),
        ("sampling.stop=['。', '\\n']", "sampling", "stop", ("。", "\\n")),
        ('sampling.stop=["\\r\\n\\t"]', "sampling", "stop", ("\r\n\t",)),
        ("training.probe_questions=ＡＢＣ　，", "training", "probe_questions", ("ＡＢＣ　，",)),
        ("training.save_dir=魑魅，hello world 🙂", "training", "save_dir", "魑魅，hello world 🙂"),
        ("training.save_dir=C:\\runs\\a", "training", "save_dir", "C:\\runs\\a"),
        ("training.save_dir=a=b", "training", "save_dir", "a=b"),
        ("data.val_path=null", "data", "val_path", None),
        ("data.val_path=", "data", "val_path", None),
        ("data.keep_duplicates=true", "data", "keep_duplicates", True),
        ("data.unknown_val_path=null", "data", "unknown_val_path", None),
        ("data.test_path=007", "data", "test_path", "007"),
        ("sampling.refuse_below=null", "sampling", "refuse_below", None),
        ("sampling.refuse_below=0", "sampling", "refuse_below", 0.0),
        ("sampling.refuse_below=5e-1", "sampling", "refuse_below", 0.5),
        ("sampling.refusal=false", "sampling", "refusal", False),
        ("tokenizer.type=char", "tokenizer", "type", "char"),
    ],
)
def test_an_override_is_read_as_yaml_and_text_stays_text(
    override: str, section: str, key: str, value: object
) -> None:
    config = parse_config("", "mine.yaml", [override])
    assert getattr(getattr(config, section), key) == value


def test_a_number_of_an_override_is_decimal() -> None:
    """YAML reads 010 as 8, and 1:30 as 90."""
    assert parse_config("", "mine.yaml", ["training.max_steps=010"]).training.max_steps == 10
    (problem,) = _problems("", ["training.max_steps=1:30"])
    assert "training.max_steps: '1:30' is not allowed" in problem


def test_a_list_that_is_none_is_told_and_not_taken_as_one_text() -> None:
    """A question mark before a comma is no YAML."""
    (problem,) = _problems("", ["training.probe_questions=[什么是密度?, 班主任是谁]"])
    assert problem.endswith("no list; put each text in quotes: ['…', '…']")
    quoted = parse_config("", "mine.yaml", ["training.probe_questions=['什么是密度?', '班主任']"])
    assert quoted.training.probe_questions == ("什么是密度?", "班主任")
    assert parse_config("", "mine.yaml", ["sampling.stop=["]).sampling.stop == ("[",)


@pytest.mark.parametrize("folder", ["007", "1.10", "run #1", "2025-01-15", "1e3", "no"])
def test_the_name_of_a_folder_in_an_override_is_kept_to_the_letter(folder: str) -> None:
    """YAML reads 007 as 7, and `run #1` as `run` and a comment: the run would go elsewhere."""
    config = parse_config("", "mine.yaml", [f"training.save_dir={folder}"])
    assert config.training.save_dir == folder


def test_a_date_that_does_not_exist_is_one_problem_and_no_traceback() -> None:
    (problem,) = _problems("training: {lr: 2025-13-40}")
    assert problem.startswith("mine.yaml")
    (problem,) = _problems("", ["training.lr=2025-13-40"])
    assert problem == (
        "--set training.lr=2025-13-40: training.lr: '2025-13-40' is not allowed; "
        "it must be a number"
    )


def test_a_number_beyond_all_measure_is_one_problem() -> None:
    (problem,) = _problems("training: {max_steps: 1" + 400 * "0" + "}")
    assert "training.max_steps" in problem
    assert "it must be a whole number" in problem


def test_a_tag_that_does_not_fit_is_no_traceback_in_an_override_either() -> None:
    with pytest.raises(ConfigError, match=r"app\.training=!!bool maybe: "):
        parse_config("", "mine.yaml", ["app.training=!!bool maybe"])
    stop = parse_config("", "mine.yaml", ["sampling.stop=!!bool maybe"]).sampling.stop
    assert stop == ("!!bool maybe",)


def test_a_number_that_python_does_not_print_is_told() -> None:
    (problem,) = _problems("sampling: {seed: 0x" + 5_000 * "f" + "}")
    assert "seed: a number beyond all measure is not allowed" in problem


def test_the_test_file_of_the_config_does_not_judge_the_users_own_training_file() -> None:
    """The unknown questions stay: a user's own model is to refuse them, too."""
    shipped = (ROOT / "config.yaml").read_text(encoding="utf-8")
    own = parse_config(shipped, "mine.yaml", ["data.train_path=own.jsonl"]).data
    assert (own.val_path, own.test_path) == (None, None)
    data = parse_config(shipped, "mine.yaml").data
    for key in ("unknown_path", "unknown_val_path", "unknown_test_path"):
        assert getattr(own, key) == getattr(data, key) == f"data/{key.removesuffix('_path')}.jsonl"
    overrides = ["data.test_path=own_test.jsonl", "data.train_path=own.jsonl"]
    own = parse_config(shipped, "mine.yaml", overrides).data
    assert (own.val_path, own.test_path) == (None, "own_test.jsonl")
    own = parse_config(shipped, "mine.yaml", ["data.test_path=own_test.jsonl"]).data
    assert (own.train_path, own.val_path) == (data.train_path, data.val_path)


def test_the_validation_file_of_the_config_does_not_judge_the_users_own_training_file() -> None:
    config = parse_config(ORIGINAL_FORM, "mine.yaml", ["data.train_path=own.jsonl"])
    assert (config.data.train_path, config.data.val_path) == ("own.jsonl", None)
    both = ["data.val_path=own_val.jsonl", "data.train_path=own.jsonl"]
    config = parse_config(ORIGINAL_FORM, "mine.yaml", both)
    assert (config.data.train_path, config.data.val_path) == ("own.jsonl", "own_val.jsonl")
    # A default is no better than the file's value.
    assert parse_config("", "mine.yaml", ["data.train_path=own.jsonl"]).data.val_path is None
    # A file that names its training text alone is the original's form: the default stays.
    text = "data: {train_path: data/train.jsonl}"
    assert parse_config(text, "mine.yaml").data.val_path == DataConfig().val_path
    own = "data: {train_path: own.jsonl, format: lm}"
    assert parse_config(own, "mine.yaml").data.val_path is None
    same = "data: {train_path: ./data/train.jsonl}"
    assert parse_config(same, "mine.yaml").data.val_path == DataConfig().val_path
    overrides = ["data.val_path=own_val.jsonl"]
    assert parse_config(own, "mine.yaml", overrides).data.val_path == "own_val.jsonl"


@pytest.mark.parametrize("text", [text for text in TEXTS if text])
def test_a_saved_config_is_read_back_equal(text: str) -> None:
    config = Config(
        model=ModelConfig(
            n_layer=1, n_head=2, n_embd=8, seq_len=8, dropout=0.5, position="learned"
        ),
        training=TrainingConfig(
            lr=1e-5, max_grad_norm=1 / 3, seed=2**31 - 1, probe_questions=(text, "3e-4", "no", "#")
        ),
        data=DataConfig(train_path=f"a{text}b", val_path=None, keep_duplicates=True, noise=0.1),
        sampling=SamplingConfig(
            refuse_below=1 / 3,
            refusal=False,
            stop=(text, " ", "- a", "null", "\u2028", "\0", "长  " * 60),
        ),
    )
    assert parse_config(config.to_yaml(), "saved.yaml") == config
    assert parse_config(Config().to_yaml(), "saved.yaml") == Config()


@pytest.mark.parametrize("name", ["3e-4", "007", "null", "no", "2025-01-15", " a ", "~", "0x10"])
def test_a_saved_name_that_looks_like_something_else_is_read_back_as_text(name: str) -> None:
    config = Config(training=TrainingConfig(save_dir=name))
    assert parse_config(config.to_yaml(), "saved.yaml").training.save_dir == name


def test_a_saved_config_shows_chinese_as_chinese() -> None:
    config = Config(training=TrainingConfig(probe_questions=("什么是密度?",)))
    assert "什么是密度?" in config.to_yaml()


def test_a_missing_file_is_named_with_the_option_that_gives_one(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    with pytest.raises(ConfigError, match=re.escape(f"{path}: no such file; give one with --con")):
        load_config(path)


def test_a_folder_or_a_file_in_another_encoding_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"{tmp_path}: cannot be read as UTF-8 text")):
        load_config(tmp_path)
    path = tmp_path / "gbk.yaml"
    path.write_bytes("training: {save_dir: 检查点}".encode("gbk"))
    with pytest.raises(ConfigError, match=re.escape(f"{path}: cannot be read as UTF-8 text")):
        load_config(path)


def test_broken_yaml_is_named_with_line_and_column() -> None:
    (problem,) = _problems("model:\n  n_layer: 4\n n_head: 4\n")
    assert problem.startswith("mine.yaml, line 3, column 2: this is not YAML: ")
    (problem,) = _problems("model: \x01")
    assert problem.startswith("mine.yaml: this is not YAML")


def test_merge_keys_are_not_known() -> None:
    """Nine levels of nine merges each would be 387 million keys, and take minutes to read."""
    levels = [f"b{n}: &b{n} {{<<: [{', '.join([f'*b{n - 1}'] * 9)}]}}" for n in range(1, 10)]
    (problem,) = _problems("\n".join(["b0: &b0 {x: 1}", *levels]))
    assert problem.startswith("mine.yaml, line 2, column 10: this is not YAML: ")
    assert "merge" in problem


def test_a_configuration_makes_no_objects_and_runs_nothing(tmp_path: Path) -> None:
    made = tmp_path / "made"
    value = f"!!python/object/apply:os.mkdir ['{made}']"
    (problem,) = _problems(f"training: {{save_dir: {value}}}")
    assert "this is not YAML: could not determine a constructor" in problem
    with suppress(ConfigError):
        parse_config("", "mine.yaml", [f"training.probe_questions={value}"])
    assert not made.exists()


@pytest.mark.parametrize("value", ["!!int ''", "!!bool x", "!!timestamp x", "!!float x"])
def test_a_tag_that_does_not_fit_its_value_is_no_traceback(value: str) -> None:
    (problem,) = _problems(f"training: {{lr: {value}}}")
    assert problem.startswith("mine.yaml: this is not YAML: ")


def test_a_file_without_sections_says_what_it_expects() -> None:
    assert _problems("- a\n") == ["mine.yaml: expected sections like `model:`, got ['a']"]
    assert _problems("lr: 3\nmodel: {}\nseed: 4\n") == [
        "mine.yaml: lr: 3 is not a section",
        "mine.yaml: seed: 4 is not a section",
    ]


@pytest.mark.parametrize("key", ["data.train_path", "training.save_dir", "sampling.stop"])
def test_a_name_that_is_not_utf8_is_refused_before_a_run_begins(key: str) -> None:
    """The training log takes the name of a file; GBK in an old zip gives such names on Linux."""
    name = "data/\udccc\udce2.jsonl"
    expected = (
        f"{key}: {name!r} is not allowed; it must be valid Unicode; if it is the name of a file, "
        f"rename it (请改文件名)"
    )
    assert _problems("", [f"{key}={name}"]) == [f"--set {key}={name}: {expected}"]
    section, _, last = key.partition(".")
    assert _problems(f"{section}: {{{last}: {json.dumps(name)}}}") == [f"mine.yaml: {expected}"]


@pytest.mark.parametrize("place", ["training: {lr: *b9}", "lr: *b9"])
def test_a_small_file_of_aliases_gives_a_short_message(place: str) -> None:
    """Nine levels of nine aliases each: written out, the value would be 387 million numbers."""
    levels = [f"b{n}: &b{n} [{', '.join([f'*b{n - 1}'] * 9)}]" for n in range(1, 10)]
    text = "\n".join(["b0: &b0 x", *levels, place])
    assert all(len(problem) < 2_000 for problem in _problems(text))
    document = "\n".join(["- &b0 x", *(f"- {level[4:]}" for level in levels)])
    assert all(len(problem) < 2_000 for problem in _problems(document))


def test_a_long_value_is_cut_short() -> None:
    (problem,) = _problems(f"training: {{lr: {'x' * 10**6}}}")
    assert problem.startswith("mine.yaml: training.lr: 'xxxxx")
    assert problem.endswith("xxxx' is not allowed; it must be a number")
    assert len(problem) < 200


def test_no_whole_number_is_rounded_and_no_truth_is_a_number() -> None:
    assert convert_number("2.50", float) == 2.5
    for value, kind in ((2.5, int), ("2.5", int), (True, int), (False, float)):
        with pytest.raises(ValueError, match="number"):
            convert_number(value, kind)
