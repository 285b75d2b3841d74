"""The Hugging Face Hub: the only user of huggingface_hub. 与 Hub 打交道。

failures.py      what the client raises -> one sentence that says what to do
login.py         whose token the calls carry
connection.py    calls with retries and time limits; repository ids; who am I
files.py         which files make a model, and their fingerprints
cache.py         what is on this machine already
fetch.py         the process that downloads: it can be stopped
pull.py          a revision of a repository -> a checked folder on this machine
folder.py        a finished run -> the folder that is published
push.py          look before, one commit, look again
publish_run.py   a run that was started in the page -> its visitor's repository
space_folder.py  the app and the model that it serves -> the folder of a Space
space.py         make or update a Space, wait until it runs
"""
