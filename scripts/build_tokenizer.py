"""Learn a tokenizer from the training file (data.train_path) and write it to tokenizer.path.

从训练文件学出分词器。
"""

from __future__ import annotations

from pathlib import Path

from gpt_teacher.config import Config
from gpt_teacher.prompt import ASSISTANT, USER, normalise
from gpt_teacher.text_files import read_rows, read_texts
from gpt_teacher.tokenizer_training import train_tokenizer
from scripts.command_line import DONE, make_parser, read_config, run


def main() -> int:
    """Read, learn, write, report. 主程序。"""
    config = read_config(make_parser(__doc__).parse_args())
    texts = training_texts(config)
    tokenizer = train_tokenizer(texts, config.tokenizer)
    path = Path(config.tokenizer.path)
    tokenizer.save(path)
    n_characters = sum(map(len, texts))
    n_tokens = sum(len(tokenizer.encode(text)) for text in texts)
    print(f"{path}: {tokenizer.type}, {tokenizer.vocab_size} tokens")
    print(f"{config.data.train_path}: {n_characters / n_tokens:.2f} characters a token")
    return DONE


def training_texts(config: Config) -> list[str]:
    """Return the texts as the model will see them. 分词器要学的文本。"""
    path = Path(config.data.train_path)
    if config.data.format == "lm":
        return ["".join(read_texts(path))]
    paths = [path] + ([Path(config.data.unknown_path)] if config.data.unknown_path else [])
    rows = dict.fromkeys(
        (normalise(row.prompt), row.completion) for path in paths for row in read_rows(path)
    )
    return [text for prompt, answer in rows for text in (USER + prompt + ASSISTANT, answer)]


if __name__ == "__main__":
    run(main)
