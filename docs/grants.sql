-- What the services' role needs; run by the role that owns the tables, once they are made. It may not make, change or drop
-- tables, and may not change or delete an event or its seal.

-- PostgreSQL 11 to 14 let everybody make tables here. When this says that no privileges could be revoked, the schema is somebody
-- else's: a superuser has to run it.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO orders_app;
GRANT SELECT ON fs_horizons TO orders_app;
GRANT SELECT, INSERT ON events TO orders_app;
GRANT SELECT, INSERT ON fs_seals, fs_seal_salts TO orders_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON
    fs_command_keys, fs_log, fs_migrations, fs_snapshots, fs_checkpoints, fs_inbox, fs_dead_letters,
    fs_dead_letter_history, fs_dead_letter_mirror, fs_blocked_keys, fs_counters, fs_owners, fs_leases, fs_topics,
    fs_partitions, fs_records, fs_group_offsets, fs_read_models, fs_handlers, fs_handler_builds, fs_rebuilds,
    fs_offsets, fs_skipped_types, fs_store, fs_group_starts, fs_amendments,
    fs_timers, fs_schedules, fs_processes, fs_process_history, fs_process_aliases, fs_rates TO orders_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON order_projections TO orders_app;
