"""Evaluate heavy expressions in processes of their own, so that no loop waits for them."""
