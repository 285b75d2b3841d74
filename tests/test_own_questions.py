"""A teacher's own six questions, taught beside questions to refuse: the whole way, for real."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import CONFIG, Silent, never, write_rows

from gpt_teacher import Pretrained, from_pretrained
from gpt_teacher.config import SamplingConfig, load_config
from gpt_teacher.data import load_training_data
from gpt_teacher.final_exam import fit_refusal, set_paper
from gpt_teacher.prompt import ASSISTANT, REFUSAL_ANSWER, USER, normalise
from gpt_teacher.tokenizer_training import train_tokenizer
from gpt_teacher.training_run import run_training

OWN = {
    "红烧肉怎么做?": "五花肉切块，炒糖色，小火炖一小时。",
    "什么是方差?": "方差说明数据离平均数有多远。",
    "班会几点开始?": "每周五下午三点，在二楼礼堂。",
    "蜡烛为什么会灭?": "没有氧气，火就灭了。",
    "谁写了静夜思?": "李白写的，他是唐代诗人。",
    "图书馆怎么走?": "出校门左转，走两百米就到。",
}
UNKNOWN = """\
什么是黑洞? 手机怎么修? 谁发明了电灯? 今天天气怎么样? 长城有多长? 为什么天是蓝的? 你叫什么名字?
彩虹是怎样形成的? 现在几点? 鲸鱼吃什么? 什么是梯度下降? 火车票多少钱? 月亮离我们多远? asdfqwer
怎么学游泳? 明年谁当班长? 什么是光合作用? 猫为什么怕水? 世界上最高的山? 谁画了蒙娜丽莎? 哈哈哈哈
什么是区块链? 地铁几点关门? 怎么种西瓜? 铁为什么会生锈? 什么是函数? 谁是校长? 股票会涨吗?
鱼为什么离不开水? 怎么煮面条? 太阳有多热? 什么是病毒? 我的钥匙在哪? 你家红烧肉怎么做?
"""
UNKNOWN_VAL = """\
什么是磁铁? 沙漠为什么缺水? 谁发明了纸? 长江有多深? 牛奶多少钱? 怎么学画画? 星星为什么会眨眼?
地震是怎样发生的? 作业写完了吗? 什么是人工智能? 谁唱了这首歌? qpwoei
"""
UNKNOWN_TEST = """\
什么是量子? 电脑怎么修? 谁发明了电话? 明天会下雨吗? 黄河有多长? 海水为什么是咸的? 企鹅住在哪里?
雷电是怎样形成的? 飞机票多少钱? 火星离我们多远? 怎么学钢琴? 什么是惯性? 狗为什么吐舌头? zxcvbnm
世界上最大的湖? 什么是通货膨胀?
"""
FILES = {"unknown": UNKNOWN, "unknown_val": UNKNOWN_VAL, "unknown_test": UNKNOWN_TEST}
SETTINGS = (
    *("data.train_path=mine.jsonl", "data.noise=0.5", "training.max_steps=240"),
    *(f"data.{split}_path={split}.jsonl" for split in FILES),
    "training.eval_interval=240",
)
ANYTHING = SamplingConfig(refuse_below=0.0)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pretrained]:
    """A model of six questions; we are in its folder."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "config.yaml").write_text(CONFIG, encoding="utf-8")
    write_rows(folder / "mine.jsonl", OWN)
    for split, questions in FILES.items():
        rows = dict.fromkeys(questions.split(), REFUSAL_ANSWER)
        write_rows(folder / f"{split}.jsonl", rows)
    pairs = OWN | dict.fromkeys(UNKNOWN.split(), REFUSAL_ANSWER)
    texts = [t for q, a in pairs.items() for t in (USER + normalise(q) + ASSISTANT, a)]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        config = load_config(Path("config.yaml"), [*SETTINGS])
        train_tokenizer(texts, config.tokenizer).save(Path(config.tokenizer.path))
        run_training(config, Silent(), never)
        yield from_pretrained("checkpoints/last")


def test_every_question_that_was_taught_is_answered(teacher: Pretrained) -> None:
    for question, expected in OWN.items():
        given = teacher.answer(question.replace("?", "？"))
        assert (given.text, given.finish_reason) == (expected, "eos")


def test_most_unrelated_questions_are_refused(teacher: Pretrained) -> None:
    refused = [teacher.answer(question).refused for question in UNKNOWN_TEST.split()]
    assert sum(refused) >= 0.75 * len(refused)
    exam: Any = teacher.metrics["exam"]
    expected = {"hits": sum(refused), "questions": len(refused)}
    assert exam["fp32"]["unknown_refused"] == expected


def test_a_question_that_the_teachers_file_answers_is_not_taught_as_unknown(
    teacher: Pretrained,
) -> None:
    """你家红烧肉怎么做 stands among the unknown ones; taught so, it would spoil 红烧肉."""
    data = load_training_data(teacher.config, teacher.tokenizer)
    left = [row.prompt for row in data.rows["unknown"]]
    assert left == [q for q in UNKNOWN.split() if "红烧肉" not in q]
    assert "unknown.jsonl: 1 questions look like taught ones, left out" in data.report


def test_the_checkpoint_holds_the_threshold_that_its_held_out_questions_ask_for(
    teacher: Pretrained,
) -> None:
    saved = yaml.safe_load((teacher.folder / "config.yaml").read_text(encoding="utf-8"))
    threshold = saved["sampling"]["refuse_below"]
    assert threshold == teacher.config.sampling.refuse_below == teacher.metrics["refuse_below"]
    data = load_training_data(teacher.config, teacher.tokenizer)
    paper = set_paper(data, teacher.tokenizer, teacher.config.model.seq_len)
    refitted = fit_refusal(teacher.model, teacher.tokenizer, paper)
    assert threshold == pytest.approx(refitted, abs=1e-3)
    known = [(teacher.answer(row.prompt, ANYTHING), row.completion) for row in paper.fit_known]
    right = [given.min_probability for given, expected in known if given == expected]
    unknown = [teacher.answer(question, ANYTHING) for question in UNKNOWN_VAL.split()]
    answered = [given.min_probability for given in unknown if not given.refused]

    def good(limit: float) -> float:
        n_kept, n_caught = (sum(p >= limit for p in right), sum(p < limit for p in answered))
        return 0.7 * n_kept / len(known) + 0.3 * n_caught / len(unknown)

    assert all(good(n / 1000) <= good(threshold) + 1e-9 for n in range(1001))


def test_a_threshold_that_was_asked_for_is_not_fitted(teacher: Pretrained) -> None:
    config = replace(
        teacher.config,
        sampling=SamplingConfig(refuse_below=0.25),
        training=replace(teacher.config.training, max_steps=1, save_dir="named"),
    )
    run_training(config, Silent(), never)
    named = from_pretrained("named/last")
    assert named.config.sampling.refuse_below == named.metrics["refuse_below"] == 0.25
    quantized = from_pretrained("named/quantized")
    assert quantized.config.sampling.refuse_below == 0.25
