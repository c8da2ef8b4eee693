"""Import the example before NumPy: it says how many threads NumPy may take."""

import examples.ml_pipeline  # noqa: F401  # for what it does when it is imported
