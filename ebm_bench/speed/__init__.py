"""How fast a training step is, beside the published way and other libraries."""
