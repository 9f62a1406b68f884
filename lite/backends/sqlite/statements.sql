-- name: heads
SELECT (SELECT coalesce(max(cursor), 0) FROM events), (SELECT coalesce(max(seq), 0) FROM tasks),
  (SELECT coalesce(max(seq), 0) FROM runs), (SELECT coalesce(max(id), '') FROM tasks),
  (SELECT min(run_at) FROM tasks WHERE state = 0 AND run_at > 0);

-- name: needed
SELECT DISTINCT n.need FROM needs n JOIN tasks t ON t.seq = n.need WHERE t.ended_at IS NULL;

-- name: unplaced
SELECT seq FROM tasks INDEXED BY tasks_open WHERE ended_at IS NULL AND state = 0 AND placed = 1 AND assigned = '';

-- name: find_task
SELECT seq FROM tasks WHERE id = ?;

-- name: find_key
SELECT id FROM tasks WHERE key = ? AND key <> '';

-- name: insert_task
INSERT INTO tasks (id, run, name, lane, agent, key, priority, placed, blocked, delayed, state, run_at, created_at, seq)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?);

-- name: insert_spec
INSERT INTO specs (seq, spec) VALUES (?, ?);

-- name: insert_need
INSERT INTO needs (need, task) VALUES (?, ?);

-- name: insert_event
INSERT INTO events (cursor, at, kind, run, task, attempt, worker, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: insert_attempt
INSERT INTO ledger (task, attempt, run, agent, worker, ended, reason, started_at, ended_at, usage)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: ledger
SELECT * FROM ledger WHERE line > ? ORDER BY line LIMIT ?;

-- name: update_claimed
UPDATE tasks SET state = 1, reason = '', detail = '', attempt = ?, run_at = 0, delayed = 0, token = ?, worker = ?,
  expires_at = ?, cancel = '', handle = '', waiting = NULL, exit_code = NULL, signal = NULL, usage = NULL,
  started_at = NULL, output = NULL
WHERE seq = ?;

-- name: update_running
UPDATE tasks SET token = ?, worker = ?, expires_at = ?, cancel = ?, handle = ?, provider_session = ?, waiting = ?,
  usage = ?, started_at = ?
WHERE seq = ?;

-- name: update_queued
UPDATE tasks SET agent = ?, blocked = ?, reason = ?, detail = ?, assigned = ?, assigned_why = ? WHERE seq = ?;

-- name: update_spec
UPDATE specs SET spec = ? WHERE seq = ?;

-- name: update_moved
UPDATE tasks SET state = ?, blocked = ?, delayed = ?, reason = ?, detail = ?, cause = ?, failures = ?, faults = ?,
  run_at = ?, assigned = ?, assigned_why = ?, token = NULL, worker = NULL, expires_at = NULL, cancel = ?,
  provider_session = ?, waiting = ?, exit_code = ?, signal = ?, usage = ?, ended_at = ?, output = ?
WHERE seq = ?;

-- name: ready
SELECT -priority, seq, id FROM tasks
WHERE agent = ? AND state = 0 AND blocked = 0 AND delayed = 0 AND (assigned = '' OR assigned = ?)
ORDER BY priority DESC, seq;

-- name: promote
UPDATE tasks SET delayed = 0 WHERE state = 0 AND delayed = 1 AND run_at <= ?;

-- name: earliest
SELECT min(run_at) FROM tasks WHERE state = 0 AND run_at > 0;

-- name: next_due
SELECT min(run_at) FROM tasks WHERE state = 0 AND run_at > 0 AND run_at > ?;

-- name: dependents
SELECT t.id, t.seq FROM needs n JOIN tasks t ON t.seq = n.task WHERE n.need = ?;

-- name: need_met
UPDATE tasks SET blocked = blocked - 1 WHERE state = 0 AND seq IN (SELECT task FROM needs WHERE need = ?);

-- name: need_open
UPDATE tasks SET blocked = blocked + 1 WHERE state = 0 AND seq IN (SELECT task FROM needs WHERE need = ?);

-- name: block
UPDATE tasks SET blocked = ? WHERE seq = ?;

-- name: lane_head
SELECT seq FROM tasks WHERE run = ? AND lane = ? AND ended_at IS NULL ORDER BY seq LIMIT 1;

-- name: lane_hold
UPDATE tasks SET blocked = blocked | ? WHERE run = ? AND lane = ? AND ended_at IS NULL AND state = 0;

-- name: lane_release
UPDATE tasks SET blocked = blocked & ~? WHERE seq = ? AND state = 0;

-- name: assigned_to
SELECT id FROM tasks WHERE state = 0 AND assigned = ? AND assigned <> '';

-- name: assigned
SELECT id, seq FROM tasks WHERE state = 0 AND assigned <> '';

-- name: insert_run
INSERT INTO runs (seq, id, name, key, source, state, created_at) VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: find_run
SELECT id FROM runs WHERE id = ?;

-- name: find_run_key
SELECT id FROM runs WHERE key = ? AND key <> '';

-- name: run_head
SELECT seq, id, name, state FROM runs WHERE id = ?;

-- name: run_open
SELECT 1 FROM tasks WHERE run = ? AND ended_at IS NULL LIMIT 1;

-- name: run_ends
SELECT coalesce(max(state = 3), 0), coalesce(max(state = 4), 0) FROM tasks WHERE run = ? AND run <> '';

-- name: run_members
SELECT id FROM tasks WHERE run = ? AND run <> '' ORDER BY seq;

-- name: update_run
UPDATE runs SET state = ?, ended_at = ? WHERE id = ?;

-- name: put_worker
INSERT INTO workers (id, row) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET row = excluded.row;

-- name: drop_worker
DELETE FROM workers WHERE id = ?;
