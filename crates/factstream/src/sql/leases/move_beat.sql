-- Shows that a process lives; makes its row when it is new, or when others have forgotten it. $1 owner, $2 the build of each
-- handler that it runs (JSON), $3 what each is doing (JSON), NULL where that has not changed.
INSERT INTO fs_owners (owner, beat, builds, states) VALUES ($1, 0, $2, coalesce($3, '{}'))
ON CONFLICT (owner) DO UPDATE SET beat = fs_owners.beat + 1, states = coalesce($3, fs_owners.states)
