"""The errors whose text is shown to the user: what is wrong, and what to do about it."""


class ExportError(Exception):
    """The export cannot go on; the text says why, and what the user can do."""


class HubError(ExportError):
    """A hub did not deliver; another one may."""
