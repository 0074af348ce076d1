"""HTML that cannot be broken out of: what is not known to be HTML is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final

_VOID: Final = frozenset({"meta", "br", "input", "path", "line"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


#: What an element holds: HTML, text to be escaped, several of either, or nothing.
Content = str | Iterable["Content"] | None
Attribute = str | int | float | bool | None


def element(name: str, /, *content: Content, **attributes: Attribute) -> Markup:
    """Return an element; ``class_`` is its class, ``data_x`` the attribute ``data-x``.

    An attribute that is True stands alone, one that is None or False is left out.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        # Of SVG's elements HTML takes the slash at its word.
        return Markup(f"<{name}{written}/>")
    return Markup(f"<{name}{written}>{joined(*content)}</{name}>")


def joined(*content: Content) -> Markup:
    """Return what is given as HTML, in a row."""
    return Markup("".join(_html(each) for each in content))


def _html(content: Content) -> str:
    if content is None:
        return ""
    if isinstance(content, Markup):
        return str(content)
    if isinstance(content, str):
        return escape(content)
    return "".join(_html(each) for each in content)


def _attribute(key: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
