-- What each handler is doing in a process, as it tells when that changes (JSON: handler to state), for whoever looks from outside.
ALTER TABLE fs_owners ADD COLUMN states TEXT NOT NULL DEFAULT '{}';
