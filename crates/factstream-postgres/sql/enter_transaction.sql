-- Which log a transaction of a user's own would append to; makes its commit wait for the disk (G1), should it not.
SELECT current_database()::text AS database, to_regclass('fs_log')::oid AS log,
       CASE WHEN current_setting('synchronous_commit') = 'off' THEN set_config('synchronous_commit', 'on', true) END
