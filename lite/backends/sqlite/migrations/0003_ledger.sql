-- One line for each attempt that has ended and used a model, or may have.
CREATE TABLE ledger (
  line       INTEGER PRIMARY KEY,
  task       TEXT NOT NULL,
  attempt    INTEGER NOT NULL,
  run        TEXT NOT NULL,
  agent      TEXT NOT NULL,
  worker     TEXT NOT NULL,
  ended      TEXT NOT NULL,
  reason     TEXT NOT NULL,
  started_at INTEGER,
  ended_at   INTEGER NOT NULL,
  usage      TEXT                        -- JSON array as in tasks; NULL: nothing is known
) STRICT;
