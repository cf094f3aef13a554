"""The data files, and what becomes of a pixel before the net sees it."""
