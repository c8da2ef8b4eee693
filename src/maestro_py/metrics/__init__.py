"""Show what processes count: one collector for each kind of process, and the port that serves them."""
