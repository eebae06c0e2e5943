"""Helpers that know nothing of energies: files, YAML, progress, devices."""
