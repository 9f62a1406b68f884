-- Those that wait for nothing but the choice of their worker, best first. 8589934592: gate.UNPLACED.
DROP INDEX tasks_unplaced;
CREATE INDEX tasks_unplaced ON tasks (priority DESC, seq) WHERE state = 0 AND blocked = 8589934592;
