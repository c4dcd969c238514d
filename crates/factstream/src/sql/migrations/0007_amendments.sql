-- What a person decided about an event of a projection: it is left out (discard), or read with other data (edit). It outlives the letter,
-- for every rebuild to come needs it. The newest decision counts.
CREATE TABLE fs_amendments (
    handler    TEXT NOT NULL,
    position   BIGINT NOT NULL,
    action     TEXT NOT NULL,
    data       BYTEA,
    decided_at TEXT NOT NULL,
    PRIMARY KEY (handler, position)
);
-- What was decided before, as far as the letters are still there. The newest letter of an event counts.
INSERT INTO fs_amendments (handler, position, action, data, decided_at)
SELECT l.handler, l.record_offset, 'discard', NULL, l.updated_at
FROM fs_dead_letters l
WHERE l.topic = 'log' AND l.state = 'discarded' AND substr(l.handler, 1, 3) <> 'fs:'
  AND l.id = (SELECT max(o.id) FROM fs_dead_letters o
              WHERE o.handler = l.handler AND o.topic = l.topic AND o.record_offset = l.record_offset);
INSERT INTO fs_amendments (handler, position, action, data, decided_at)
SELECT l.handler, l.record_offset, 'edit', l.value, l.updated_at
FROM fs_dead_letters l
WHERE l.topic = 'log' AND l.state <> 'discarded' AND substr(l.handler, 1, 3) <> 'fs:'
  AND EXISTS (SELECT 1 FROM fs_dead_letter_history h WHERE h.letter_id = l.id AND h.action = 'edit')
  AND l.id = (SELECT max(o.id) FROM fs_dead_letters o
              WHERE o.handler = l.handler AND o.topic = l.topic AND o.record_offset = l.record_offset);
