"""The HTTP surface: parse, handle, encode."""
