"""The one error a user is meant to read: what is wrong, and what to do about it."""


class Refusal(Exception):
    """The export stops here; the text says why and what the user can do."""
