"""The error whose text is shown to the user: what is wrong, and what to do about it."""


class ExportError(Exception):
    """The export cannot go on; the text says why, and what the user can do."""
