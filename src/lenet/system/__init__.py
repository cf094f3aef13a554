"""What the operating system gives: cores, memory, locks, signals."""
