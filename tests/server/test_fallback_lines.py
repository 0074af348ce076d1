"""The lines of the fallback, and how much of them a response holds, as a browser counts it."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from callboard_server.fallback import lines

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def javascript_length(data: bytes) -> int:
    return len(data.decode().encode("utf-16-le")) // 2


@given(TEXT)
@example('\n\r\u2028\x00"\\')
def test_a_message_is_one_line_with_a_list_of_one_string(text: str) -> None:
    payload = json.dumps({"data": text}, ensure_ascii=False)
    line = lines.message(payload.encode())
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert line[:1] == b"a"
    assert json.loads(line[1:]) == [payload]


def test_a_close_has_code_and_reason() -> None:
    assert lines.close(4001, 'App key "a" ž') == 'c[4001,"App key \\"a\\" ž"]\n'.encode()


@given(TEXT)
@example("ž🐴")
def test_a_length_is_in_utf_16_code_units(text: str) -> None:
    assert lines.units(text.encode()) == javascript_length(text.encode())


@given(st.lists(TEXT.map(lambda text: text.replace("\n", "")), min_size=1), st.integers(0, 60))
@example(["abc", "d"], 4)
@example(["abc", "d"], 3)
@example(["ž🐴", "d", "e"], 4)
@example(["ž🐴", "d", "e"], 3)
def test_the_cut_is_behind_the_first_line_that_passes_the_room(texts: list[str], room: int) -> None:
    data = "".join(f"{text}\n" for text in texts).encode()
    end = lines.cut(data, room)
    kept = data[:end]
    assert kept.endswith(b"\n")
    if end < len(data):
        assert javascript_length(kept) > room
    last = kept[:-1].rfind(b"\n") + 1
    assert javascript_length(kept[:last]) <= room


def test_a_body_is_a_list_of_messages() -> None:
    assert lines.messages(b'["a","\xc5\xbe"]') == ["a", "ž"]
    assert lines.messages(b" [ ] ") == []


@pytest.mark.parametrize(
    "body", [b"", b"[", b"{}", b'"a"', b"null", b'["a",1]', b'[["a"]]', b'["\xff"]', b'["\\ud800"]']
)
def test_any_other_body_is_refused(body: bytes) -> None:
    with pytest.raises(lines.BadBody, match="JSON list of strings"):
        lines.messages(body)
