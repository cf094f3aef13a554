"""A trained net: what it gets right, what it takes for what, and what its layers see."""
