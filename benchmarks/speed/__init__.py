"""How fast is training here, beside what other people write? Loops that take turns, each in a process of its own."""
