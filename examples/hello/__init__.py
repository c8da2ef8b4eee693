"""The smallest workflows, in both forms."""
