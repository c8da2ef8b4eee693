"""Builders, a manual clock and doubles, shipped for authors of step types."""
