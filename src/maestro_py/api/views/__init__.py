"""The public forms of what the store returns: records in, JSON out.  Pure."""
