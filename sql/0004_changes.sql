-- What changed since a revision, for followers: head row first, then a row for each changed resource or token.
-- A function, because planning the queries anew for each load costs more than running them; stable, so that
-- all of it is one snapshot.  The columns are those of the load of everything (store_load.c).
CREATE FUNCTION flowplane_changes(since_epoch uuid, since_revision bigint, since_commit uuid)
RETURNS TABLE (kind text, id text, name text, team text, source text, form text, configuration text,
               service_name text, version bigint, created_at timestamptz, updated_at timestamptz,
               encoded bytea, encoder_version int, refs text[], secret_hash bytea, status text,
               scopes text[], expires_at timestamptz, epoch uuid, commit_id uuid)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    known text;
    k text;
    source_table text;
BEGIN
    SELECT CASE
        WHEN c.revision >= since_revision AND EXISTS (
            SELECT FROM config_changes x
            WHERE x.revision = since_revision AND x.epoch = since_epoch AND x.commit_id = since_commit)
            THEN 'known'
        WHEN c.revision >= since_revision AND (SELECT min(x.revision) FROM config_changes x) > since_revision
            THEN 'pruned'
        ELSE 'unknown' END INTO known FROM config_revision c;
    RETURN QUERY
        SELECT '', '', '', NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, c.revision, c.updated_at,
               c.updated_at, NULL::bytea, NULL::int, NULL::text[], NULL::bytea, known, NULL::text[],
               NULL::timestamptz, c.epoch, c.commit_id
        FROM config_revision c;
    IF known IS DISTINCT FROM 'known' THEN
        RETURN;
    END IF;
    FOR k IN SELECT DISTINCT x.kind FROM config_changes x WHERE x.revision > since_revision LOOP
        IF k = 'token' THEN
            RETURN QUERY
                SELECT 'token', t.token_id::text, c.resource_id, NULL::text, NULL::text, NULL::text, NULL::text,
                       t.name, t.version, t.created_at, t.updated_at, NULL::bytea, NULL::int, NULL::text[],
                       t.secret_hash, t.status, t.scopes, t.expires_at, NULL::uuid, NULL::uuid
                FROM (SELECT DISTINCT x.resource_id FROM config_changes x
                      WHERE x.revision > since_revision AND x.kind = 'token') c
                LEFT JOIN tokens t ON t.token_id = c.resource_id::uuid;
            CONTINUE;
        END IF;
        source_table := CASE k
            WHEN 'cluster' THEN 'clusters' WHEN 'route' THEN 'routes' WHEN 'listener' THEN 'listeners'
            WHEN 'endpoint' THEN 'endpoints' WHEN 'secret' THEN 'secrets'
            WHEN 'scoped-route' THEN 'resources' WHEN 'virtual-host' THEN 'resources'
            WHEN 'runtime' THEN 'resources' WHEN 'extension-config' THEN 'resources' END;
        CONTINUE WHEN source_table IS NULL; -- epochs, API definitions: nothing that is served
        RETURN QUERY EXECUTE format(
            'SELECT %1$L, t.id::text, c.name, t.team, t.source, t.form, t.configuration::text, %2$s, t.version,
                    t.created_at, t.updated_at,
                    CASE WHEN t.content_hash = sha256(t.encoded) THEN t.encoded END, t.encoder_version,
                    (SELECT array_agg(f.target_kind || '' '' || f.target_name ORDER BY f.target_kind, f.target_name)
                     FROM resource_refs f WHERE f.kind = %1$L AND f.name = t.name),
                    NULL::bytea, NULL::text, NULL::text[], NULL::timestamptz, NULL::uuid, NULL::uuid
             FROM (SELECT DISTINCT x.name FROM config_changes x WHERE x.revision > $1 AND x.kind = %1$L) c
             LEFT JOIN %3$I t ON t.name = c.name%4$s',
            k, CASE WHEN k = 'cluster' THEN 't.service_name' ELSE 'NULL::text' END, source_table,
            CASE WHEN source_table = 'resources' THEN format(' AND t.type = %L', k || 's') END)
        USING since_revision;
    END LOOP;
END $$;
