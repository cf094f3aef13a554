"""A search for a good setting: what may be tried, what is tried next, what is given up, and what is confirmed."""
