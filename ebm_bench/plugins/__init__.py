"""Users' own classes: templates, checks, and ranking against reference records."""
