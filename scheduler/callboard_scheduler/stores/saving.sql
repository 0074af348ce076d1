-- Where changes go. Every change is a row of the view `change`; a batch of them is one INSERT into
-- it, and so one call, one transaction and one wait for the disk. The kinds are those of rows.py.

CREATE TEMP VIEW change AS SELECT
    NULL AS kind, NULL AS app, NULL AS id, NULL AS queue, NULL AS name, NULL AS schedule,
    NULL AS seq, NULL AS created_at, NULL AS state, NULL AS rev, NULL AS gen, NULL AS run_at,
    NULL AS attempt, NULL AS failures, NULL AS losses, NULL AS fence, NULL AS lost_fence,
    NULL AS worker, NULL AS stop_reason, NULL AS progress, NULL AS error, NULL AS started_at,
    NULL AS finished_at, NULL AS spec, NULL AS result, NULL AS checkpoint;

CREATE TEMP TRIGGER task_whole INSTEAD OF INSERT ON change WHEN NEW.kind = 1
BEGIN
    INSERT INTO task (
        app, id, queue, name, schedule, seq, created_at, state, rev, gen, run_at, attempt,
        failures, losses, fence, lost_fence, worker, stop_reason, progress, error, started_at,
        finished_at
    ) VALUES (
        NEW.app, NEW.id, NEW.queue, NEW.name, NEW.schedule, NEW.seq, NEW.created_at, NEW.state,
        NEW.rev, NEW.gen, NEW.run_at, NEW.attempt, NEW.failures, NEW.losses, NEW.fence,
        NEW.lost_fence, NEW.worker, NEW.stop_reason, NEW.progress, NEW.error, NEW.started_at,
        NEW.finished_at
    )
    ON CONFLICT (app, id) DO UPDATE SET
        state = excluded.state, rev = excluded.rev, gen = excluded.gen, run_at = excluded.run_at,
        attempt = excluded.attempt, failures = excluded.failures, losses = excluded.losses,
        fence = excluded.fence, lost_fence = excluded.lost_fence, worker = excluded.worker,
        stop_reason = excluded.stop_reason, progress = excluded.progress, error = excluded.error,
        started_at = excluded.started_at, finished_at = excluded.finished_at;
    -- Apart, because SQLite rewrites the indexes of every column that is set, changed or not.
    UPDATE task SET
        queue = NEW.queue, name = NEW.name, schedule = NEW.schedule, seq = NEW.seq,
        created_at = NEW.created_at
    WHERE app = NEW.app AND id = NEW.id
        AND (queue, name, schedule, seq, created_at)
        IS NOT (NEW.queue, NEW.name, NEW.schedule, NEW.seq, NEW.created_at);
    INSERT INTO body (task, spec, result, checkpoint)
    SELECT n, NEW.spec, NEW.result, NEW.checkpoint FROM task WHERE app = NEW.app AND id = NEW.id
    ON CONFLICT (task) DO UPDATE SET
        spec = excluded.spec, result = excluded.result, checkpoint = excluded.checkpoint;
END;

CREATE TEMP TRIGGER task_running INSTEAD OF INSERT ON change WHEN NEW.kind = 2
BEGIN
    UPDATE task SET
        state = NEW.state, rev = NEW.rev, gen = NEW.gen, run_at = NEW.run_at,
        attempt = NEW.attempt, failures = NEW.failures, losses = NEW.losses, fence = NEW.fence,
        lost_fence = NEW.lost_fence, worker = NEW.worker, stop_reason = NEW.stop_reason,
        progress = NEW.progress, error = NEW.error, started_at = NEW.started_at,
        finished_at = NEW.finished_at
    WHERE app = NEW.app AND id = NEW.id;
END;

CREATE TEMP TRIGGER attempt_saved INSTEAD OF INSERT ON change WHEN NEW.kind = 3
BEGIN
    INSERT INTO attempt (
        task, fence, n, worker, assigned_at, started_at, ended_at, outcome, error
    )
    SELECT
        n, NEW.fence, NEW.attempt, NEW.worker, NEW.created_at, NEW.started_at, NEW.finished_at,
        NEW.state, NEW.error
    FROM task WHERE app = NEW.app AND id = NEW.id
    ON CONFLICT (task, fence) DO UPDATE SET
        n = excluded.n, worker = excluded.worker, assigned_at = excluded.assigned_at,
        started_at = excluded.started_at, ended_at = excluded.ended_at,
        outcome = excluded.outcome, error = excluded.error;
END;

CREATE TEMP TRIGGER schedule_saved INSTEAD OF INSERT ON change WHEN NEW.kind = 4
BEGIN
    INSERT INTO schedule (app, id, record) VALUES (NEW.app, NEW.id, NEW.spec)
    ON CONFLICT (app, id) DO UPDATE SET record = excluded.record;
END;

CREATE TEMP TRIGGER schedule_dropped INSTEAD OF INSERT ON change WHEN NEW.kind = 5
BEGIN
    DELETE FROM schedule WHERE app = NEW.app AND id = NEW.id;
END;

CREATE TEMP TRIGGER queue_paused INSTEAD OF INSERT ON change WHEN NEW.kind = 6
BEGIN
    INSERT INTO paused_queue (app, queue) VALUES (NEW.app, NEW.queue)
    ON CONFLICT (app, queue) DO NOTHING;
END;

CREATE TEMP TRIGGER queue_resumed INSTEAD OF INSERT ON change WHEN NEW.kind = 7
BEGIN
    DELETE FROM paused_queue WHERE app = NEW.app AND queue = NEW.queue;
END;

CREATE TEMP TRIGGER term_taken INSTEAD OF INSERT ON change WHEN NEW.kind = 8
BEGIN
    INSERT INTO term (app, term) VALUES (NEW.app, NEW.seq)
    ON CONFLICT (app) DO UPDATE SET term = excluded.term;
END;
