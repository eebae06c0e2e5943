"""Where theory knows the answer: stress tests and parameter estimation."""
