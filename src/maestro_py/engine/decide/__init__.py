"""Decide what a run does next.  Pure: every input is an argument, every outcome is returned."""
