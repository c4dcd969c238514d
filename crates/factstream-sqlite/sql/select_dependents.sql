-- What people have put on tables, in the order in which it can be made again: indexes, views, triggers. SQLite does not say what
-- a view or a trigger reads, and renames no table while one of them names a table that is missing: so all of them are
-- answered. $1 the names of the tables, with commas between them.
SELECT kind, name, take_off, put_on, check_sql
FROM (
    SELECT 1 AS place, rowid AS made, 'index' AS kind, name, NULL AS take_off, sql AS put_on, NULL AS check_sql
    FROM sqlite_schema
    WHERE type = 'index' AND sql IS NOT NULL AND instr(',' || $1 || ',', ',' || tbl_name || ',') > 0
    UNION ALL
    SELECT 2, rowid, 'view', name, 'DROP VIEW "' || replace(name, '"', '""') || '"', sql,
           'SELECT 1 FROM "' || replace(name, '"', '""') || '" LIMIT 0'
    FROM sqlite_schema
    WHERE type = 'view'
    UNION ALL
    SELECT 3, t.rowid, 'trigger', t.name, 'DROP TRIGGER IF EXISTS "' || replace(t.name, '"', '""') || '"', t.sql,
           CASE
           WHEN o.type = 'view' THEN NULL
           WHEN substr(t.sql, 1, instr(upper(t.sql), 'BEGIN')) LIKE '% insert %' THEN
               'EXPLAIN INSERT INTO "' || replace(o.name, '"', '""') || '" SELECT * FROM "'
               || replace(o.name, '"', '""') || '"'
           WHEN substr(t.sql, 1, instr(upper(t.sql), 'BEGIN')) LIKE '% delete %' THEN
               'EXPLAIN DELETE FROM "' || replace(o.name, '"', '""') || '"'
           END
    FROM sqlite_schema t
    JOIN sqlite_schema o ON o.name = t.tbl_name AND o.type IN ('table', 'view')
    WHERE t.type = 'trigger' AND t.name NOT GLOB 'fs_*'
)
ORDER BY place, made
