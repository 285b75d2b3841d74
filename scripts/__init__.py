"""Commands: python -m scripts.NAME. 命令行工具。"""
