"""Users' own classes: templates, checks, and ranking beside reference records."""
