"""The commands about tasks: what they ask for, what they write, and how they end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from callboard.cli import main
from callboard.commands import output, schedules
from callboard_scheduler import queries, tokens
from callboard_scheduler.client.loop_thread import LoopThread
from support.fake_scheduler import KEY, SECRET, FakeScheduler, Refusal

Scheduler = LoopThread[FakeScheduler]


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scheduler]:
    """A scheduler on a thread of its own, which the environment names."""
    for name in [name for name in os.environ if name.startswith(("CALLBOARD_", "PUSHER_"))]:
        monkeypatch.delenv(name)
    thread = LoopThread("fake-scheduler", FakeScheduler)
    monkeypatch.setenv("CALLBOARD_URL", at(thread).url)
    yield thread
    thread.close()


def at(scheduler: Scheduler) -> FakeScheduler:
    """Return the scheduler itself, to look at or to set up while nothing is asked of it."""

    async def itself(fake: FakeScheduler) -> FakeScheduler:
        return fake

    return scheduler.run(itself)


def run(*arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(main, arguments, input=text, prog_name="callboard")


def succeed(*arguments: str, text: str | None = None) -> str:
    """Return what a command writes that must succeed and complain of nothing."""
    result = run(*arguments, text=text)
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


class TestSubmitting:
    def test_the_id_alone_is_written(self, scheduler: Scheduler) -> None:
        assert succeed("tasks", "submit", "thumbnail") == "t1\n"
        assert at(scheduler).seen == [("POST", "tasks", {"name": "thumbnail"})]

    def test_every_option_becomes_a_field(self, scheduler: Scheduler) -> None:
        options = (
            "--args",
            '{"url":"ä"}',
            *("--queue", "images", "--priority", "-5", "--delay", "1.5s"),
            *("--start-by", "2030-01-31T08:00Z", "--timeout", "2m", "--max-attempts", "4"),
            *("--retry", '{"factor": 3}', "--unique-key", "k", "--on-conflict", "replace"),
            *("--label", "gpu=true", "--label", "zone=a", "--label", "zone=b"),
            *("--after", "t8", "--after", "t9", "--limit-key", "api", "--limit", "2"),
            *("--on-disconnect", "grace", "--max-losses", "1"),
        )
        assert json.loads(succeed("tasks", "submit", "thumbnail", *options, "--json")) == {
            "id": "t1",
            "state": "ready",
        }
        assert at(scheduler).seen[0][2] == {
            "name": "thumbnail",
            "args": {"url": "ä"},
            "queue": "images",
            "priority": -5,
            "delay_ms": 1_500,
            "start_by": "2030-01-31T08:00Z",
            "timeout_ms": 120_000,
            "retry": {"factor": 3, "max_attempts": 4},
            "unique_key": "k",
            "on_conflict": "replace",
            "target": {"labels": {"gpu": True, "zone": ["a", "b"]}},
            "after": ["t8", "t9"],
            "limit_key": "api",
            "limit": 2,
            "on_disconnect": "grace",
            "max_losses": 1,
        }

    @pytest.mark.parametrize("way", ["text", "file", "standard input"])
    def test_arguments_come_as_text_from_a_file_or_from_standard_input(
        self, scheduler: Scheduler, tmp_path: Path, way: str
    ) -> None:
        file = tmp_path / "args.json"
        file.write_text("[1, 2]")
        given = {"text": "[1, 2]", "file": f"@{file}", "standard input": "-"}[way]
        succeed("tasks", "submit", "add", "--args", given, text="[1, 2]")
        assert at(scheduler).seen[0][2]["args"] == [1, 2]

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            (("--args", "{"), "'{' is no JSON"),
            (("--args", "3"), "expected an object or an array, got '3'"),
            (("--args", "@/nowhere/args.json"), "No such file"),
            (("--args", "[" * 5_000), "is no JSON: maximum recursion depth exceeded"),
            (("--args", '["\\ud800"]'), "is no JSON: str is not valid UTF-8"),
            (("--retry", "[]"), "expected an object, got '[]'"),
            (("--delay", "9" * 400), "is too long: expected at most 9007199254740991 ms"),
            (("--delay", "soon"), "'soon' is no duration: expected a number with ms, s, m, h or d"),
            (("--delay", "-1s"), "'-1s' is no duration"),
            (("--label", "gpu"), "'gpu' is no KEY=VALUE"),
            (("--url", "127.0.0.1:6001"), "API URL without http or https"),
            (("--url", f"http://{KEY}:{SECRET}@h/"), "API URL without an app's id"),
        ],
    )
    def test_what_cannot_be_read_is_wrong_usage(
        self, scheduler: Scheduler, options: tuple[str, ...], text: str
    ) -> None:
        result = run("tasks", "submit", "thumbnail", *options)
        assert result.exit_code == 2
        assert text in " ".join(re.sub(r"[│╭╮╰╯─]", " ", result.stderr).split())
        assert SECRET not in result.output
        assert not at(scheduler).seen

    def test_waiting_writes_the_result_and_nothing_else(self, scheduler: Scheduler) -> None:
        with ThreadPoolExecutor() as others:
            finishing = others.submit(scheduler.run, finish_first(result={"ä": 1}))
            assert succeed("tasks", "submit", "thumbnail", "--wait") == '{"ä": 1}\n'
            finishing.result()

    def test_waiting_for_a_task_that_fails_says_why_and_fails(self, scheduler: Scheduler) -> None:
        failure = {"type": "ValueError", "msg": "no\x1b[2Jpicture"}
        with ThreadPoolExecutor() as others:
            finishing = others.submit(scheduler.run, finish_first("dead", error=failure))
            result = run("tasks", "submit", "thumbnail", "--wait")
            finishing.result()
        assert result.exit_code == 1
        # What a worker said must not reach the terminal's ears.
        assert result.stderr == (
            "Error: task t1 (thumbnail) failed: ValueError: no\\x1b[2Jpicture\n"
        )
        assert result.stdout == ""

    def test_a_result_is_json_that_a_terminal_can_bear(self, scheduler: Scheduler) -> None:
        with ThreadPoolExecutor() as others:
            finishing = others.submit(scheduler.run, finish_first(result="\x9b2Jä\x1b"))
            written = succeed("tasks", "submit", "thumbnail", "--wait")
            finishing.result()
        assert written == '"\\u009b2Jä\\u001b"\n'
        assert json.loads(written) == "\x9b2Jä\x1b"

    def test_a_failure_is_a_record_too_for_who_reads_json(self, scheduler: Scheduler) -> None:
        failure = {"type": "ValueError", "msg": "no picture"}
        with ThreadPoolExecutor() as others:
            finishing = others.submit(scheduler.run, finish_first("dead", error=failure))
            result = run("tasks", "submit", "thumbnail", "--wait", "--json")
            finishing.result()
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: task t1 (thumbnail) failed: ")
        record = json.loads(result.stdout)
        assert (record["id"], record["state"], record["error"]) == ("t1", "dead", failure)

    def test_waiting_may_end_with_the_whole_record(self, scheduler: Scheduler) -> None:
        with ThreadPoolExecutor() as others:
            finishing = others.submit(scheduler.run, finish_first(result=1))
            record = json.loads(succeed("tasks", "submit", "thumbnail", "--wait", "--json"))
            finishing.result()
        assert (record["id"], record["state"], record["result"]) == ("t1", "succeeded", 1)


def finish_first(state: str = "succeeded", **fields: Any) -> Any:
    """Return what ends the first task as soon as it is waited for."""

    async def finish(fake: FakeScheduler) -> None:
        await fake.until(lambda: fake.requests("GET", "tasks/t1") >= 2)
        await fake.finish("t1", state, **fields)

    return finish


class TestLookingUp:
    def test_a_table_elsewhere_than_on_a_terminal_is_aligned_and_whole(
        self, scheduler: Scheduler
    ) -> None:
        fake = at(scheduler)
        fake.task(id="0" * 32, name="n" * 120, state="running", worker="w1", attempt=1)
        fake.records["0" * 32]["progress"] = {"pct": 12.5, "msg": "half\nway", "data": None}
        fake.task(id="t2", created_at=0, state="scheduled", run_at=4_000_000_000_000)
        heads, second, first = succeed("tasks", "list").splitlines()
        assert heads.split() == [
            *("ID", "NAME", "QUEUE", "STATE", "PRIO", "WORKER", "PROGRESS", "AGE", "DUE"),
        ]
        assert "n" * 120 in first
        assert "12.5% half\\nway" in first
        assert re.search(r"t2 .* scheduled .* in \d+", second)
        assert heads.index("NAME") == second.index("thumbnail")

    def test_nothing_found_is_said(self, scheduler: Scheduler) -> None:
        assert succeed("tasks", "list") == "No tasks.\n"
        assert succeed("workers") == "No workers.\n"
        assert succeed("schedules", "list") == "No schedules.\n"
        assert succeed("queues") == "No queues.\n"
        assert json.loads(succeed("tasks", "list", "--json")) == {"tasks": []}

    def test_a_list_is_filtered_and_bounded(self, scheduler: Scheduler) -> None:
        fake = at(scheduler)
        for n in range(60):
            fake.task(queue="a" if n % 2 else "b")

        def listed(*options: str) -> list[str]:
            found = json.loads(succeed("tasks", "list", "--json", *options))
            return [each["id"] for each in found["tasks"]]

        assert len(listed()) == 50
        assert len(listed("--all")) == 60
        assert listed("--queue", "a", "--name", "thumbnail", "--limit", "2") == ["t60", "t58"]
        assert listed("--state", "running") == []

    def test_one_task_is_shown_with_its_attempts(self, scheduler: Scheduler) -> None:
        attempt = {
            "n": 1,
            "worker": "w1",
            "outcome": "failed",
            "started_at": 1_900_000_000_000,
            "ended_at": 1_900_000_001_500,
            "error": {"type": "OSError", "msg": "disk"},
        }
        at(scheduler).task(state="dead", error={"type": "OSError", "msg": ""}, attempts=[attempt])
        shown = succeed("tasks", "show", "t1")
        assert re.search(r"^state +dead$", shown, re.MULTILINE)
        assert re.search(r"^error +OSError$", shown, re.MULTILINE)
        assert re.search(r"^1 +w1 +failed +20\S+ \S+ +1\.5s +OSError: disk$", shown, re.MULTILINE)
        assert json.loads(succeed("tasks", "show", "t1", "--json"))["attempts"] == [attempt]

    def test_why_writes_the_reasons(self, scheduler: Scheduler) -> None:
        fake = at(scheduler)
        fake.task()
        assert succeed("tasks", "why", "t1") == f"{fake.reasons[0]}\n"
        said = json.loads(succeed("tasks", "why", "t1", "--json"))
        assert said == {"id": "t1", "state": "ready", "why": fake.reasons}

    def test_workers_and_queues(self, scheduler: Scheduler) -> None:
        worker = {"id": "w1", "state": "idle", "slots": 4, "free": 3, "queues": ["a", "b"]}
        more = {"tasks": ["t1"], "labels": {"gpu": True}, "host": "h", "sdk": "py", "silent_ms": 20}
        at(scheduler).workers = [{**worker, **more}]
        row = succeed("workers").splitlines()[1].split()
        assert row == ["w1", "idle", "4", "3", "a,b", "1", "gpu=true", "h", "py", "20ms"]
        assert json.loads(succeed("workers", "--json")) == {"workers": [{**worker, **more}]}
        assert succeed("queues", "pause", "mail", "web") == "mail paused\nweb paused\n"
        assert [line.split()[:2] for line in succeed("queues").splitlines()[1:]] == [
            ["mail", "paused"],
            ["web", "paused"],
        ]
        assert succeed("queues", "resume", "mail") == "mail resumed\n"
        listed = json.loads(succeed("queues", "--json"))["queues"]
        assert [each["name"] for each in listed] == ["web"]

    def test_options_of_a_group_do_not_get_lost(self, scheduler: Scheduler) -> None:
        result = run("queues", "--url", "http://k:s@127.0.0.1:1/apps/1", "pause", "mail")
        assert result.exit_code == 2
        assert "Write options behind pause." in result.stderr
        assert not at(scheduler).seen


class TestChanging:
    def test_several_are_cancelled_and_begun_anew(self, scheduler: Scheduler) -> None:
        fake = at(scheduler)
        fake.task()
        fake.task()
        assert succeed("tasks", "cancel", "t1", "t2") == "t1 cancelled\nt2 cancelled\n"
        (line,) = succeed("tasks", "retry", "t2", "--json").splitlines()
        assert json.loads(line) == fake.records["t2"]

    def test_one_that_is_refused_does_not_keep_the_others(self, scheduler: Scheduler) -> None:
        fake = at(scheduler)
        fake.task(state="succeeded")
        fake.task()
        result = run("tasks", "cancel", "t1", "t2")
        assert (result.exit_code, result.stdout) == (1, "t2 cancelled\n")
        assert result.stderr == "Error: Task t1 has finished (succeeded)\n"
        assert run("tasks", "cancel", "t9", "t2").exit_code == 3

    @pytest.mark.parametrize(
        ("options", "target"),
        [
            (("--worker", "w2"), {"worker": "w2"}),
            (("--label", "gpu=1", "--label", "zone=x"), {"labels": {"gpu": 1, "zone": "x"}}),
            (("--anyone",), None),
        ],
    )
    def test_a_task_is_moved(
        self, scheduler: Scheduler, options: tuple[str, ...], target: object
    ) -> None:
        at(scheduler).task()
        assert succeed("tasks", "move", "t1", *options) == "t1 ready\n"
        assert at(scheduler).seen[-1] == ("POST", "tasks/t1/move", {"target": target})

    @pytest.mark.parametrize("options", [(), ("--anyone", "--worker", "w1")])
    def test_a_move_must_say_where_to(self, scheduler: Scheduler, options: tuple[str, ...]) -> None:
        result = run("tasks", "move", "t1", *options)
        assert result.exit_code == 2
        assert "Say where to" in result.stderr

    def test_an_update_sends_what_is_given_and_takes_away_what_is_cleared(
        self, scheduler: Scheduler
    ) -> None:
        at(scheduler).task()
        options = ("--delay", "0", "--priority", "3", "--clear", "target", "--clear", "start_by")
        succeed("tasks", "update", "t1", *options)
        assert at(scheduler).seen[-1][2] == {
            "delay_ms": 0,
            "priority": 3,
            "target": None,
            "start_by": None,
        }
        assert run("tasks", "update", "t1").exit_code == 2


class TestWatching:
    def test_lines_tell_what_happens(self, scheduler: Scheduler) -> None:
        at(scheduler).task()

        async def work(fake: FakeScheduler) -> None:
            # By the command, and before and behind the feed.
            await fake.until(lambda: fake.requests("GET", "tasks/t1") == 3)
            await fake.state("t1", "running", attempt=2, worker="w1")
            await fake.announce("t1", "progress", {"pct": 40, "msg": "scaling"})
            await fake.announce("t1", "progress", {"data": {"page": 2}})
            await fake.announce("t1", "log", {"lvl": "warning", "txt": "slow\x07"})
            await fake.announce("t1", "moved", {"from": "w1", "to": "w2", "why": "lost", "ms": 17})
            await fake.finish("t1", result=[1], progress={"data": {"page": 2}})

        with ThreadPoolExecutor() as others:
            working = others.submit(scheduler.run, work)
            lines = succeed("tasks", "watch", "t1").splitlines()
            working.result()
        assert lines == [
            "t1 ready",
            "t1 running on w1 (attempt 2)",
            "t1 40% scaling",
            't1 progress {"page": 2}',
            "t1 warning: slow\\x07",
            "t1 moved from w1 to w2 in 17ms: lost",
            "t1 succeeded: [1]",
        ]

    def test_programs_get_an_object_on_each_line(self, scheduler: Scheduler) -> None:
        fake = at(scheduler)
        progress = {"pct": 100, "msg": "all", "data": None}
        fake.task(state="succeeded", result=7, progress=progress)
        lines = [
            json.loads(line) for line in succeed("tasks", "watch", "t1", "--json").splitlines()
        ]
        assert lines == [
            {"id": "t1", "event": "progress", **progress},
            {"id": "t1", "event": "result", "state": "succeeded", "result": 7, "error": None},
        ]

    def test_one_that_does_not_succeed_is_a_failure(self, scheduler: Scheduler) -> None:
        fake = at(scheduler)
        fake.task(state="succeeded")
        fake.task(state="dead", error={"type": "E", "msg": "bad"})
        result = run("tasks", "watch", "t1", "t2", "t1")
        assert result.exit_code == 1
        assert sorted(result.stdout.splitlines()) == ["t1 succeeded", "t2 dead: E: bad"]

    def test_one_that_is_not_there_is_said_before_anything_is_watched(
        self, scheduler: Scheduler
    ) -> None:
        at(scheduler).task()
        result = run("tasks", "watch", "t1", "t9")
        assert (result.exit_code, result.stdout) == (3, "")
        assert result.stderr == "Error: Unknown task: 't9'\n"

    def test_a_feed_that_is_refused_ends_it(self, scheduler: Scheduler) -> None:
        at(scheduler).task()
        at(scheduler).refuse_subscriptions = True
        result = run("tasks", "watch", "t1")
        assert result.exit_code == 1
        assert result.stderr == (
            "Error: is the secret of the service right? "
            "cannot watch private-cache-sched.default.t.t1: not you\n"
        )

    def test_ctrl_c_ends_it_with_130(self, scheduler: Scheduler) -> None:
        at(scheduler).task()
        command = [sys.executable, "-m", "callboard", "tasks", "watch", "t1"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            try:
                scheduler.run(lambda fake: fake.watched("t1"))
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=30)
            finally:
                process.kill()
        assert (process.returncode, out, err) == (130, b"t1 ready\n", b"")


class TestSchedules:
    def test_a_task_is_scheduled_looked_up_paused_and_removed(self, scheduler: Scheduler) -> None:
        put = succeed(
            *("schedules", "put", "nightly", "--cron", "0 3 * * *", "--timezone", "Europe/Berlin"),
            *("--task", "report", "--args", '{"of":"day"}', "--queue", "slow", "--overlap", "skip"),
        )
        assert re.search(r"^when +0 3 \* \* \* \(Europe/Berlin\)$", put, re.MULTILINE)
        assert at(scheduler).seen[-1] == (
            "PUT",
            "schedules/nightly",
            {
                "cron": "0 3 * * *",
                "timezone": "Europe/Berlin",
                "overlap": "skip",
                "task": {"name": "report", "args": {"of": "day"}, "queue": "slow"},
            },
        )
        row = succeed("schedules", "list").splitlines()[1]
        assert re.match(r"nightly +0 3 \* \* \* \(Europe/Berlin\) +task report$", row)
        assert json.loads(succeed("schedules", "pause", "nightly", "--json"))["paused"] is True
        assert "paused" in succeed("schedules", "list").splitlines()[1]
        assert "paused   no\n" in succeed("schedules", "resume", "nightly")
        assert json.loads(succeed("schedules", "show", "nightly", "--json"))["id"] == "nightly"
        assert len(succeed("schedules", "preview", "nightly", "--count", "3").splitlines()) == 3
        runs = json.loads(succeed("schedules", "preview", "nightly", "--count", "1", "--json"))
        assert runs == {"id": "nightly", "runs": [1_900_000_000_000]}
        assert succeed("schedules", "delete", "nightly") == "nightly deleted\n"
        assert run("schedules", "delete", "nightly").exit_code == 3

    def test_times_are_those_of_the_schedules_zone(
        self, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        at_ms = 1_900_000_000_000
        at(scheduler).schedules["s"] = {
            **{"id": "s", "paused": False, "cron": "46 2 * * *", "timezone": "Asia/Tokyo"},
            **{"text": "At 02:46", "next_runs": [at_ms], "last_at": at_ms - 86_400_000},
        }
        at(scheduler).schedules["e"] = {"id": "e", "paused": False, "every_ms": 5_000}
        with monkeypatch.context() as changed:
            changed.setenv("TZ", "America/New_York")
            time.tzset()
            shown = succeed("schedules", "show", "s")
            cron = succeed("schedules", "preview", "s", "--count", "1")
            every = succeed("schedules", "preview", "e", "--count", "1")
            at(scheduler).schedules["s"]["timezone"] = "Atlantis/Old_Town"
            unknown = succeed("schedules", "preview", "s", "--count", "1")
        time.tzset()
        assert cron == "2030-03-18 02:46:40.000+09:00\n"
        assert every == unknown == "2030-03-17 13:46:40.000-04:00\n"
        assert re.search(r"^text +At 02:46$", shown, re.MULTILINE)
        assert re.search(r"^next +2030-03-18 02:46:40.000\+09:00$", shown, re.MULTILINE)
        assert re.search(r"^last +2030-03-17 02:46:40.000\+09:00$", shown, re.MULTILINE)

    def test_a_count_that_the_api_would_refuse_is_wrong_usage(self, scheduler: Scheduler) -> None:
        assert schedules.MOST_PREVIEWED == queries.MAX_PREVIEWED
        result = run("schedules", "preview", "s", "--count", "1001")
        assert result.exit_code == 2
        assert "--count" in result.stderr
        assert not at(scheduler).seen

    def test_an_event_is_scheduled(self, scheduler: Scheduler) -> None:
        succeed(
            *("schedules", "put", "tick", "--every", "1m", "--jitter", "500ms", "--paused"),
            *("--event", "tick", "--channel", "a", "--channel", "b", "--data", '{"n":1}'),
        )
        assert at(scheduler).seen[-1][2] == {
            "every_ms": 60_000,
            "jitter_ms": 500,
            "paused": True,
            "event": {"name": "tick", "channels": ["a", "b"], "data": '{"n":1}'},
        }

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            (("--task", "a"), "Say when: one of --cron, --every and --at."),
            (("--every", "1s", "--at", "2030-01-01T00:00Z", "--task", "a"), "Say when"),
            (("--every", "1s"), "Say what: either --task or --event."),
            (("--every", "1s", "--task", "a", "--event", "b"), "Say what"),
            (("--every", "1s", "--task", "a", "--data", "b"), "--channel and --data belong to"),
            (("--every", "1s", "--event", "a", "--channel", "c"), "--event needs --channel and"),
            (
                ("--every", "1s", "--event", "a", "--channel", "c", "--data", "", "--queue", "q"),
                "Options of tasks belong to --task.",
            ),
        ],
    )
    def test_a_schedule_that_does_not_say_when_and_what_is_wrong_usage(
        self, scheduler: Scheduler, options: tuple[str, ...], text: str
    ) -> None:
        result = run("schedules", "put", "s", *options)
        assert result.exit_code == 2
        assert text in result.stderr
        assert not at(scheduler).seen


class TestTokens:
    def test_a_token_for_a_worker(self, scheduler: Scheduler) -> None:
        made = succeed("token", "--worker", "browser-*", "--queue", "web", "--ttl", "8h").strip()
        grant = tokens.verify(made, SECRET, 0)
        assert isinstance(grant, tokens.WorkerGrant)
        assert (grant.worker, grant.queues, grant.task_names) == ("browser-*", ("web",), None)
        assert not at(scheduler).seen

    def test_a_token_for_watching(self, scheduler: Scheduler) -> None:
        answer = json.loads(succeed("token", "--watch", "t1", "--watch", "t2", "--fleet", "--json"))
        grant = tokens.verify(answer["token"], SECRET, 0)
        assert isinstance(grant, tokens.WatchGrant)
        assert (grant.tasks, grant.fleet) == (("t1", "t2"), True)

    def test_a_token_for_nothing_is_wrong_usage(self, scheduler: Scheduler) -> None:
        assert run("token").exit_code == 2
        assert run("token", "--worker", "w1", "--watch", "*").exit_code == 2
        assert run("token", "--worker", "no slashes/").exit_code == 2


class TestWorkers:
    @pytest.mark.parametrize(
        ("place", "suggested"),
        [
            ("odd.py:worker", "odd:worker"),
            ("./jobs/odd.py:worker", "jobs.odd:worker"),
            ("../odd.py:app.worker", "odd:app.worker"),
        ],
    )
    def test_who_names_a_file_is_told_its_module(self, place: str, suggested: str) -> None:
        result = run("worker", place)
        assert result.exit_code == 2
        assert f"is a file: write its module, {suggested}." in result.stderr


class TestEnds:
    @pytest.mark.parametrize(
        "command",
        [
            ("tasks", "show", "t9"),
            ("tasks", "watch", "t9"),
            ("tasks", "move", "t9", "--anyone"),
            ("tasks", "update", "t9", "--priority", "1"),
            ("schedules", "show", "s9"),
        ],
    )
    def test_what_is_not_there_is_3(self, scheduler: Scheduler, command: tuple[str, ...]) -> None:
        result = run(*command)
        assert result.exit_code == 3
        assert result.stderr.startswith("Error: Unknown task")
        assert result.stdout == ""

    def test_what_is_refused_is_1_with_the_schedulers_reason(self, scheduler: Scheduler) -> None:
        at(scheduler).refusal = Refusal(400, "priority: expected a whole number, got 1.5")
        result = run("tasks", "submit", "a")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == "Error: priority: expected a whole number, got 1.5\n"

    def test_a_server_without_a_scheduler_is_told_from_a_task_that_is_not_there(
        self, scheduler: Scheduler
    ) -> None:
        at(scheduler).refusal = Refusal(404, "Not found: /apps/7/tasks")
        result = run("tasks", "show", "t1")
        assert result.exit_code == 4
        assert result.stderr.endswith("Does that server run with --no-scheduler?\n")

    @pytest.mark.parametrize("text", ["Unknown app_id: '7'", "<html>\n<body>404</body></html>"])
    def test_another_app_or_another_server_is_told_from_a_task_that_is_not_there(
        self, scheduler: Scheduler, text: str
    ) -> None:
        at(scheduler).refusal = Refusal(404, text)
        result = run("tasks", "show", "t1")
        assert result.exit_code == 4
        assert result.stderr.startswith("Error: no scheduler at http://127.0.0.1:")
        assert result.stderr.splitlines()[1].startswith("Is --url right?")

    def test_a_scheduler_that_is_not_there_is_4_and_named_without_the_secret(
        self, scheduler: Scheduler
    ) -> None:
        url = at(scheduler).url
        scheduler.close()
        for command in (("tasks", "submit", "a"), ("tasks", "cancel", "a", "b"), ("workers",)):
            result = run(*command, "--url", url)
            assert result.exit_code == 4
            assert result.stderr.startswith("Error: cannot reach http://127.0.0.1:")
            assert SECRET not in result.stderr

    def test_the_url_comes_from_the_environment_that_pusher_uses_too(
        self, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PUSHER_URL", at(scheduler).url)
        monkeypatch.setenv("CALLBOARD_URL", "")
        assert succeed("workers") == "No workers.\n"

    def test_a_server_is_not_confused_by_it(self, scheduler: Scheduler) -> None:
        assert run("check", "--port", "0").exit_code == 0

    @pytest.mark.parametrize("command", ["tasks", "schedules", "queues", "workers"])
    def test_help_documents_the_exit_status(self, command: str) -> None:
        said = succeed(command, "--help")
        for status in ("0", "1", "2", "3", "4", "5", "130"):
            assert re.search(rf"^ +{status}  ", said, re.MULTILINE), status

    def test_help_imports_nothing_that_only_a_running_command_needs(self) -> None:
        script = (
            "import sys; from callboard.cli import main\n"
            "try: main(['tasks', 'submit', '--help'])\n"
            "finally: print([name for name in ('asyncio', 'aiohttp', 'rich', 'websockets', "
            "'callboard_scheduler.client.async_client') if name in sys.modules])"
        )
        ended = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30
        )
        assert ended.stdout.splitlines()[-1] == "[]"


def test_the_last_moment_of_the_calendar_is_shown_also_where_it_is_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        shown = [output.moment(at_ms) for at_ms in (253_402_300_799_999, 1_700_000_000_000)]
    time.tzset()
    assert shown == ["9999-12-31 23:59:59.999+00:00", "2023-11-15 07:13:20.000+09:00"]
