-- Shows that a process lives; makes its row when it is new, or when others have forgotten it. $1 owner.
INSERT INTO fs_owners (owner, beat) VALUES ($1, 0)
ON CONFLICT (owner) DO UPDATE SET beat = fs_owners.beat + 1
