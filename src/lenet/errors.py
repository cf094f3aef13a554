"""What can go wrong for a reason that the user can mend."""


class BadInput(Exception):
    """Something that was given cannot be used. The message is one line: the key, the value, the remedy."""


class Diverged(Exception):
    """The training loss is no longer a finite number."""
