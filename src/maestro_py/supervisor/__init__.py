"""Everything on one machine: the processes of `maestro up` under one parent, PostgreSQL among them."""
