"""Measure the whole system, and print figures and ratios; nothing here can fail a test run."""
