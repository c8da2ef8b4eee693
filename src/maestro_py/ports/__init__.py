"""What the processes need of the world, as small Protocols: one file for each thing the world provides."""
