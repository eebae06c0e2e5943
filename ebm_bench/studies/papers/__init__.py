"""Comparisons that papers have published, made again at a smaller scale."""
