"""Users' own classes: templates, checks, and comparison with a reference."""
