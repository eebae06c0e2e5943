"""Speed, measured against the bare work and against other libraries."""
