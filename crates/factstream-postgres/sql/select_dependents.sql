-- What people have put on tables, in the order in which it can be made again: indexes, triggers and policies of the tables, then
-- each view with its indexes, triggers and grants, those that read others last. What PostgreSQL keeps for itself (indexes of
-- constraints, triggers of foreign keys) is left out. $1 the names of the tables, with commas between them.
WITH RECURSIVE reached (oid, depth) AS (
    SELECT to_regclass(quote_ident(name))::oid, 0
    FROM unnest(string_to_array($1::text, ',')) AS tables (name)
    WHERE to_regclass(quote_ident(name)) IS NOT NULL
    UNION
    SELECT r.ev_class, reached.depth + 1
    FROM reached
    JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = reached.oid
                    AND d.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite r ON r.oid = d.objid AND r.ev_class <> reached.oid
), relations AS (
    SELECT c.oid, c.oid::regclass::text AS name, c.relkind, c.relacl, c.relowner, c.reloptions, c.relispopulated,
           c.relrowsecurity, c.relforcerowsecurity, max(reached.depth) AS depth
    FROM reached JOIN pg_class c ON c.oid = reached.oid
    GROUP BY c.oid
), dependents AS (
    SELECT depth, 1 AS place, oid AS made, 'view' AS kind, name,
           CASE relkind WHEN 'm' THEN 'DROP MATERIALIZED VIEW ' ELSE 'DROP VIEW ' END || name AS take_off,
           CASE relkind WHEN 'm' THEN 'CREATE MATERIALIZED VIEW ' ELSE 'CREATE VIEW ' END || name
           || coalesce(' WITH (' || array_to_string(reloptions, ', ') || ')', '') || ' AS '
           || rtrim(pg_get_viewdef(oid), ';')
           || CASE WHEN relkind = 'm' AND NOT relispopulated THEN ' WITH NO DATA' ELSE '' END AS put_on
    FROM relations
    WHERE relkind IN ('v', 'm')
    UNION ALL
    SELECT r.depth, 2, i.indexrelid, 'index', c.relname, NULL, pg_get_indexdef(i.indexrelid)
    FROM relations r
    JOIN pg_index i ON i.indrelid = r.oid
    JOIN pg_class c ON c.oid = i.indexrelid
    WHERE NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.indexrelid)
    UNION ALL
    SELECT r.depth, 3, t.oid, 'trigger', t.tgname, NULL, pg_get_triggerdef(t.oid)
    FROM relations r
    JOIN pg_trigger t ON t.tgrelid = r.oid AND NOT t.tgisinternal
    UNION ALL
    SELECT r.depth, 4, t.oid, 'trigger', t.tgname, NULL,
           'ALTER TABLE ' || r.name
           || CASE t.tgenabled WHEN 'D' THEN ' DISABLE' WHEN 'A' THEN ' ENABLE ALWAYS' ELSE ' ENABLE REPLICA' END
           || ' TRIGGER ' || quote_ident(t.tgname)
    FROM relations r
    JOIN pg_trigger t ON t.tgrelid = r.oid AND NOT t.tgisinternal AND t.tgenabled <> 'O'
    UNION ALL
    SELECT r.depth, 5, p.oid, 'policy', p.polname, NULL,
           'CREATE POLICY ' || quote_ident(p.polname) || ' ON ' || r.name
           || CASE WHEN p.polpermissive THEN '' ELSE ' AS RESTRICTIVE' END
           || CASE p.polcmd WHEN 'r' THEN ' FOR SELECT' WHEN 'a' THEN ' FOR INSERT' WHEN 'w' THEN ' FOR UPDATE'
                            WHEN 'd' THEN ' FOR DELETE' ELSE '' END
           || ' TO ' || (SELECT string_agg(CASE role WHEN 0 THEN 'PUBLIC' ELSE role::regrole::text END, ', ')
                         FROM unnest(p.polroles) AS roles (role))
           || coalesce(' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', '')
           || coalesce(' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', '')
    FROM relations r
    JOIN pg_policy p ON p.polrelid = r.oid
    UNION ALL
    SELECT depth, 6, oid, 'policy', name, NULL, 'ALTER TABLE ' || name || ' ENABLE ROW LEVEL SECURITY'
    FROM relations
    WHERE relrowsecurity
    UNION ALL
    SELECT depth, 7, oid, 'policy', name, NULL, 'ALTER TABLE ' || name || ' FORCE ROW LEVEL SECURITY'
    FROM relations
    WHERE relforcerowsecurity
    UNION ALL
    SELECT r.depth, 8, r.oid, 'grant', CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END, NULL,
           'GRANT ' || a.privilege_type || ' ON ' || r.name || ' TO '
           || CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
           || CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
    FROM relations r, aclexplode(r.relacl) a
    WHERE a.grantee <> r.relowner
    UNION ALL
    SELECT r.depth, 9, r.oid, 'grant', CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END, NULL,
           'GRANT ' || a.privilege_type || ' (' || quote_ident(c.attname) || ') ON ' || r.name || ' TO '
           || CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
           || CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
    FROM relations r
    JOIN pg_attribute c ON c.attrelid = r.oid AND c.attnum > 0 AND NOT c.attisdropped, aclexplode(c.attacl) a
)
SELECT kind, name::text, take_off, put_on, NULL::text AS check_sql
FROM dependents
ORDER BY depth, place, made
