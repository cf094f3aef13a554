"""What can end a run, beside a mistake of ours."""

import signal


class BadInput(Exception):
    """Something that was given cannot be used. The message is one line: the key, the value, the remedy."""


class Stopped(BaseException):
    """SIGINT or SIGTERM arrived; like KeyboardInterrupt it is no Exception, so nothing mistakes it for a failure."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.exit_code = 128 + signum


class Diverged(Exception):
    """The training loss is no longer a finite number."""
