"""Intervals, ranks and tests."""
