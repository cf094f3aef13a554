"""Many runs: which ones, in which order, and what they show together."""
