"""A password or token that cannot be printed by accident."""

from __future__ import annotations

from typing import NoReturn


class Secret:
    """Holds the bytes of a password or token; `repr`, `str`, formatting and pickling never show them."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """The bytes themselves, for the one place that puts them on a wire."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "Secret(...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is never serialised")
