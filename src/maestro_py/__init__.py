"""A horizontally scaled workflow orchestration service."""
