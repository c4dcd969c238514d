-- Whoever asks whether a statement on a lost connection has appended moves the fence, and so refuses what is still on its
-- way: an append in one statement names the fence that it knew.
ALTER TABLE fs_log ADD COLUMN fence BIGINT NOT NULL DEFAULT 0;
