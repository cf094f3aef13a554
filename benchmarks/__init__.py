"""Figures beside those of others: speed, accuracy for a size, and the published curves. No part of the wheel."""
