-- The head of the log is the position of its last event, so that an append need not write it down. Run once, in one transaction.

-- From here on fs_log holds the highest position that was ever deleted: one that was given out is never used again.
CREATE TRIGGER fs_log_after_delete AFTER DELETE ON events BEGIN
    UPDATE fs_log SET head = max(head, OLD.position) WHERE id = 1;
END;
CREATE TRIGGER fs_log_after_move AFTER UPDATE OF position ON events BEGIN
    UPDATE fs_log SET head = max(head, OLD.position) WHERE id = 1;
END;
