"""The report as one HTML page, made from the JSON documents and from nothing else.

1. The page needs no other file and makes no request: style, script and data are in it, and its
   content security policy forbids anything else.
2. It is whole without its script, which adds only what a pointer shows and the choice of a round.
   All figures of the charts are in tables besides.
3. Whatever comes from a document is text until :mod:`markup` has escaped it.
4. A plot is SVG that is stretched to the width there is (:mod:`plot`). Its numbers are HTML
   above it, so they keep their size on any screen.
5. Secrets do not belong in a document; what looks like one in a URL is taken out all the same.

In reading order: :mod:`body`, :mod:`tables`, :mod:`curves`, :mod:`timelines`, :mod:`plot`,
:mod:`scales`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from callboard_bench.report.page.body import body
from callboard_bench.report.page.markup import Markup, element

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_SECRET: Final = re.compile(rb"(://[^:/@\s\"\\]*:)[^/\s\"\\]*@")


def page(documents: Sequence[Mapping[str, Any]]) -> str:
    """Return a whole HTML document about these documents, in their order."""
    # As JSON has them: NaN is null, keys are strings.
    text = _SECRET.sub(rb"\1***@", orjson.dumps(documents))
    read = orjson.loads(text)
    scenarios = ", ".join(str(document["scenario"]) for document in read)
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("title", f"Callboard bench: {scenarios}"),
        element("style", _file("page.css")),
    )
    return (
        "<!doctype html>\n"
        + element("html", head, element("body", body(read, _download(text)), _script()), lang="en")
        + "\n"
    )


def _download(text: bytes) -> str:
    """Return a URL that holds the documents as a file."""
    whole = orjson.dumps(orjson.loads(text), option=orjson.OPT_INDENT_2)
    return "data:application/json;base64," + base64.b64encode(whole).decode()


def _script() -> Markup:
    return element("script", _file("page.js"))


def _file(name: str) -> Markup:
    return Markup(Path(__file__).with_name(name).read_text())
