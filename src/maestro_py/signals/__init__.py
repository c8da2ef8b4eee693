"""The signal service: it matches signals and time with what waits for them, and fires."""
