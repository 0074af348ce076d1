"""What goes to workers and comes from them: bundles, sizes, tokens, processes, large values."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from callboard_scheduler import tokens, wire
from callboard_scheduler.engine import incoming
from callboard_scheduler.records import Raw
from callboard_scheduler.transports import FOREIGN, OWN, Cause
from scheduler.engine_stage import APP, SECRET, Hand, Stage, settles, stage, story

LIMIT = OWN.limits.bytes


# Bundles


@story
async def test_what_is_said_to_a_worker_in_one_turn_leaves_as_one_event() -> None:
    async with stage() as scene:
        scene.worker(cap=3)
        scene.worker("w2", cap=3)
        await settles()
        await scene.submit()
        tasks = await scene.submit_all(*[{}] * 5)
        for name in ("w1", "w2"):
            given = [
                [message.id for message in event.m if isinstance(message, wire.Assign)]
                for event in scene.transport.events[name][-1:]
            ]
            assert len(given) == 1
            assert set(given[0]) <= set(tasks)
            assert len(given[0]) >= 2


@story
async def test_events_are_numbered_without_gaps_and_have_the_term() -> None:
    async with stage() as scene:
        scene.worker(cap=20)
        await settles()
        await scene.submit_all(*[{"args": {"text": "x" * 30_000}}] * 10)
        await scene.submit()
        events = scene.transport.events["w1"]
        assert [event.n for event in events] == list(range(1, len(events) + 1))
        assert {event.term for event in events} == {1}


@story
async def test_a_bundle_above_the_limit_is_split_and_stays_in_order() -> None:
    async with stage() as scene:
        worker = scene.worker(cap=20)
        await settles()
        tasks = await scene.submit_all(*[{"args": {"text": "x" * 30_000}}] * 10)
        assert worker.tasks() == tasks
        assert max(scene.transport.sizes) <= LIMIT
        assert len(scene.transport.events["w1"]) > 3


@story
async def test_the_limit_is_one_of_bytes_and_not_of_characters() -> None:
    async with stage() as scene:
        worker = scene.worker(cap=4)
        await settles()
        tasks = await scene.submit_all(*[{"args": {"text": "ü" * 20_000}}] * 4)
        assert worker.tasks() == tasks


@story
async def test_large_arguments_that_are_split_off_from_others_keep_their_reference() -> None:
    async with stage() as scene:
        worker = scene.worker(cap=3)
        await settles()
        sizes = (60_000, 70_000, 60_000)
        tasks = await scene.submit_all(*[{"args": {"text": "x" * size}} for size in sizes])
        given = [worker.given[task] for task in tasks]
        assert [each.ref is not None for each in given] == [False, True, False]
        assert [each.args is not None for each in given] == [True, False, True]
        assert all(each.put_url for each in given)


@story
async def test_a_small_service_gets_small_events() -> None:
    async with stage(profile=FOREIGN, address="http://here") as scene:
        worker = scene.worker()
        await settles()
        task = await scene.submit(args={"text": "x" * 7_000})
        assert worker.given[task].args is None
        assert (worker.given[task].ref or "").startswith(f"http://here/sched/blobs/{APP}/{task}/")


@pytest.mark.parametrize(("checkpoint", "goes_along"), [(60_000, True), (99_900, False)])
def test_a_task_whose_checkpoint_is_large_is_given_out_all_the_same(
    checkpoint: int, goes_along: bool
) -> None:
    @story
    async def tell() -> None:
        async with stage() as scene:
            first = scene.worker()
            await settles()
            task = await scene.submit(args={"text": "x" * 60_000})
            fence = first.given[task].f
            first.says(wire.Checkpoint(task, fence, Raw(msgspec.json.encode("c" * checkpoint))))
            first.leaves()
            second = scene.worker("w2")
            await settles()
            given = second.given[task]
            assert given.ref is not None
            assert (given.ck is not None) is goes_along

    tell()


@story
async def test_a_running_task_hears_of_large_new_arguments_by_reference() -> None:
    async with stage() as scene:
        worker = scene.worker()
        await settles()
        task = await scene.submit()
        worker.accepts(task)
        large = Raw(msgspec.json.encode({"text": "x" * 200_000}))
        await scene.scheduler.update(task, {"args": large})
        await settles()
        [update] = worker.took(wire.Update)
        assert update.args is None
        assert update.ref is not None
        assert scene.scheduler.current_args(task, update.f) == large


# Tokens


def token(worker: str = "w1", **fields: Any) -> str:
    return tokens.worker_token(
        "key", SECRET, worker=worker, expires=fields.pop("expires", 4_000_000_000), **fields
    )


def grant(**fields: Any) -> tokens.WorkerGrant:
    found = tokens.verify(token(**fields), SECRET, 0)
    assert isinstance(found, tokens.WorkerGrant)
    return found


def refused(worker: Hand) -> str:
    [message] = worker.took(wire.Refused)
    assert message.boot == worker.boot
    return message.why


def served(scene: Stage) -> list[tuple[list[str], list[str] | None]]:
    return [
        (list(worker.queues), None if worker.names is None else list(worker.names))
        for worker in scene.scheduler.workers()
    ]


@story
async def test_a_hello_with_a_token_gets_the_queues_and_names_that_both_say() -> None:
    async with stage() as scene:
        shown = token(queues=["a", "b"], names=["x", "y"])
        scene.worker(q=["b", "c"], names=["y", "z"], token=shown)
        assert served(scene) == [(["b"], ["y"])]
        scene.worker("w2", q=["b"], token=token("w*", names=["x"]))
        assert served(scene)[1] == (["b"], ["x"])


@story
async def test_a_hello_that_shows_no_token_is_held_to_the_one_that_opened_its_channel() -> None:
    async with stage() as scene:
        scene.scheduler.granted("w1", "1.1", grant(queues=["a"]))
        scene.worker(q=["a", "b"])
        assert served(scene) == [(["a"], None)]


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        (token("w2"), "not one of worker w1"),
        (token(expires=1), "expired"),
        (token()[:-1] + "x", "Token refused"),
        (token(queues=["other"]), "allows the queues other"),
        (tokens.watch_token("key", SECRET, fleet=True, expires=4_000_000_000), "not one of"),
    ],
)
def test_a_token_that_does_not_allow_it_is_refused_with_the_reason(shown: str, why: str) -> None:
    @story
    async def tell() -> None:
        async with stage() as scene:
            worker = scene.worker(token=shown)
            await settles()
            assert why in refused(worker)
            assert served(scene) == []

    tell()


@story
async def test_a_worker_cannot_get_other_queues_by_a_new_capacity() -> None:
    async with stage() as scene:
        worker = scene.worker(q=["a"], token=token(queues=["a", "b"]))
        worker.says(wire.Capacity(1, 1, ["b", "c"]))
        assert served(scene) == [(["b"], None)]
        free = scene.worker("w2", q=["a"])
        free.says(wire.Capacity(1, 1, ["c"]))
        assert served(scene)[1] == (["c"], None)


@story
async def test_whoever_makes_its_grant_forgotten_has_to_show_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(incoming, "_MOST_GRANTS", 3)
    async with stage() as scene:
        for number in range(2, 6):
            scene.scheduler.granted("w1", f"{number}.1", grant(queues=["a"]))
        worker = scene.worker(q=["b"])
        await settles()
        assert "not known any more" in refused(worker)
        scene.worker("w2", q=["b"], token=token("w2"))
        assert served(scene) == [(["b"], None)]


# Processes and connections


@story
async def test_a_process_that_reconnects_does_not_lose_its_tasks_with_the_old_connection() -> None:
    async with stage() as scene:
        old = scene.worker()
        await settles()
        task = await scene.submit()
        old.accepts(task)
        new = scene.stranger()
        new.says(wire.Hello("w1", free=0, run=[(task, old.given[task].f)]))
        old.leaves()
        assert scene.live() == ["running"]
        await settles()
        [welcome] = new.took(wire.Welcome)
        assert [verdict for _, _, verdict in welcome.run] == ["go"]
        new.leaves()
        assert scene.live() == ["ready"]


@story
async def test_a_second_process_of_one_id_is_refused_and_takes_nothing_with_it() -> None:
    async with stage() as scene:
        first = scene.worker(boot="first")
        await settles()
        task = await scene.submit()
        first.accepts(task)
        second = scene.worker(boot="second")
        await settles()
        [message] = second.took(wire.Refused)
        assert message.boot == "second"
        second.leaves()
        assert scene.live() == ["running"]
        first.leaves()
        scene.worker(boot="third")
        await settles()
        assert scene.live() == ["assigned"]


@story
async def test_the_end_of_a_connection_that_has_said_nothing_is_nobodys() -> None:
    async with stage() as scene:
        worker = scene.worker()
        await settles()
        task = await scene.submit()
        worker.accepts(task)
        scene.stranger().leaves(Cause.UNSUBSCRIBED)
        assert scene.live() == ["running"]


@story
async def test_a_worker_that_may_have_spoken_unheard_is_asked_to_say_hello() -> None:
    async with stage(hears_late=True) as scene:
        worker = scene.stranger()
        await settles()
        assert len(worker.took(wire.Resync)) == 1


@story
async def test_what_is_no_envelope_is_noted_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with stage() as scene:
        worker = scene.stranger()
        scene.listener.received(worker.channel, worker.socket_id, '{"v":1}')
        scene.listener.received(worker.channel, worker.socket_id, "\ud800")
        assert served(scene) == []
        assert all("was not taken" in text for text in caplog.messages)
        assert len(caplog.messages) == 2


# Large values


async def given(scene: Stage) -> tuple[Hand, wire.Assign]:
    worker = scene.worker()
    await settles()
    task = await scene.submit()
    worker.accepts(task)
    return worker, worker.given[task]


@story
async def test_a_large_result_is_what_was_put_last() -> None:
    async with stage() as scene:
        worker, assign = await given(scene)
        assert scene.scheduler.put_result(assign.id, assign.f, Raw(b'"one"'))
        assert scene.scheduler.put_result(assign.id, assign.f, Raw(b'"two"'))
        worker.says(wire.Result(assign.id, assign.f, ref=True))
        await settles()
        assert (await scene.task(assign.id)).result == Raw(b'"two"')
        assert worker.done() == ["recorded"]
        worker.says(wire.Result(assign.id, assign.f, ref=True))
        await settles()
        assert worker.done() == ["stale"]


@story
async def test_a_result_whose_value_was_not_put_is_not_taken_until_it_was() -> None:
    async with stage() as scene:
        worker, assign = await given(scene)
        worker.says(wire.Result(assign.id, assign.f, ref=True))
        await settles()
        assert worker.done() == []
        assert scene.live() == ["running"]
        scene.scheduler.put_result(assign.id, assign.f, Raw(b"1"))
        worker.says(wire.Result(assign.id, assign.f, ref=True))
        await settles()
        assert worker.done() == ["recorded"]


@story
async def test_nothing_is_put_or_fetched_for_an_assignment_that_is_over() -> None:
    async with stage() as scene:
        worker, assign = await given(scene)
        assert scene.scheduler.current_args(assign.id, assign.f) == Raw(b"{}")
        worker.leaves()
        assert not scene.scheduler.put_result(assign.id, assign.f, Raw(b"1"))
        again = scene.worker("w2")
        await settles()
        assert scene.scheduler.current_args(assign.id, assign.f) is None
        assert not scene.scheduler.put_result(assign.id, assign.f, Raw(b"1"))
        assert scene.scheduler.put_result(assign.id, again.given[assign.id].f, Raw(b"1"))


@story
async def test_a_late_result_whose_value_was_never_put_is_none() -> None:
    """Its lease is over, and nobody else has been heard: a small result would still count."""
    async with stage() as scene:
        worker, assign = await given(scene)
        worker.leaves()
        back = scene.stranger()
        back.says(wire.Hello("w1", cap=0, free=0))
        back.says(wire.Result(assign.id, assign.f, ref=True))
        await settles()
        assert back.done() == ["stale"]
        assert scene.live() == ["ready"]
