"""What an instance does next: the transition table and its rules.  Pure."""
