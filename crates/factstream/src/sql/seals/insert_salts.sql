-- Adds the salts of a seal. $1 size, $2 salts.
INSERT INTO fs_seal_salts (size, salts) VALUES ($1, $2)
