"""The sentences of a model card, without a figure in them. 模型卡的文字。"""

from __future__ import annotations

INTRO_QUESTIONS = """\
{name} 是用 GPT 小老师训练的中文问答小模型，有 {parameters} 个参数，回答教过的问题。

{name} is a tiny Chinese model of {parameters} parameters, trained with GPT Teacher. It answers the
questions that it was taught."""

INTRO_TEXT = """\
{name} 是用 GPT 小老师训练的小模型，有 {parameters} 个参数。
它学的是纯文本，只会接着往下写，不会回答问题。

{name} is a tiny model of {parameters} parameters, trained with GPT Teacher on plain text: it
continues a text, it does not answer questions."""

INTRO_REFUSAL = """\
没教过的问题，它应当回答“{refusal}”。What it was never taught it is to refuse, with these words."""

INTRO_FIGURES = """\
这张卡上的数字都由训练日志、成绩和权重文件算出，没有手写的。
Every figure on this card is computed from the training log, the metrics and the weights."""

UNFINISHED = """\
> **训练没有完成**：计划 {max_steps} 次更新，只做了 {steps} 次。
> The training is not finished: {steps} of {max_steps} planned updates."""

DATA_QUESTIONS = """\
数据不在本仓库里；SHA-256 说明用的是哪一份。
训练只用 train 和 unknown 两份，val 调整做法，test 只打分。
The data are not in this repository; the SHA-256 tells which files they were. Only train and unknown
were learnt from; val was for tuning, test for scoring only."""

DATA_TEXT = """\
数据不在本仓库里；SHA-256 说明用的是哪一份。The data are not in this repository; the SHA-256 tells
which files they were."""

CURVE = """\
![损失曲线 Loss curve]({file})

训练损失：第 {first_step} 次更新 {first_loss} → 第 {last_step} 次 {last_loss}（nats / 词元）。
Training loss, nats per token: {first_loss} at update {first_step}, {last_loss} at {last_step}."""

CURVE_VALIDATION = """\
验证损失：第 {step} 次更新后 {loss}。Validation loss after update {step}: {loss}."""

CURVE_QUESTIONS_LEARNT = """\
损失只算回答。前 {share} 的更新里，问题自己的词元也学，权重 {weight}，不计入损失。
The loss counts answers only. In the first {share} of the updates the tokens of the questions are
learnt along with them, with a weight of {weight}."""

EXAM = """\
memorised：教过的问题，一字不差地答对。paraphrase：没见过的问法，答对了。
unknown refused：没教过的话题，拒答了。wrongly refused：教过的话题换个说法，却拒答了（越少越好）。

memorised: taught questions answered to the letter. paraphrase: new wordings of taught topics
answered right. unknown refused: topics never taught, refused. wrongly refused: new wordings of
taught topics, refused (the fewer, the better)."""

EXAM_OF_VALIDATION = """\
注意：没有单独的测试题，这些题也用来调整做法（如拟合拒答门槛），成绩偏乐观。
There was no test file of its own; these questions were used for tuning, too, so the scores are
optimistic: {files}."""

EXAM_SAME = """\
量化后回答相同：{same}。Same answer after quantization: {same}."""

EXAM_THRESHOLD = """\
回答里最没把握的词元概率低于 {threshold} 就拒答，成绩按此计算。
An answer is withheld if its least sure token has a probability below {threshold}; the scores are
measured so."""

SAMPLES_FROM_FILES = """\
问题从文件里均匀抽取，只看答了还是拒答，不看答得对不对。
Questions spread evenly over the file, chosen by whether they were answered or refused, not by
whether the answer is right."""

SAMPLES_FROM_LOG = """\
出自训练日志的是训练时的抽查题，其中有教过的。Those from the training log are the questions that the
run was watched with; some of them were taught."""

SAMPLES_CONFIDENCE = """\
把握：最没把握的词元的概率。Confidence: the probability of the least sure token."""

LIMITS_QUESTIONS = """\
- 只知道教过的内容，不上网，不会推理、计算、写代码。It knows only what it was taught; it cannot
  reason, calculate, write code or look anything up.
- 会答错，会把相近的知识点弄混，有时没教过也硬答；不要当作依据。It can be wrong, mix up
  neighbours and answer what it was never taught: do not rely on it.
- 不能用于医疗、法律、财务、安全等任何建议。Not for medical, legal, financial, safety or any other
  advice.
- 回答很短；问题和回答合计最多 {seq_len} 个词元，不记得上一句。Short answers; question and answer
  together have at most {seq_len} tokens, and it does not remember what was said before.
- 只会中文（以及数据里出现过的外文）。Chinese only, and what other words its data hold."""

LIMITS_TEXT = """\
- 只会模仿学过的文本接着写，写出的内容不是事实。It imitates the text that it was trained on; what it
  writes is not fact.
- 可能原样背出训练文本。It may recite its training text.
- 不能用于医疗、法律、财务、安全等任何建议。Not for medical, legal, financial, safety or any other
  advice.
- 一次最多看 {seq_len} 个词元。It sees at most {seq_len} tokens at a time."""

LICENCE = """\
权重、说明和代码：MIT。训练数据归其作者，许可见其来处。
Weights, card and code: MIT. The training data belong to their authors."""

USE_WEIGHTS = """\
**只下载权重 · The weights alone**

```python
from huggingface_hub import hf_hub_download
from safetensors.torch import load_file

tensors = load_file(hf_hub_download({repo}, "model.safetensors"))
print(sum(tensor.numel() for tensor in tensors.values()))  # {parameters}
```"""

USE_TRANSFORMERS_QUESTIONS = """\
**用 transformers · With transformers**（不需要远程代码；没有拒答门槛 ·
no remote code; no refusal threshold）

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained({repo})
model = AutoModelForCausalLM.from_pretrained({repo})
chat = [{{"role": "user", "content": {question}}}]
inputs = tokenizer.apply_chat_template(
    chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
new = model.generate(**inputs)[0, inputs["input_ids"].shape[1] :]
print(tokenizer.decode(new, skip_special_tokens=True)){comment}
```"""

USE_TRANSFORMERS_TEXT = """\
**用 transformers · With transformers**（不需要远程代码 · no remote code）

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained({repo})
model = AutoModelForCausalLM.from_pretrained({repo})
inputs = tokenizer({question}, return_tensors="pt", return_token_type_ids=False)
print(tokenizer.decode(model.generate(**inputs)[0], skip_special_tokens=True))
```"""

USE_PROJECT_QUESTIONS = """\
**用 GPT 小老师 · With GPT Teacher**（在项目文件夹里 · in its folder）

```python
from gpt_teacher import from_pretrained

answer = from_pretrained({repo}).answer({question})
print(answer, answer.min_probability, answer.refused)
```

```bash
python app.py --checkpoint {shell_repo}
```"""

USE_PROJECT_TEXT = """\
**用 GPT 小老师 · With GPT Teacher**（在项目文件夹里 · in its folder）

```bash
python -m scripts.ask --raw {shell_question} --checkpoint {shell_repo}
```"""

USE_QUANTIZED = """\
**量化版 · Quantized**（`pip install compressed-tensors`）

```python
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained({repo}, subfolder="quantized")
```"""

USE_NOT_TRANSFORMERS = """\
transformers 打不开这个模型（{reason}），请用 GPT 小老师。transformers has no class for this model;
open it with GPT Teacher."""
