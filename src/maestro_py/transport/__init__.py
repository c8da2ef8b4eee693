"""Hints between processes: they may be lost, doubled, late or reordered."""
