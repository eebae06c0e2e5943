"""Parameter estimation: where theory gives the answer."""
