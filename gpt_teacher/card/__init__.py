"""The card of a model: what its page on the Hub says, made of measured facts. 模型卡。

layout.py        names of files in the repo
metrics.py       what a card reads of metrics.json, checked
facts.py         checkpoint, metrics, log -> the facts; sample answers
front_matter.py  facts -> the YAML block that the Hub reads
text.py          the sentences, without a figure in them
markdown.py      text of others inside Markdown
loss_curve.py    log -> SVG
model_card.py    facts -> README.md
"""
