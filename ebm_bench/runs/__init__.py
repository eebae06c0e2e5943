"""A run: put together, trained, measured, tuned, verified."""
