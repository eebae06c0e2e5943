"""Stress tests: where each method fails."""
