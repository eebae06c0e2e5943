"""Optimisers that carry the replicate axis."""
