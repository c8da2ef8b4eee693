"""The engine process: it owns partitions, takes their events in batches and has each one decided."""
