"""The form of a recording, and what is said of files that are none."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from callboard.traffic.errors import BadRecording
from callboard.traffic.recording import (
    FORMAT,
    MAX_BYTES,
    MAX_MS,
    Answer,
    ClientFrame,
    Connect,
    Disconnect,
    Header,
    Held,
    Record,
    Recording,
    Refused,
    Request,
    ServerFrame,
    line,
)

HEADER = line(Header(callboard=FORMAT, started_ms=1_700_000_000_000))
RECORDS: list[Record] = [
    Connect(ms=0.5, connection=1, transport="websocket", key="k", parameters={"protocol": "7"}),
    ServerFrame(ms=1.0, connection=1, frame={"event": "e", "data": "žluťoučký 🐴"}),
    ClientFrame(ms=2.25, connection=1, unread_bytes=4, binary=True),
    Request(ms=3, request=1, method="POST", path="/events", app="1", key="k", body={"name": "e"}),
    Answer(ms=4, request=1, status=200),
    Held(ms=5, for_ms=12.5),
    Refused(ms=6, key="k", status=404),
    Disconnect(ms=7, connection=1, by="client", code=1000, reason="bye"),
]
REQUEST = {"what": "request", "ms": 1, "request": 1, "method": "POST", "path": "/events"}
WHOLE = HEADER + b"".join(line(record) for record in RECORDS)


def written(folder: Path, content: bytes) -> Path:
    path = folder / "traffic.jsonl"
    path.write_bytes(content)
    return path


def test_what_is_written_is_read_as_often_as_it_is_asked_for(tmp_path: Path) -> None:
    recording = Recording(written(tmp_path, WHOLE))
    assert recording.header == Header(callboard=FORMAT, started_ms=1_700_000_000_000)
    for _ in range(2):
        assert list(recording) == RECORDS
        assert not recording.torn


def test_a_line_begins_with_what_happened_and_when() -> None:
    assert line(RECORDS[0]).startswith(b'{"what":"connect","ms":0.5,"connection":1,')


@pytest.mark.parametrize("cut", range(1, len(line(RECORDS[-1]))))
def test_a_broken_last_line_is_left_out_and_told(tmp_path: Path, cut: int) -> None:
    recording = Recording(written(tmp_path, WHOLE[:-cut]))
    # Without its end alone it is still whole.
    whole = cut == 1
    assert list(recording) == (RECORDS if whole else RECORDS[:-1])
    assert recording.torn is not whole


def test_a_broken_line_in_the_middle_is_refused_by_its_number(tmp_path: Path) -> None:
    recording = Recording(written(tmp_path, WHOLE.replace(b'"connection":1', b'"connection":', 1)))
    with pytest.raises(BadRecording, match=r"Line 2 of .*traffic\.jsonl is no record"):
        list(recording)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("path", "@elsewhere.example/"),
        ("path", ":1/"),
        ("method", "GET / HTTP/1.1"),
        ("method", ""),
    ],
)
def test_a_request_that_would_leave_the_service_is_refused(
    tmp_path: Path, field: str, value: str
) -> None:
    record = {"what": "request", "ms": 1, "request": 1, "method": "GET", "path": "/", field: value}
    recording = Recording(written(tmp_path, HEADER + orjson.dumps(record) + b"\n"))
    with pytest.raises(BadRecording, match=rf"Line 2 of .*{field}"):
        list(recording)


@pytest.mark.parametrize("frame", [{}, {"event": 1}])
def test_a_frame_that_is_no_event_is_refused(tmp_path: Path, frame: dict[str, int]) -> None:
    for what in ("client", "server"):
        record = {"what": what, "ms": 1, "connection": 1, "frame": frame}
        recording = Recording(written(tmp_path, HEADER + orjson.dumps(record) + b"\n"))
        with pytest.raises(BadRecording, match=r"Line 2 of .* expected an event in the frame"):
            list(recording)


@pytest.mark.parametrize(
    "record",
    [
        {"what": "disconnect", "ms": -1, "connection": 1, "by": "client", "code": 1000},
        {"what": "answer", "ms": 1e300, "request": 1},
        {"what": "held", "ms": 1, "for_ms": 1e300},
        {"what": "client", "ms": 1, "connection": 1, "unread_bytes": MAX_BYTES + 1},
        {"what": "client", "ms": 1, "connection": 1, "unread_bytes": -1},
        {"what": "server", "ms": 1, "connection": 1, "frame": {"event": "e", "data_bytes": -1}},
        {"what": "client", "ms": 1, "connection": 1, "frame": {"event": "e", "data_bytes": 10**15}},
        {**REQUEST, "body_bytes": MAX_BYTES + 1},
        {**REQUEST, "body": {"name": "e", "data_bytes": "7"}},
        {**REQUEST, "body": {"batch": [{"name": "e", "data_bytes": MAX_BYTES + 1}]}},
    ],
)
def test_times_and_lengths_that_cannot_be_are_refused_by_the_line(
    tmp_path: Path, record: dict[str, object]
) -> None:
    recording = Recording(written(tmp_path, WHOLE + orjson.dumps(record) + b"\n"))
    with pytest.raises(
        BadRecording, match=rf"Line {len(RECORDS) + 2} of .* is no record: Expected"
    ):
        list(recording)


def test_the_longest_that_can_be_are_read(tmp_path: Path) -> None:
    longest = [
        ClientFrame(ms=MAX_MS, connection=1, unread_bytes=MAX_BYTES),
        ServerFrame(ms=MAX_MS, connection=1, frame={"event": "e", "data_bytes": MAX_BYTES}),
    ]
    content = HEADER + b"".join(map(line, longest))
    assert list(Recording(written(tmp_path, content))) == longest


def test_a_later_format_is_refused_with_what_to_do(tmp_path: Path) -> None:
    later = WHOLE.replace(b"traffic/1", b"traffic/2")
    with pytest.raises(BadRecording) as refusal:
        Recording(written(tmp_path, later))
    text = str(refusal.value)
    assert "has the format 'traffic/2'" in text
    assert "reads 'traffic/1'" in text
    assert text.endswith("Use the version that has recorded it, or a later one.")


def test_a_later_format_is_refused_as_such_whatever_else_its_first_line_says(
    tmp_path: Path,
) -> None:
    path = written(tmp_path, b'{"callboard":"traffic/9","started_ms":"today"}\n')
    with pytest.raises(BadRecording, match="has the format 'traffic/9'"):
        Recording(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty: nothing was recorded"),
        (b"\n", "is no recording"),
        (b"[1]\n", "is no recording"),
        (b'{"callboard":7}\n', "is no recording"),
        (b'{"callboard":"traffic/1","sta', "is no recording"),
        (b"\xff\xfe", "is no recording"),
    ],
)
def test_what_is_no_recording_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(BadRecording, match=said):
        Recording(written(tmp_path, content))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRecording, match=r"Cannot read .*: No such file or directory\."):
        Recording(tmp_path / "nothing.jsonl")


def test_fields_of_later_versions_are_skipped(tmp_path: Path) -> None:
    longer = WHOLE.replace(b'"connection":1', b'"connection":1,"colour":"blue"')
    assert list(Recording(written(tmp_path, longer))) == RECORDS
