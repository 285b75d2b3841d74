"""Measurements: `python -m benchmarks.NAME`, a table on stderr and JSON on stdout. 测速。"""
