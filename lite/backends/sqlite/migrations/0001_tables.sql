CREATE TABLE runs (
  seq        INTEGER PRIMARY KEY,
  id         TEXT NOT NULL UNIQUE,
  name       TEXT NOT NULL,
  key        TEXT NOT NULL,
  source     TEXT NOT NULL,
  state      TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  ended_at   INTEGER
) STRICT;
CREATE UNIQUE INDEX runs_key ON runs (key) WHERE key <> '';

-- Times are ms since the epoch. state: 0 queued 1 running 2 succeeded 3 failed 4 cancelled 5 skipped.
CREATE TABLE tasks (
  seq              INTEGER PRIMARY KEY,
  id               TEXT NOT NULL UNIQUE,
  run              TEXT NOT NULL,
  name             TEXT NOT NULL,
  lane             TEXT NOT NULL,
  agent            TEXT NOT NULL,
  key              TEXT NOT NULL,
  priority         INTEGER NOT NULL,
  placed           INTEGER NOT NULL,           -- 1: a worker has to be assigned first
  blocked          INTEGER NOT NULL,           -- while queued: unmet needs + flags (gate.py); 0: may be claimed
  delayed          INTEGER NOT NULL,           -- while queued: 1 until a claim at or after run_at
  state            INTEGER NOT NULL,
  reason           TEXT NOT NULL DEFAULT '',
  detail           TEXT NOT NULL DEFAULT '',
  cause            TEXT NOT NULL DEFAULT '',
  attempt          INTEGER NOT NULL DEFAULT 0,
  failures         INTEGER NOT NULL DEFAULT 0,
  faults           INTEGER NOT NULL DEFAULT 0,
  run_at           INTEGER NOT NULL,
  assigned         TEXT NOT NULL DEFAULT '',
  assigned_why     TEXT NOT NULL DEFAULT '',
  token            INTEGER,                    -- the lease; NULL: none
  worker           TEXT,
  expires_at       INTEGER,
  cancel           TEXT NOT NULL DEFAULT '',
  handle           TEXT NOT NULL DEFAULT '',
  provider_session TEXT NOT NULL DEFAULT '',
  waiting          TEXT,                       -- JSON array
  exit_code        INTEGER,
  signal           INTEGER,
  usage            TEXT,                       -- JSON array
  created_at       INTEGER NOT NULL,
  started_at       INTEGER,
  ended_at         INTEGER,
  output           TEXT
) STRICT;
CREATE UNIQUE INDEX tasks_key ON tasks (key) WHERE key <> '';
CREATE INDEX tasks_run ON tasks (run, seq) WHERE run <> '';
CREATE INDEX tasks_open ON tasks (run, lane, seq) WHERE ended_at IS NULL;  -- not "state": a claim leaves it alone
CREATE INDEX tasks_ready ON tasks (agent, priority DESC, seq, assigned) WHERE state = 0 AND blocked = 0 AND delayed = 0;
CREATE INDEX tasks_running ON tasks (seq) WHERE state = 1;
CREATE INDEX tasks_delayed ON tasks (run_at) WHERE state = 0 AND delayed = 1;
CREATE INDEX tasks_due ON tasks (run_at) WHERE state = 0 AND run_at > 0;
CREATE INDEX tasks_unplaced ON tasks (seq) WHERE state = 0 AND placed = 1 AND assigned = '';
CREATE INDEX tasks_assigned ON tasks (assigned) WHERE state = 0 AND assigned <> '';

-- Apart from the row, so that a change of state does not rewrite a long prompt.
CREATE TABLE specs (
  seq  INTEGER PRIMARY KEY,
  spec TEXT NOT NULL                           -- JSON object
) STRICT;

CREATE TABLE needs (
  need INTEGER NOT NULL,
  task INTEGER NOT NULL,
  PRIMARY KEY (need, task)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
  cursor  INTEGER PRIMARY KEY,
  at      INTEGER NOT NULL,
  kind    TEXT NOT NULL,
  run     TEXT NOT NULL,
  task    TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  worker  TEXT NOT NULL,
  data    TEXT NOT NULL                        -- JSON object
) STRICT;
CREATE INDEX events_task ON events (task) WHERE task <> '';
CREATE INDEX events_run ON events (run) WHERE run <> '';

CREATE TABLE workers (
  id           TEXT PRIMARY KEY,
  row          TEXT NOT NULL                   -- JSON object
) STRICT, WITHOUT ROWID;
