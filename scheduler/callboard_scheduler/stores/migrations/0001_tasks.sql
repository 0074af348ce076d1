-- Tasks, their attempts, schedules, paused queues and terms, all by app.
--
-- `task` is narrow: it is rewritten with each step of a task. What is large and seldom changes is
-- in `body`. JSON is kept as bytes: CAST(spec AS TEXT) shows it.

PRAGMA application_id = 0x43414C4C;

CREATE TABLE term (
    app TEXT NOT NULL PRIMARY KEY,
    term INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE task (
    n INTEGER PRIMARY KEY,
    app TEXT NOT NULL,
    id TEXT NOT NULL,
    -- Of the spec, for the indexes.
    queue TEXT NOT NULL,
    name TEXT NOT NULL,
    schedule TEXT,
    seq INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    state TEXT NOT NULL,
    rev INTEGER NOT NULL,
    gen INTEGER NOT NULL,
    run_at INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    losses INTEGER NOT NULL,
    fence INTEGER NOT NULL,
    lost_fence INTEGER NOT NULL,
    worker TEXT,
    stop_reason TEXT,
    progress BLOB,
    error BLOB,
    started_at INTEGER,
    finished_at INTEGER
);
CREATE UNIQUE INDEX task_by_id ON task (app, id);
-- Pages, newest first. The live tasks and the page of all tasks are merged from the states.
CREATE INDEX task_by_state ON task (app, state, seq);
CREATE INDEX task_by_queue ON task (app, queue, seq);
CREATE INDEX task_by_name ON task (app, name, seq);
CREATE INDEX task_by_schedule ON task (app, schedule, seq) WHERE schedule IS NOT NULL;
-- What is pruned, oldest first.
CREATE INDEX task_by_end ON task (app, finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE body (
    task INTEGER PRIMARY KEY,
    spec BLOB NOT NULL,
    result BLOB,
    checkpoint BLOB
);

CREATE TABLE attempt (
    task INTEGER NOT NULL,
    fence INTEGER NOT NULL,
    n INTEGER NOT NULL,
    worker TEXT NOT NULL,
    assigned_at INTEGER NOT NULL,
    started_at INTEGER,
    ended_at INTEGER,
    outcome TEXT,
    error BLOB,
    PRIMARY KEY (task, fence)
) WITHOUT ROWID;

CREATE TRIGGER task_pruned AFTER DELETE ON task
BEGIN
    DELETE FROM body WHERE task = OLD.n;
    DELETE FROM attempt WHERE task = OLD.n;
END;

CREATE TABLE schedule (
    app TEXT NOT NULL,
    id TEXT NOT NULL,
    record BLOB NOT NULL,
    PRIMARY KEY (app, id)
) WITHOUT ROWID;

CREATE TABLE paused_queue (
    app TEXT NOT NULL,
    queue TEXT NOT NULL,
    PRIMARY KEY (app, queue)
) WITHOUT ROWID;
