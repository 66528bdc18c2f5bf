"""The error that all of this package raises for its caller."""


class ExportError(Exception):
    """A task cannot be exported, or a file is no export. The message is written for whoever asked."""
