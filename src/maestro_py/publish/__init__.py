"""State changes for other systems, one sink per file."""
