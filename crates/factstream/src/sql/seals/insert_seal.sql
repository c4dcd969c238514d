-- Adds a seal. $1 size, $2 form, $3 leaves, $4 peaks, $5 root, $6 now.
INSERT INTO fs_seals (size, form, leaves, peaks, root, sealed_at) VALUES ($1, $2, $3, $4, $5, $6)
