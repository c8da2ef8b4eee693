"""The worker process: it claims step attempts, runs them and reports."""
