"""What the classes of each family have to keep: what tests and `ebm-bench check` go by."""
