-- The write path, measured: a statement as text cost more to plan than to run, and the triggers more than the rows.
-- Now a write is a function whose plans stay with the connection, and the bookkeeping is done in fewer steps.

-- Every writer updates this one row.  Pages that are mostly free are pruned early and have room for the versions
-- that somebody may still see; else the table grows, and each write reads all of it.
ALTER TABLE config_revision SET (fillfactor = 10);
ALTER TABLE audit_chain SET (fillfactor = 10);

-- The revision of this transaction, which the first call makes.  flowplane.revision is "tx revision epoch commit".
CREATE FUNCTION flowplane_commit(OUT revision bigint, OUT epoch uuid, OUT commit_id uuid) LANGUAGE plpgsql AS $$
DECLARE
    tx text := txid_current()::text;
    mine text[] := string_to_array(current_setting('flowplane.revision', true), ' ');
    done text;
BEGIN
    IF mine[1] = tx THEN
        revision := mine[2];
        epoch := mine[3];
        commit_id := mine[4];
        RETURN;
    END IF;
    UPDATE config_revision c
    SET revision = c.revision + 1, commit_id = gen_random_uuid(), updated_at = now()
    RETURNING c.revision, c.epoch, c.commit_id INTO revision, epoch, commit_id;
    IF revision IS NULL THEN
        INSERT INTO config_revision AS c (epoch, revision, commit_id)
        VALUES (gen_random_uuid(), 1, gen_random_uuid())
        RETURNING c.revision, c.epoch, c.commit_id INTO revision, epoch, commit_id;
    END IF;
    done := set_config('flowplane.revision', concat_ws(' ', tx, revision, epoch, commit_id), true)
        || pg_notify('flowplane_config', revision::text);
END $$;

CREATE OR REPLACE FUNCTION flowplane_bump() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    mine record := flowplane_commit();
BEGIN
    RETURN mine.revision;
END $$;

CREATE OR REPLACE FUNCTION flowplane_begin(actor jsonb, lock_timeout_ms int, OUT revision_now bigint,
                                           OUT revision_next bigint) LANGUAGE plpgsql AS $$
DECLARE
    tx text := txid_current()::text;
    done text := set_config('flowplane.actor', tx || ' ' || actor, true)
        || set_config('lock_timeout', lock_timeout_ms::text, true);
BEGIN
    SELECT c.revision INTO revision_now FROM config_revision c FOR NO KEY UPDATE;
    revision_now := coalesce(revision_now, 0);
    revision_next := revision_now + CASE
        WHEN split_part(current_setting('flowplane.revision', true), ' ', 1) = tx THEN 0 ELSE 1 END;
END $$;

-- Who begins with flowplane_begin has the lock.
CREATE OR REPLACE FUNCTION flowplane_lock() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF split_part(current_setting('flowplane.actor', true), ' ', 1) IS DISTINCT FROM txid_current()::text THEN
        PERFORM FROM config_revision FOR NO KEY UPDATE;
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION flowplane_masked(kind text, r jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN kind = 'token' THEN NULL
        WHEN strpos(coalesce(r -> 'configuration', r)::text, '{"sealed": "') = 0 THEN coalesce(r -> 'configuration', r)
        ELSE regexp_replace(coalesce(r -> 'configuration', r)::text, '\{"sealed": "[^"]*"\}', '"***"', 'g')::jsonb END
$$;

CREATE OR REPLACE FUNCTION flowplane_record(kind text, o jsonb, n jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    mine record := flowplane_commit();
    who jsonb := flowplane_actor();
    r jsonb := coalesce(n, o);
    id text := coalesce(r ->> 'token_id', r ->> 'id');
    name text := coalesce(r ->> 'name', r ->> 'domain', r ->> 'id');
    act text := CASE WHEN o IS NULL THEN 'create' WHEN n IS NULL THEN 'delete' ELSE 'update' END;
    token boolean := kind = 'token';
    event text := 'resource.' || act || 'd';
    about jsonb := jsonb_build_object('version', r -> 'version', 'team', r -> 'team');
BEGIN
    INSERT INTO config_changes (revision, epoch, commit_id, kind, resource_id, name, action, old_row, new_row,
                                user_id, request_id, source, trace_context)
    VALUES (mine.revision, mine.epoch, mine.commit_id, kind, id, name, act, CASE WHEN NOT token THEN o END,
            CASE WHEN NOT token THEN n END, who ->> 'user_id', who ->> 'request_id', r ->> 'source',
            who ->> 'trace_context');
    -- The routes of a definition are reported by the server as platform.api.* (contract §11.5).
    IF kind = 'api-route' AND NOT who ? 'direct' THEN
        RETURN;
    END IF;
    IF token THEN
        SELECT t.event, t.metadata INTO event, about FROM flowplane_audit_token(o, n) t;
    END IF;
    INSERT INTO audit_logs (event_type, resource_type, resource_id, resource_name, old_configuration,
                            new_configuration, metadata, user_id, client_ip, user_agent, request_id, revision)
    VALUES (event, CASE WHEN token THEN 'auth.token' ELSE kind END, id, name, flowplane_masked(kind, o),
            flowplane_masked(kind, n), about, who ->> 'user_id', who ->> 'client_ip', who ->> 'user_agent',
            who ->> 'request_id', mine.revision);
END $$;

-- As in 0007; an insert, which can be no rename, takes the short way.
CREATE OR REPLACE FUNCTION flowplane_row_after() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    hidden text[] := '{encoded,content_hash,encoder_version}';
    o jsonb;
    n jsonb;
    o_kind text;
    n_kind text;
    renamed boolean;
    done text;
BEGIN
    IF current_setting('flowplane.set', true) = txid_current()::text THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'INSERT' THEN
        n := to_jsonb(NEW) - hidden;
        done := flowplane_record(flowplane_kind(TG_ARGV[0], n), NULL, n);
        RETURN NULL;
    END IF;
    o := to_jsonb(OLD) - hidden;
    n := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) - hidden END;
    o_kind := flowplane_kind(TG_ARGV[0], o);
    n_kind := flowplane_kind(TG_ARGV[0], n);
    renamed := o_kind <> n_kind OR flowplane_identity(o_kind, o) <> flowplane_identity(n_kind, n);
    IF n IS NULL OR renamed THEN
        DELETE FROM resource_refs f WHERE f.kind = o_kind AND f.name = o ->> 'name';
    END IF;
    IF renamed THEN -- a row gone and a row come
        done := flowplane_record(o_kind, o, NULL);
        done := flowplane_record(n_kind, NULL, n);
    ELSE
        done := flowplane_record(coalesce(n_kind, o_kind), o, n);
    END IF;
    RETURN NULL;
END $$;

-- The statements of resources: flowplane_create_clusters and so on, three for each table, made of three texts.
-- flowplane_begin comes first and takes the revision lock: what the steps after it read holds until commit.
-- Parameters of create and replace: $1 actor, $2 lock timeout, $3 references, $4 name, $5 team, $6 source, $7 form,
-- $8 configuration, $9 encoded, $10 hash, $11 encoder version, the table's own columns, then for replace the version
-- asked for or -1.  Of delete: actor, lock timeout, name, version, and the type of `resources`.
-- The outcome is null when there is no such row.  Rows of other teams, and of none, are not there for a writer who
-- has teams (contract §4.5).  Rows of the default gateway are known by name (contract §4.6).
DO $make$
DECLARE
    t text[];
    answer text := 'OUT outcome text, OUT names text[], OUT id text, OUT version bigint, OUT created_at timestamptz,
        OUT updated_at timestamptz, OUT revision bigint';
    -- table, kind, own columns, their types, their values, those that count as content, the row's type
    tables text[] := $t${
        {clusters, "'cluster'", ", service_name", ", text", ", $12", ", t.service_name", ", $12", "", "$13"},
        {routes, "'route'", ", path_prefix, cluster_name", ", text, text", ", $12, $13", "", "", "", "$14"},
        {listeners, "'listener'", ", address, port, protocol", ", text, int, text",
            ", $12, $13, coalesce($14, 'HTTP')", ", t.protocol", ", coalesce($14, 'HTTP')", "", "$15"},
        {endpoints, "'endpoint'", "", "", "", "", "", "", "$12"},
        {resources, "rtrim($12, 's')", ", type", ", text", ", $12", "", "", " AND t.type = $12", "$13"}}$t$;
BEGIN
    FOREACH t SLICE 1 IN ARRAY tables LOOP
        EXECUTE format($f$
CREATE FUNCTION flowplane_create_%1$s(jsonb, int, jsonb, text, text, text, text, jsonb, bytea, bytea, int%4$s, %10$s)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    at record := flowplane_begin($1, $2);
BEGIN
    IF $3 <> '[]' THEN
        names := flowplane_missing($3, $5);
        IF names <> '{}' THEN
            outcome := 'missing';
            revision := at.revision_now;
            RETURN;
        END IF;
        INSERT INTO resource_refs (kind, name, target_kind, target_name)
        SELECT %2$s, $4, r ->> 'kind', r ->> 'name' FROM jsonb_array_elements($3) r ON CONFLICT DO NOTHING;
    END IF;
    INSERT INTO %1$s AS t (name, team, source, form, configuration, encoded, content_hash, encoder_version%3$s)
    VALUES ($4, $5, $6, $7, $8, $9, $10, $11%5$s)
    RETURNING 'done', t.id, t.version, t.created_at, t.updated_at, at.revision_next
    INTO outcome, id, version, created_at, updated_at, revision;
END $$;

CREATE FUNCTION flowplane_replace_%1$s(jsonb, int, jsonb, text, text, text, text, jsonb, bytea, bytea, int%4$s, bigint,
    %10$s) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    at record := flowplane_begin($1, $2);
    was record;
BEGIN
    SELECT t.id, t.version, t.created_at, t.updated_at, t.source,
           (t.configuration, t.team, t.source, t.form%6$s) IS NOT DISTINCT FROM ($8, $5, $6, $7%7$s) AS same
    INTO was FROM %1$s t
    WHERE t.name = $4%8$s AND ($1 -> 'teams' IS NULL OR $1 -> 'teams' ? t.team) FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    names := CASE WHEN $3 <> '[]' THEN flowplane_missing($3, $5) END;
    outcome := CASE
        WHEN %9$s >= 0 AND was.version <> %9$s THEN 'stale'
        WHEN was.source = 'platform_api' THEN 'protected'
        WHEN names <> '{}' THEN 'missing'
        WHEN was.same THEN 'unchanged'
        ELSE 'done' END;
    id := was.id;
    version := was.version;
    created_at := was.created_at;
    updated_at := was.updated_at;
    revision := at.revision_now;
    IF outcome <> 'done' THEN
        RETURN;
    END IF;
    UPDATE %1$s t SET (team, source, form, configuration, encoded, content_hash, encoder_version%3$s)
        = ROW($5, $6, $7, $8, $9, $10, $11%5$s)
    WHERE t.id = was.id RETURNING t.version, t.updated_at, at.revision_next INTO version, updated_at, revision;
    DELETE FROM resource_refs f WHERE f.kind = %2$s AND f.name = $4 AND NOT EXISTS (
        SELECT FROM jsonb_array_elements($3) r
        WHERE r ->> 'kind' = f.target_kind AND r ->> 'name' = f.target_name);
    IF $3 <> '[]' THEN
        INSERT INTO resource_refs (kind, name, target_kind, target_name)
        SELECT %2$s, $4, r ->> 'kind', r ->> 'name' FROM jsonb_array_elements($3) r ON CONFLICT DO NOTHING;
    END IF;
END $$;

CREATE FUNCTION flowplane_delete_%1$s(jsonb, int, text, bigint%11$s, %10$s) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    at record := flowplane_begin($1, $2);
    was record;
BEGIN
    SELECT t.id, t.version, t.created_at, t.updated_at, t.source
    INTO was FROM %1$s t
    WHERE t.name = $3%12$s AND ($1 -> 'teams' IS NULL OR $1 -> 'teams' ? t.team) FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    names := %13$s;
    outcome := CASE
        WHEN $4 >= 0 AND was.version <> $4 THEN 'stale'
        WHEN was.source IN ('platform_api', 'system') OR flowplane_protected(%14$s, $3) THEN 'protected'
        WHEN names <> '{}' THEN 'referenced'
        ELSE 'done' END;
    id := was.id;
    version := was.version;
    created_at := was.created_at;
    updated_at := was.updated_at;
    revision := at.revision_now;
    IF outcome = 'done' THEN
        DELETE FROM %1$s t WHERE t.id = was.id;
        revision := at.revision_next;
    END IF;
END $$;
$f$, t[1], t[2], t[3], t[4], t[5], t[6], t[7], t[8], t[9], answer,
            CASE WHEN t[1] = 'resources' THEN ', text' ELSE '' END,
            CASE WHEN t[1] = 'resources' THEN ' AND t.type = $5' ELSE '' END,
            CASE WHEN t[1] IN ('clusters', 'routes') THEN format('flowplane_users(%s, $3)', t[2]) ELSE 'NULL' END,
            CASE WHEN t[1] = 'resources' THEN $$''$$ ELSE t[2] END);
    END LOOP;

    EXECUTE format('ALTER FUNCTION flowplane_row_after() SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION flowplane_lock() SET search_path = %I, pg_temp', current_schema());
END $make$;
