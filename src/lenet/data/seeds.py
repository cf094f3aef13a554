"""Seeds of what is drawn anew in every epoch."""

import hashlib


def epoch_seed(seed: int, epoch: int, purpose: str) -> int:
    """A seed of 63 bits for one purpose in one epoch: what is random there is a function of (seed, epoch)."""
    return int.from_bytes(hashlib.sha256(f"{seed} {epoch} {purpose}".encode()).digest()[:8], "big") >> 1
