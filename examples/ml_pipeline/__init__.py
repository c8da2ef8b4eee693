"""Train a model that foresees late flights: the owner's workflow on real data."""

import os

# The worker keeps one warm process a core.  If NumPy's threads took every core in each of them, they would mostly wait
# for one another; it reads this when it is first imported, so it must be said here.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
