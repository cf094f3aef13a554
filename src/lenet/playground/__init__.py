"""A page to draw on, and every map of every layer of a net at once."""
