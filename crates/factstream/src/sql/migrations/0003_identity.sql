-- By what the event of a letter is known. Those that were kept before have it as their event_id.
ALTER TABLE fs_dead_letters ADD COLUMN identity TEXT;
