"""A number by chance, so that what happens to many agents at once does not bring them all back at once."""

import os

BYTES = 7  # of chance; more than a float holds


def uniform(low: float, high: float) -> float:
    """Between the two, each as likely. As `random.uniform`, whose module would take a fifth of a MiB."""
    return low + (high - low) * int.from_bytes(os.urandom(BYTES)) / (1 << 8 * BYTES)
