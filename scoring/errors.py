"""The error of everything that keeps a run from its end. Images that cannot be read are no errors, but rows of the result."""


class ScoringError(Exception):
    """The run cannot go on. The message is for the person who began it. The same call may go on later."""
