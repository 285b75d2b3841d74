"""What is found in files of questions: counted by hand, or against brute force."""

from __future__ import annotations

import itertools
import math
import random
import shlex
import time
from pathlib import Path

import pytest

from gpt_teacher import data_check
from gpt_teacher.commands import quoted
from gpt_teacher.config import TokenizerConfig
from gpt_teacher.data_check import Finding, Report, check
from gpt_teacher.data_counts import count, describe
from gpt_teacher.look_alikes import NEAR, Pair, bare, character_pairs, jaccard, look_alikes
from gpt_teacher.prompt import encode_example
from gpt_teacher.tables import Table
from gpt_teacher.text_files import Row
from gpt_teacher.tokenizer import Tokenizer
from gpt_teacher.tokenizer_training import train_tokenizer

SEQ_LEN = 128
LONG = "请你用一句话告诉我为什么天空是蓝色的而晚霞却红得像"  # 25 characters, 24 pairs, all distinct


@pytest.fixture(scope="module")
def char() -> Tokenizer:
    text = (
        "用户:\n助手?，。！123abcAB，请你用一句话告诉我为什么天空是蓝色的而晚霞红密度光速魑魅不知道"
    )
    return train_tokenizer([text], TokenizerConfig(type="char"))


@pytest.fixture(scope="module")
def bpe() -> Tokenizer:
    texts = ["用户:密度是什么?\n助手:", "密度"] * 9
    return train_tokenizer(texts, TokenizerConfig(vocab_size=300))


def table(pairs: list[tuple[str, str]], name: str = "train.jsonl", **facts: object) -> Table:
    rows = [Row(prompt, answer, line) for line, (prompt, answer) in enumerate(pairs, start=1)]
    known: dict[str, object] = {"form": "JSONL", "encoding": "UTF-8"}
    return Table(Path(name), rows, [], **{**known, **facts})  # type: ignore[arg-type]


def found(report: Report, word: str) -> Finding | None:
    """The finding with a word in its sentence, if there is one."""
    fitting = [finding for finding in report.findings if word in finding.sentence]
    assert len(fitting) < 2
    return fitting[0] if fitting else None


# ---------------------------------------------------------------- the same question


@pytest.mark.parametrize(
    "text",
    [
        *("什么是RoPE?", "什么是 rope ？", "“什么是ＲＯＰＥ”！", "什么，是（RoPE）", "什么是RoPE~"),
        *("什么是rope", " 什么是\r\n\tRoPE。", "《什么是RoPE》……", "什么是—RoPE——？"),
    ],
)
def test_spelling_case_and_punctuation_make_no_other_question(text: str) -> None:
    assert bare(text) == "什么是rope"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *(("3+5=?", "35=?"), ("5-3等于几", "53等于几"), ("3.5是整数吗", "35是整数吗")),
        *(("C是什么", "C#是什么"), ("C++是什么", "C是什么"), ("1:2是多少", "12是多少")),
        *(("(1+2)*3等于几", "1+2*3等于几"), ("1/2", "1*2"), ("5%是多少", "5是多少"), ("3 5", "35")),
        *(("-5的绝对值", "5的绝对值"), ("？", "！"), ("a>b吗", "a<b吗"), ("🙂", "🙁")),
    ],
)
def test_signs_that_change_the_meaning_make_another_question(one: str, other: str) -> None:
    assert bare(one) != bare(other)


def test_brackets_stay_where_a_number_is() -> None:
    assert bare("(a+1)*(2-b)等于几？（算一算）") == "a+1)*(2-b等于几算一算"


def test_marks_beside_a_number_that_mean_nothing_are_dropped() -> None:
    assert bare("GPT-2有多少层？") == bare("GPT-2,有多少层") == "gpt-2有多少层"
    assert bare("1+1等于2?") == bare("1+1等于2。") == "1+1等于2"


@pytest.mark.parametrize("text", ["", "?", "……", "魑魅，hello world 🙂", "ＡＢＣ　，", "\r\n\t"])
def test_a_bare_text_is_bare(text: str) -> None:
    assert bare(bare(text)) == bare(text)
    assert bool(bare(text)) == bool(text.strip())


def test_the_jaccard_index_is_that_of_the_hand() -> None:
    assert character_pairs("密度是密度") == {"密度", "度是", "是密"}
    assert character_pairs("密") == {"密"}
    # 天空 空是 是蓝 蓝的 | 天空 空是 是红 红的: 2 of 6
    assert jaccard(character_pairs("天空是蓝的"), character_pairs("天空是红的")) == 2 / 6
    assert jaccard(character_pairs("密度"), character_pairs("光速")) == 0
    assert jaccard(character_pairs("密度是密"), character_pairs("度是密度")) == 1


def _brute_force(texts: list[str], least: float) -> list[Pair]:
    sets = [character_pairs(text) for text in texts]
    every = (
        Pair(i, j, jaccard(sets[i], sets[j]))
        for i, j in itertools.combinations(range(len(sets)), 2)
    )
    return [pair for pair in every if pair.similarity >= least]


@pytest.mark.parametrize("least", [0.9, 0.75, 0.5, 1.0, 0.1])
@pytest.mark.parametrize("seed", range(4))
def test_the_pairs_that_are_found_are_those_of_brute_force(seed: int, least: float) -> None:
    """Random texts have no near ones, so most are made of others by a few changes."""
    source = random.Random(seed)
    texts = ["密", "密度", "密度密", "度密度"]  # the last two have the same pairs
    while len(texts) < 150:
        characters = source.choices("甲乙丙丁戊己庚辛壬癸子丑寅卯", k=source.randint(1, 40))
        for _ in range(source.randint(1, 6)):
            characters[source.randrange(len(characters))] = source.choice("甲乙丙")
            texts.append("".join(characters))
    texts = list(dict.fromkeys(texts))
    expected = _brute_force(texts, least)
    assert expected
    assert sorted(look_alikes(texts, least).pairs) == expected


def test_no_pair_is_lost_to_the_rounding_of_numbers() -> None:
    """14 of 25 pairs are shared, and 0.56 * 25 is 14.000000000000002."""
    assert 0.56 * 25 > 14
    texts = [LONG[:15], LONG + "吗"]
    assert look_alikes(texts, 0.56).pairs == [(0, 1, 0.56)]


def test_nine_tenths_is_near_and_less_is_not() -> None:
    """n pairs and one character more: n of n + 1 pairs are shared."""
    for n in (8, 9, 10, 19, 24):
        text = LONG[: n + 1]
        n_found = len(look_alikes([text, text + "吗"]).pairs)
        assert (n_found == 1) == (n / (n + 1) >= NEAR) == (n >= 9)


def test_ten_thousand_questions_take_a_moment() -> None:
    source = random.Random(1)
    letters = [chr(0x4E00 + n) for n in range(400)]
    texts = ["".join(source.choices(letters, k=source.randint(5, 25))) for _ in range(10_000)]
    texts += [text + "吗" for text in texts[:500] if len(text) > 10]
    started_at = time.process_time()
    n_found = len(look_alikes(texts).pairs)
    assert time.process_time() - started_at < 5
    assert n_found >= sum(len(text) > 10 for text in texts[:500])


# ---------------------------------------------------------------- repeated questions


def test_a_row_that_stands_twice_is_a_warning(char: Tokenizer) -> None:
    pairs = [
        ("什么是密度?", "甲。"),
        ("什么是光速", "乙。"),
        ("什么是密度", "甲。 "),
        ("什么，是密度！", "甲。"),
    ]
    report = check([table(pairs)], char, SEQ_LEN)
    finding = found(report, "重复")
    assert finding is not None
    assert finding.severity == "warning"
    assert ": 2; " in finding.sentence
    assert finding.examples == [
        "train.jsonl, line 1: '什么是密度?' | line 3: '什么是密度'",
        "train.jsonl, line 1: '什么是密度?' | line 4: '什么，是密度！'",
    ]
    assert found(report, "同题异答") is None


def test_the_same_answer_many_times_over_is_no_finding(char: Tokenizer) -> None:
    pairs = [(f"{a}{b}是什么", "不知道。") for a in "天空蓝色" for b in "密度光速"]
    assert check([table(pairs, "unknown.jsonl")], char, SEQ_LEN).findings == []


def test_one_question_with_two_answers_is_a_problem_within_a_file_and_across(
    char: Tokenizer,
) -> None:
    one = table(
        [
            ("什么是密度?", "甲"),
            ("光速", "c"),
            ("什么是密度？", "甲"),
            ("什么是密度", "乙"),
            ("密度?", "丁"),
        ]
    )
    other = table([("密度", "戊"), ("什么是密度", "丙")], "mine.jsonl")
    finding = found(check([one, other], char, SEQ_LEN), "同题异答")
    assert finding is not None
    assert finding.severity == "problem"
    assert ": 2; keep one answer" in finding.sentence
    assert finding.examples == [
        "train.jsonl, line 1: '什么是密度?' -> '甲' | line 4: '什么是密度' -> '乙'",
        "train.jsonl, line 5: '密度?' -> '丁' | mine.jsonl, line 1: '密度' -> '戊'",
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *(("标点「，」叫什么?", "标点「。」叫什么?"), ("什么是f'(x)", "什么是f(x)")),
        *(("__init__是什么", "init是什么"), ("US是什么", "us是什么")),
    ],
)
def test_questions_that_training_keeps_apart_may_have_an_answer_each(
    char: Tokenizer, one: str, other: str
) -> None:
    """A lesson on punctuation could not be trained: its questions were taken for one."""
    mine, test = table([(one, "甲"), (other, "乙")]), table([(other, "乙")], "test.jsonl")
    report = check([mine], char, SEQ_LEN)
    assert report.n_problems == 0
    finding = found(report, "题近答异")
    assert finding is not None
    assert finding.severity == "warning"
    assert finding.examples == [f"train.jsonl, line 1: {one!r} -> '甲' | line 2: {other!r} -> '乙'"]
    assert check([table([(one, "甲")]), test], char, SEQ_LEN).n_problems == 0
    leak = found(check([mine, test], char, SEQ_LEN), "(泄题)")
    assert leak is not None
    assert leak.examples == [f"train.jsonl, line 2: {other!r} | test.jsonl, line 1: {other!r}"]


def test_a_question_in_two_files_is_a_leak_however_it_is_spelt(char: Tokenizer) -> None:
    train = table([("什么是 RoPE?", "甲"), ("光速", "乙"), ("光速!", "乙"), ("密度", "丙")])
    test = table([("什么是ｒｏｐｅ？", "甲"), ("光速？", "乙"), ("密度是什么", "丙")], "test.jsonl")
    report = check([train, test], char, SEQ_LEN)
    finding = found(report, "泄题")
    assert finding is not None
    assert finding.severity == "problem"
    assert ": 2; " in finding.sentence
    assert finding.examples == [
        "train.jsonl, line 1: '什么是 RoPE?' | test.jsonl, line 1: '什么是ｒｏｐｅ？'",
        "train.jsonl, line 2: '光速' | test.jsonl, line 2: '光速？'",
    ]
    assert report.n_problems == 1


def test_questions_nearly_the_same_are_warnings_by_file_and_answer(char: Tokenizer) -> None:
    """One character more makes 24 of 25 pairs; 长江/黄河 may differ as little, and rightly so."""
    train = table([(LONG, "甲"), (LONG + "吗", "甲"), (LONG[:-1], "乙")])
    test = table([("啊" + LONG, "甲")], "test.jsonl")
    report = check([train, test], char, SEQ_LEN)
    assert report.n_problems == 0
    within, across, different = (
        found(report, word) for word in ("近似重复", "近似泄题", "题近答异")
    )
    assert within is not None
    assert across is not None
    assert different is not None
    assert {f.severity for f in (within, across, different)} == {"warning"}
    assert within.examples == [f"train.jsonl, line 1: '{LONG}' | line 2: '{LONG}吗'"]
    assert across.examples == [
        f"train.jsonl, line 1: '{LONG}' | test.jsonl, line 1: '啊{LONG}'",
        f"train.jsonl, line 2: '{LONG}吗' | test.jsonl, line 1: '啊{LONG}'",
    ]
    assert different.examples[0] == (
        f"train.jsonl, line 1: '{LONG}' -> '甲' | line 3: '{LONG[:-1]}' -> '乙'"
    )
    assert len(different.examples) == 3


def test_pairs_beyond_a_limit_are_not_all_looked_for(
    char: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of questions of one template are millions of pairs."""
    pairs = [(LONG + c, "甲") for c in "天空蓝色密度光速"]  # 28 pairs
    finding = found(check([table(pairs)], char, SEQ_LEN), "近似重复")
    assert finding is not None
    assert ": 28; " in finding.sentence
    assert len(finding.examples) == data_check.MAX_EXAMPLES
    assert "more;" not in finding.sentence
    monkeypatch.setattr(data_check, "MAX_PAIRS", 10)
    finding = found(check([table(pairs)], char, SEQ_LEN), "近似重复")
    assert finding is not None
    assert ": 10; " in finding.sentence
    assert finding.sentence.endswith("; there are more")


def _word_problems(n: int) -> list[str]:
    """Texts of one template: two numbers make nearly all pairs worth comparing, and few near."""
    text = "小明有{}个苹果，妈妈又买来{}个苹果，请问现在小明一共有多少个苹果"
    return [text.format(n // 100 + 10, n % 100 + 10) for n in range(n)]


def test_texts_of_one_template_are_compared_up_to_a_limit(
    char: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few of them are near, so the limit of pairs was never reached: 20,000 took minutes."""
    pairs = [(text, str(n)) for n, text in enumerate(_word_problems(200))]
    whole = check([table(pairs)], char, SEQ_LEN)
    assert found(whole, "没有比完") is None
    monkeypatch.setattr(data_check, "MAX_COMPARED", 200 * 199 // 2)
    assert check([table(pairs)], char, SEQ_LEN) == whole
    monkeypatch.setattr(data_check, "MAX_COMPARED", 1_000)
    finding = found(check([table(pairs)], char, SEQ_LEN), "没有比完")
    assert finding is not None
    assert finding.severity == "warning"
    assert finding.sentence.endswith("; check 44 at a time")  # 44 * 43 / 2 = 946


def test_every_two_questions_of_the_number_that_is_advised_are_compared() -> None:
    n = math.isqrt(2 * data_check.MAX_COMPARED)
    assert n * (n - 1) // 2 <= data_check.MAX_COMPARED < (n + 1) * n // 2


# ---------------------------------------------------------------- answers, lengths, characters


def test_an_answer_that_only_an_exam_has_is_a_warning(char: Tokenizer) -> None:
    train = table([("密度", "甲"), ("光速", "乙")])
    test = table([("密度是什么", "甲"), ("天空", "丙"), ("蓝色", "丙")], "test.jsonl")
    finding = found(check([test, train], char, SEQ_LEN), "没教过")
    assert finding is not None
    assert finding.severity == "warning"
    assert finding.sentence.startswith(
        "answers of test.jsonl that no training file has (没教过): 1;"
    )
    assert finding.examples == ["test.jsonl, line 2: '天空'"]
    # An answer that only the training file has is none, nor what no training file is given for.
    assert (
        found(check([train, table([("密度吗", "甲")], "val.jsonl")], char, SEQ_LEN), "没教") is None
    )
    assert found(check([test], char, SEQ_LEN), "没教过") is None
    refused = table([("谁", "不知道。")], "unknown_val.jsonl")
    taught = table([("何时", "不知道。")], "unknown.jsonl")
    assert found(check([train, refused, taught], char, SEQ_LEN), "没教过") is None
    assert found(check([train, refused], char, SEQ_LEN), "没教过") is not None


def test_rows_that_do_not_fit_are_named_with_their_tokens(char: Tokenizer) -> None:
    """<bos>用户:…\\n助手:…, one token each: 8 and the texts; <eos> is never read."""
    pairs = [("密度", "甲" * 10), ("光速", "甲" * 11), ("天空", "甲" * 12)]
    assert len(encode_example(char, *pairs[0]).ids) - 1 == 20
    finding = found(check([table(pairs)], char, 20), "太长")
    assert finding is not None
    assert finding.severity == "warning"
    assert "rows of train.jsonl longer than model.seq_len = 20 tokens (太长): 2" in finding.sentence
    assert finding.examples == ["train.jsonl, line 2: 21 tokens", "train.jsonl, line 3: 22 tokens"]
    assert found(check([table(pairs)], char, 22), "太长") is None
    finding = found(check([table(pairs)], char, 19), "太长")
    assert finding is not None
    assert finding.severity == "problem"


def test_characters_spelled_in_bytes_are_counted_the_commonest_first(bpe: Tokenizer) -> None:
    """It has 密 and 度 as tokens; é is two bytes, 魑 and 魅 are three bytes each, 🙂 four."""
    assert [len(bpe.encode(c)) for c in "密é魑魅🙂"] == [1, 2, 3, 3, 4]
    counts = count(table([("密度魅魑", "密密密密密é密度度魅🙂")]), bpe)
    assert counts.characters == 15
    assert counts.spelled == [("魅", 2), ("魑", 1), ("🙂", 1)]
    assert counts.spelled_share == 4 / 15
    assert counts.tokens == len(bpe.encode("密度魅魑")) + len(bpe.encode("密密密密密é密度度魅🙂"))
    assert counts.unknown == []


def test_a_tokenizer_of_ones_own_is_advised_above_a_share(bpe: Tokenizer) -> None:
    for n, is_told in ((19, False), (18, True)):  # 1 of 20 characters is 5 %
        rows = [("密度", "度" * (n - 2) + "魑")]
        finding = found(
            check([table(rows, "my data/a.csv")], bpe, SEQ_LEN, Path("b.jsonl")), "生僻"
        )
        assert (finding is not None) == is_told
    assert finding is not None
    assert finding.severity == "warning"
    assert finding.sentence == (
        "characters of b.jsonl spelled in bytes (生僻字): 5.3%; make a tokenizer of this text: "
        "python -m scripts.build_tokenizer --set data.train_path=b.jsonl "
        "--set tokenizer.path=b/tokenizer.json and train with --set tokenizer.path=b/tokenizer.json"
        ", too"
    )
    assert finding.examples == ["魑×1"]


def test_characters_unknown_to_a_char_tokenizer_are_lost(char: Tokenizer) -> None:
    counts = count(table([("密度呢", "呢\x07龘")]), char)
    assert counts.unknown == [("呢", 2), ("\x07", 1), ("龘", 1)]
    assert counts.spelled == []
    finding = found(check([table([("密度呢", "呢\x07龘")])], char, SEQ_LEN), "<unk>")
    assert finding is not None
    assert finding.severity == "warning"
    assert finding.examples == ["呢×2 U+0007×1 龘×1"]
    assert found(check([table([("密度", "光速")])], char, SEQ_LEN), "<unk>") is None


DAMAGED, INVISIBLE, SPACES, ECHO = ("乱码", "不可见字符", "首尾空白", "答案与问题相同")


@pytest.mark.parametrize(
    ("prompt", "answer", "expected"),
    [
        ("什么是密度", "密\ufffd度", DAMAGED),
        ("锟斤拷是什么", "甲", DAMAGED),
        ("什么是密度", "ï»¿密度", DAMAGED),
        ("什么是密度", "密度，质量。".encode().decode("cp1252", errors="ignore"), DAMAGED),
        ("什么是密度", "密度，是质量".encode().decode("gbk", errors="ignore"), DAMAGED),
        *(
            (f"，{c}".encode().decode("gbk", errors="ignore"), "甲", DAMAGED)
            for c in "〇丁大我示说那"
        ),
        ("什么是密度", "密\0度", INVISIBLE),
        ("什么\u200b是密度", "密度", INVISIBLE),
        ("什么是密度", "\ufeff密度", INVISIBLE),
        ("什么是密度", "密度 ", SPACES),
        ("什么是密度", "\n密度", SPACES),
        ("什么是密度？", "什么是 密度?", ECHO),
        ("什么是密度", "密度，\n\t是质量。👩\u200d🔬", None),  # an emoji of two, joined
        (" 什么是\t密度 ", "密度", None),  # the question is normalised anyway
        ("what is naïve", "café — ½ ≤ 100℃", None),
    ],
)
def test_odd_text_is_a_warning_with_its_kind(
    bpe: Tokenizer, prompt: str, answer: str, expected: str | None
) -> None:
    report = check([table([("光速", "c"), (prompt, answer)])], bpe, SEQ_LEN)
    kinds = {kind for kind in (DAMAGED, INVISIBLE, SPACES, ECHO) if found(report, kind)}
    assert kinds == ({expected} if expected else set())
    if expected:
        finding = found(report, expected)
        assert finding is not None
        assert finding.severity == "warning"
        assert finding.examples == [f"train.jsonl, line 2: {prompt!r}"]


# ---------------------------------------------------------------- the report


def test_files_that_training_cannot_read_say_how_to_convert_them(char: Tokenizer) -> None:
    csv = table([("密度", "甲")], "my data.csv", form="CSV")
    gbk = table([("光速", "乙")], "b.jsonl", encoding="GBK")
    report = check([csv, gbk, table([("天空", "丙")])], char, SEQ_LEN)
    assert report.n_problems == 2
    assert [f.sentence for f in report.findings if f.severity == "problem"] == [
        "my data.csv is CSV in UTF-8, and training reads JSONL in UTF-8 (先转换); convert it: "
        'python -m scripts.check_data "my data.csv" --to "my data.jsonl"',
        "b.jsonl is JSONL in GBK, and training reads JSONL in UTF-8 (先转换); convert it: "
        "python -m scripts.check_data b.jsonl --to b_utf8.jsonl",
    ]
    assert check([csv], char, SEQ_LEN, Path("my data.jsonl")).n_problems == 0


def test_columns_that_are_left_out_are_a_warning(char: Tokenizer) -> None:
    finding = found(check([table([("密度", "甲")], is_cut=True)], char, SEQ_LEN), "多余的列")
    assert finding is not None
    assert finding.severity == "warning"
    assert found(check([table([("密度", "甲")])], char, SEQ_LEN), "多余的列") is None


def test_problems_stand_before_warnings(char: Tokenizer) -> None:
    pairs = [("密度", "密度"), ("光速", "甲 "), ("光速", "乙"), ("光速", "乙")]
    severities = [f.severity for f in check([table(pairs)], char, 9).findings]
    assert severities == ["problem", "problem", "warning", "warning", "warning", "warning"]


def test_a_file_is_counted_as_by_hand(char: Tokenizer) -> None:
    answers = ["甲", "甲", "甲", "乙", "丙丙", "丙丙", "不知道。", "不知道，123"]
    rows = [
        Row(prompt, answer, line, id=f"t{answer[0]}")
        for line, (prompt, answer) in enumerate(zip("一二三四五六七八", answers, strict=True), 1)
    ]
    data = Table(Path("a.csv"), rows, [], "CSV", "GBK", "columns 1 and 2")
    counts = count(data, char)
    assert (counts.questions, counts.answers, counts.topics, counts.refusals) == (8, 5, 4, 2)
    assert counts.per_answer == (1, 2, 3)  # 甲 3, 乙 1, 丙丙 2
    assert counts.lengths == [10, 10, 10, 10, 11, 11, 13, 16]
    assert (counts.characters, counts.tokens) == (8 + 4 + 4 + 4 + 7, 27)
    first, second, third, fourth = describe(data, counts)
    assert first == (
        "a.csv: CSV in GBK, columns 1 and 2; 8 questions on 4 topics, 5 answers, 2 refusals"
    )
    assert second == "  tokens a row: 10 to 16, median 10.5; questions an answer: 1 to 3, median 2"
    assert third == "  tokens a character: 1.00; spelled in bytes: none"
    assert fourth.startswith("  unknown to the tokenizer: 丙×4 甲×3 ")


def test_a_file_of_refusals_has_no_questions_an_answer(char: Tokenizer) -> None:
    data = table([("密度", "不知道。"), ("光速", "不知道。")])
    counts = count(data, char)
    assert counts.per_answer is None
    assert describe(data, counts)[1] == "  tokens a row: 14 to 14, median 14"


def test_a_name_with_a_space_is_quoted_for_any_shell() -> None:
    assert quoted("data.train_path=a b.jsonl") == '"data.train_path=a b.jsonl"'
    assert quoted("物理/train-2.jsonl") == "物理/train-2.jsonl"
    assert quoted("runs/a;b") == '"runs/a;b"'
    for word in ('training.probe_questions=["what is RoPE","x"]', "runs/$1班", "runs/`a`", "b!"):
        assert shlex.split(quoted(word)) == [word]


def test_tokens_a_character_are_tokens_by_characters(bpe: Tokenizer) -> None:
    data = table([("魑魅魍", "魑")])  # unknown to it: 4 characters, 12 tokens
    assert describe(data, count(data, bpe))[2].startswith("  tokens a character: 3.00;")


def test_a_finding_counts_all_rows_and_shows_a_few(char: Tokenizer) -> None:
    rows = [(f"{n}密度", " 密度") for n in "123abcAB"]
    finding = found(check([table(rows)], char, SEQ_LEN), "首尾空白")
    assert finding is not None
    assert "(首尾空白): 8;" in finding.sentence
    assert len(finding.examples) == data_check.MAX_EXAMPLES


def test_on_windows_a_name_has_double_quotes_whatever_it_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Found here: a folder `$1班` was advised in single quotes, which are none in cmd.exe."""
    with monkeypatch.context() as context:
        context.setattr("os.name", "nt")
        said = [quoted(word) for word in (r"D:\runs\$1班", "runs/`a`", 'x=["a b"]', r"D:\runs")]
    assert said == [r'"D:\runs\$1班"', '"runs/`a`"', r'"x=[\"a b\"]"', r"D:\runs"]
