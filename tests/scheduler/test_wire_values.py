"""Values of users on the wire: JSON text that arrives as it was sent, or is not there."""

from __future__ import annotations

import pytest

from callboard_scheduler import wire
from callboard_scheduler.records import Raw

VALUES = [b'{"a":[1,2.50,"\xc3\xa4"]}', b"[]", b'"text"', b"0", b"null", b"123456789012345678901.0"]


@pytest.mark.parametrize("text", VALUES)
def test_a_workers_values_arrive_as_they_were_sent(text: bytes) -> None:
    sent = (
        wire.ProgressReport("t1", 1, data=Raw(text)),
        wire.Result("t1", 1, val=Raw(text)),
        wire.Released("t1", 1, ck=Raw(text)),
        wire.Checkpoint("t1", 1, ck=Raw(text)),
    )
    progress, result, released, checkpoint = wire.decode_up(wire.encode_up("boot", 1, sent)).m
    assert isinstance(progress, wire.ProgressReport) and isinstance(result, wire.Result)
    assert isinstance(released, wire.Released) and isinstance(checkpoint, wire.Checkpoint)
    values = (progress.data, result.val, released.ck, checkpoint.ck)
    assert [value is not None and bytes(value) for value in values] == [text] * 4


@pytest.mark.parametrize("text", VALUES)
def test_the_schedulers_values_arrive_as_they_were_sent(text: bytes) -> None:
    sent = (
        wire.Assign("t1", 1, 1, "report", args=Raw(text), ck=Raw(text)),
        wire.Update("t1", 1, 2, args=Raw(text)),
    )
    assign, update = wire.decode_down(wire.encode_down(1, 1, sent)).m
    assert isinstance(assign, wire.Assign) and isinstance(update, wire.Update)
    values = (assign.args, assign.ck, update.args)
    assert [value is not None and bytes(value) for value in values] == [text] * 3


def test_a_value_that_was_not_sent_is_none() -> None:
    [result] = wire.decode_up(wire.encode_up("boot", 1, [wire.Result("t1", 1)])).m
    assert isinstance(result, wire.Result) and result.val is None
    [assign] = wire.decode_down(wire.encode_down(1, 1, [wire.Assign("t1", 1, 1, "report")])).m
    assert isinstance(assign, wire.Assign) and assign.args is None and assign.ck is None
