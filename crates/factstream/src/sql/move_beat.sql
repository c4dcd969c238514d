-- Shows that a process lives; makes its row when it is new, or when others have forgotten it. $1 owner, $2 the build of each
-- handler that it runs (JSON).
INSERT INTO fs_owners (owner, beat, builds) VALUES ($1, 0, $2)
ON CONFLICT (owner) DO UPDATE SET beat = fs_owners.beat + 1
