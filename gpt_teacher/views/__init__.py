"""The web page: one tab a file, data by pure functions, every string in text.py. 网页。"""
