-- A set of resources in one transaction (contract §7.1): written whole or not at all, in one revision.

-- One member of the set, as the server sends it: action put, or delete (rollbacks).
CREATE TYPE flowplane_item AS (
    item int, action text, kind text, name text, team text, source text, form text, configuration jsonb,
    encoded bytea, content_hash bytea, encoder_version int, refs jsonb, service_name text, path_prefix text,
    cluster_name text, address text, port int, protocol text, type text);

-- What is to be done for it, and for rows that are pruned (item NULL): create, update, delete, unchanged.
-- was: the row of today, when it changes.
CREATE TYPE flowplane_step AS (
    item int, kind text, name text, id uuid, action text, source text, version bigint, was jsonb, problem text);

-- The trigger of 0002; a set records its changes itself, all at once.
CREATE OR REPLACE FUNCTION flowplane_row_after() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    hidden text[] := '{encoded,content_hash,encoder_version}';
    o jsonb;
    n jsonb;
    o_kind text;
    n_kind text;
    renamed boolean;
BEGIN
    IF current_setting('flowplane.set', true) = txid_current()::text THEN
        RETURN NULL;
    END IF;
    o := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) - hidden END;
    n := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) - hidden END;
    o_kind := flowplane_kind(TG_ARGV[0], o);
    n_kind := flowplane_kind(TG_ARGV[0], n);
    renamed := o_kind <> n_kind OR flowplane_identity(o_kind, o) <> flowplane_identity(n_kind, n);
    IF n IS NULL OR renamed THEN
        DELETE FROM resource_refs f WHERE f.kind = o_kind AND f.name = o ->> 'name';
    END IF;
    IF renamed THEN -- a row gone and a row come
        PERFORM flowplane_record(o_kind, o, NULL);
        PERFORM flowplane_record(n_kind, NULL, n);
    ELSE
        PERFORM flowplane_record(coalesce(n_kind, o_kind), o, n);
    END IF;
    RETURN NULL;
END $$;
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION flowplane_row_after() SET search_path = %I, pg_temp', current_schema());
END $$;

-- Listeners that swap addresses inside a set are parked without a port for a moment: that is no change.
CREATE OR REPLACE FUNCTION flowplane_row_before() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    n record := NEW;
    bytes boolean := TG_ARGV[0] = 'encoded';
BEGIN
    n.version := OLD.version;
    n.updated_at := OLD.updated_at;
    IF bytes THEN
        n.encoded := OLD.encoded;
        n.content_hash := OLD.content_hash;
        n.encoder_version := OLD.encoder_version;
    ELSIF TG_ARGV[0] = 'last_used_at' THEN
        n.last_used_at := OLD.last_used_at;
    END IF;
    IF n IS NOT DISTINCT FROM OLD OR current_setting('flowplane.parking', true) = txid_current()::text THEN
        NEW.version := OLD.version;
        NEW.updated_at := OLD.updated_at;
        RETURN NEW;
    END IF;
    NEW.version := OLD.version + 1;
    NEW.updated_at := now();
    IF bytes THEN
        IF NEW.encoded IS NOT DISTINCT FROM OLD.encoded
            AND ((NEW.configuration, NEW.name, NEW.form) IS DISTINCT FROM (OLD.configuration, OLD.name, OLD.form)
                 OR TG_TABLE_NAME = 'clusters'
                    AND to_jsonb(NEW) -> 'service_name' <> to_jsonb(OLD) -> 'service_name') THEN
            NEW.encoded := NULL;
            NEW.content_hash := NULL;
            NEW.encoder_version := NULL;
        END IF;
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION flowplane_protected(kind text, name text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT (kind, name) IN (('cluster', 'default-gateway-cluster'), ('route', 'default-gateway-routes'),
                            ('listener', 'default-gateway-listener'))
$$;

-- Takes the ports from listeners that move, so that each finds its new address free.
CREATE FUNCTION flowplane_park(items flowplane_item[], steps flowplane_step[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('flowplane.parking', txid_current()::text, true);
    UPDATE listeners t SET port = NULL
    FROM unnest(steps) s JOIN unnest(items) i ON i.item = s.item
    WHERE s.kind = 'listener' AND s.action = 'update' AND t.id = s.id
        AND (i.address, i.port) IS DISTINCT FROM (t.address, t.port);
    PERFORM set_config('flowplane.parking', '', true);
END $$;

-- Change rows and audit rows of a set: those of flowplane_record, all at once.
CREATE FUNCTION flowplane_record_set(steps flowplane_step[], kind_of text, table_of text, who jsonb, rev bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format(
        $q$INSERT INTO config_changes (revision, epoch, commit_id, kind, resource_id, name, action, old_row,
                                       new_row, user_id, request_id, source, trace_context)
        SELECT c.revision, c.epoch, c.commit_id, s.kind, coalesce(n.new_row, s.was) ->> 'id', s.name, s.action,
               s.was, n.new_row, $2 ->> 'user_id', $2 ->> 'request_id', coalesce(n.new_row, s.was) ->> 'source',
               $2 ->> 'trace_context'
        FROM config_revision c CROSS JOIN unnest($1) s LEFT JOIN LATERAL (
            SELECT to_jsonb(t) - '{encoded,content_hash,encoder_version}'::text[] AS new_row FROM %I t
            WHERE t.name = s.name%s OFFSET 0) n ON true
        WHERE s.kind = %L AND s.action <> 'unchanged' ORDER BY s.item NULLS LAST, s.name$q$,
        table_of, CASE WHEN table_of = 'resources' THEN format(' AND t.type = %L', kind_of || 's') END, kind_of)
    USING steps, who;
    INSERT INTO audit_logs (event_type, resource_type, resource_id, resource_name, old_configuration,
                            new_configuration, metadata, user_id, client_ip, user_agent, request_id, revision)
    SELECT 'resource.' || c.action || 'd', c.kind, c.resource_id, c.name, flowplane_masked(c.kind, c.old_row),
           flowplane_masked(c.kind, c.new_row),
           jsonb_build_object('version', coalesce(c.new_row, c.old_row) -> 'version',
                              'team', coalesce(c.new_row, c.old_row) -> 'team'),
           who ->> 'user_id', who ->> 'client_ip', who ->> 'user_agent', who ->> 'request_id', rev
    FROM config_changes c WHERE c.revision = rev AND c.kind = kind_of ORDER BY c.id;
END $$;

-- Options: label, force, prune ([kind]), teams ({kind: [team]}, of a team-scoped token), if_revision, dry_run,
-- event, metadata.  Gives a head row (r_action done, unchanged, stale or refused; r_version the revision), then
-- a row for each step, or one for each problem (r_action says which, r_detail the other side).  How many members
-- there are is known only when they are there: plans are made for them.
CREATE FUNCTION flowplane_apply(actor jsonb, lock_timeout_ms int, o jsonb, texts json)
RETURNS TABLE (r_what text, r_item int, r_kind text, r_name text, r_action text, r_version bigint,
               r_from bigint, r_was text, r_detail text)
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
DECLARE
    label text := o ->> 'label';
    dry boolean := coalesce((o ->> 'dry_run')::boolean, false);
    -- kind, table, its own columns, those of them that count as content beside the configuration
    kinds text[] := '{{cluster,clusters,"service_name","service_name"},
        {route,routes,"path_prefix,cluster_name",""},{listener,listeners,"address,port,protocol","protocol"},
        {endpoint,endpoints,"",""},{scoped-route,resources,"type","type"},{virtual-host,resources,"type","type"},
        {runtime,resources,"type","type"},{extension-config,resources,"type","type"}}';
    k text[];
    now_revision bigint;
    rev bigint;
    items flowplane_item[];
    steps flowplane_step[] := '{}';
    more flowplane_step[];
    todo text[]; -- the kinds of the set; then "kind action" of the steps
    problems jsonb := '[]'; -- [item, kind, name, which, detail]
    summary jsonb;
    versions jsonb;
BEGIN
    SELECT b.revision_now INTO now_revision FROM flowplane_begin(actor, lock_timeout_ms) b;
    IF now_revision > (o ->> 'if_revision')::bigint THEN
        RETURN QUERY SELECT 'head', NULL::int, NULL, NULL, 'stale', now_revision, NULL::bigint, NULL, NULL;
        RETURN;
    END IF;
    items := ARRAY(SELECT i FROM json_populate_recordset(NULL::flowplane_item, texts) i);
    todo := ARRAY(SELECT DISTINCT i.kind FROM unnest(items) i);

    -- What is to be done
    FOREACH k SLICE 1 IN ARRAY kinds LOOP
        CONTINUE WHEN NOT k[1] = ANY (todo) AND NOT coalesce(o -> 'prune' ? k[1], false);
        EXECUTE format(
            $q$SELECT coalesce(array_agg(ROW(i.item, i.kind, i.name, t.id, a.action, s.source, t.version,
                    CASE WHEN a.action <> 'unchanged' AND t.id IS NOT NULL
                        THEN to_jsonb(t) - '{encoded,content_hash,encoder_version}'::text[] END, CASE
                    WHEN t.id IS NULL THEN NULL
                    WHEN $4 IS NOT NULL AND NOT coalesce($4 ? t.team, false) THEN 'taken'
                    WHEN t.source = 'platform_api' OR i.action = 'delete' AND flowplane_protected(i.kind, i.name)
                        THEN 'protected'
                    WHEN $4 IS NOT NULL AND i.team IS DISTINCT FROM t.team THEN 'team'
                    WHEN NOT $3 AND t.source NOT IN ('native_api', 'system', $2) THEN 'owned' END)::flowplane_step
                ORDER BY i.item), '{}')
            FROM unnest($1) i
                LEFT JOIN %1$I t ON t.name = i.name%3$s
                CROSS JOIN LATERAL (SELECT (t.configuration, t.team, t.form%4$s) IS NOT DISTINCT FROM
                    (i.configuration, i.team, i.form%5$s) AS same) m
                CROSS JOIN LATERAL (SELECT coalesce($2, i.source, CASE
                    WHEN t.id IS NULL OR t.source = 'system' AND NOT m.same THEN 'native_api'
                    ELSE t.source END) AS source) s
                CROSS JOIN LATERAL (SELECT CASE
                    WHEN i.action = 'delete' THEN CASE WHEN t.id IS NULL THEN 'unchanged' ELSE 'delete' END
                    WHEN t.id IS NULL THEN 'create'
                    WHEN m.same AND s.source = t.source THEN 'unchanged'
                    ELSE 'update' END AS action) a
            WHERE i.kind = %2$L$q$,
            k[2], k[1], CASE WHEN k[2] = 'resources' THEN format(' AND t.type = %L', k[1] || 's') END,
            CASE WHEN k[4] <> '' THEN ', t.' || k[4] END, CASE WHEN k[4] <> '' THEN ', i.' || k[4] END)
        INTO more USING items, label, coalesce((o ->> 'force')::boolean, false), o -> 'teams' -> k[1];
        steps := steps || more;
        CONTINUE WHEN NOT coalesce(o -> 'prune' ? k[1], false);
        EXECUTE format(
            $q$SELECT coalesce(array_agg(ROW(NULL, %2$L, t.name, t.id, 'delete', t.source, t.version,
                    to_jsonb(t) - '{encoded,content_hash,encoder_version}'::text[], NULL)::flowplane_step
                ORDER BY t.name), '{}')
            FROM %1$I t LEFT JOIN unnest($1) i ON i.kind = %2$L AND i.name = t.name
            WHERE t.source = $2 AND i.item IS NULL AND ($3 IS NULL OR $3 ? t.team)
                AND NOT flowplane_protected(%2$L, t.name)%3$s$q$,
            k[2], k[1], CASE WHEN k[2] = 'resources' THEN format(' AND t.type = %L', k[1] || 's') END)
        INTO more USING items, label, o -> 'teams' -> k[1];
        steps := steps || more;
    END LOOP;
    SELECT coalesce(jsonb_agg(jsonb_build_array(s.item, s.kind, s.name, s.problem, NULL)), '[]') INTO problems
    FROM unnest(steps) s WHERE s.problem IS NOT NULL;

    -- An address belongs to one listener when all is done.
    IF 'listener' = ANY (todo) THEN
        WITH j AS MATERIALIZED (
            SELECT i.item, i.name, i.address, i.port,
                   row_number() OVER (PARTITION BY i.address, i.port ORDER BY i.item) AS nth
            FROM unnest(items) i WHERE i.kind = 'listener' AND i.action = 'put' AND i.port IS NOT NULL)
        SELECT problems || coalesce(jsonb_agg(jsonb_build_array(j.item, 'listener', j.name, 'address',
                                                                format('%s:%s', j.address, j.port))), '[]')
        INTO problems
        FROM j LEFT JOIN listeners t ON t.address = j.address AND t.port = j.port AND t.name <> j.name
            AND t.id NOT IN (SELECT s.id FROM unnest(steps) s
                             WHERE s.kind = 'listener' AND s.action IN ('update', 'delete'))
        WHERE j.nth > 1 OR t.id IS NOT NULL;
    END IF;
    todo := ARRAY(SELECT DISTINCT s.kind || ' ' || s.action FROM unnest(steps) s);

    BEGIN
        IF problems <> '[]' THEN
            RAISE EXCEPTION USING ERRCODE = 'FP001';
        END IF;
        PERFORM set_config('flowplane.set', txid_current()::text, true);
        FOREACH k SLICE 1 IN ARRAY kinds LOOP
            CONTINUE WHEN NOT k[1] || ' delete' = ANY (todo);
            EXECUTE format('DELETE FROM %I t USING unnest($1) s
                            WHERE t.id = s.id AND s.kind = %L AND s.action = ''delete''', k[2], k[1]) USING steps;
        END LOOP;
        IF 'listener update' = ANY (todo) THEN
            PERFORM flowplane_park(items, steps);
        END IF;
        FOREACH k SLICE 1 IN ARRAY kinds LOOP
            IF k[1] || ' update' = ANY (todo) THEN
                EXECUTE format(
                    'UPDATE %1$I t SET (team, source, form, configuration, encoded, content_hash, encoder_version%2$s)
                       = ROW(i.team, s.source, i.form, i.configuration, i.encoded, i.content_hash,
                             i.encoder_version%3$s)
                     FROM unnest($1) s JOIN unnest($2) i ON i.item = s.item
                     WHERE t.id = s.id AND s.kind = %4$L AND s.action = ''update''',
                    k[2], CASE WHEN k[3] <> '' THEN ', ' || k[3] END,
                    CASE WHEN k[3] <> '' THEN ', i.' || replace(k[3], ',', ', i.') END, k[1]) USING steps, items;
            END IF;
            IF k[1] || ' create' = ANY (todo) THEN
                EXECUTE format(
                    'INSERT INTO %1$I (name, team, source, form, configuration, encoded, content_hash,
                                       encoder_version%2$s)
                     SELECT i.name, i.team, s.source, i.form, i.configuration, i.encoded, i.content_hash,
                            i.encoder_version%3$s
                     FROM unnest($1) s JOIN unnest($2) i ON i.item = s.item
                     WHERE s.kind = %4$L AND s.action = ''create'' ORDER BY i.item',
                    k[2], CASE WHEN k[3] <> '' THEN ', ' || k[3] END,
                    CASE WHEN k[3] <> '' THEN ', i.' || replace(k[3], ',', ', i.') END, k[1]) USING steps, items;
            END IF;
        END LOOP;
        PERFORM set_config('flowplane.set', '', true);

        -- Who names whom, and whether that holds now
        DELETE FROM resource_refs f USING unnest(steps) s
        WHERE s.action IN ('update', 'delete') AND f.kind = s.kind AND f.name = s.name;
        INSERT INTO resource_refs (kind, name, target_kind, target_name)
        SELECT i.kind, i.name, r ->> 'kind', r ->> 'name'
        FROM unnest(steps) s JOIN unnest(items) i ON i.item = s.item, jsonb_array_elements(i.refs) r
        WHERE s.action IN ('create', 'update') ON CONFLICT DO NOTHING;
        SELECT coalesce(jsonb_agg(jsonb_build_array(i.item, i.kind, i.name, 'missing', r ->> 'name')), '[]')
        INTO problems
        FROM unnest(items) i, jsonb_array_elements(i.refs) r
        WHERE i.action = 'put' AND (r ->> 'check')::boolean AND NOT EXISTS (
            SELECT FROM clusters t
            WHERE r ->> 'kind' = 'cluster' AND t.name = r ->> 'name'
                AND (i.team IS NULL OR t.team IS NULL OR t.team = i.team)
            UNION ALL
            SELECT FROM secrets t
            WHERE r ->> 'kind' = 'secret' AND t.name = r ->> 'name'
                AND (i.team IS NULL OR t.team IS NULL OR t.team = i.team));
        SELECT problems || coalesce(jsonb_agg(jsonb_build_array(s.item, s.kind, s.name, 'referenced',
                                                                f.kind || '/' || f.name)), '[]') INTO problems
        FROM unnest(steps) s JOIN resource_refs f ON f.target_kind = s.kind AND f.target_name = s.name
        WHERE s.action = 'delete' AND s.kind IN ('cluster', 'route', 'secret');
        IF problems <> '[]' THEN
            RAISE EXCEPTION USING ERRCODE = 'FP001';
        END IF;

        SELECT jsonb_build_object('created', count(*) FILTER (WHERE s.action = 'create'),
                                  'updated', count(*) FILTER (WHERE s.action = 'update'),
                                  'deleted', count(*) FILTER (WHERE s.action = 'delete'),
                                  'unchanged', count(*) FILTER (WHERE s.action = 'unchanged')) INTO summary
        FROM unnest(steps) s;
        IF EXISTS (SELECT FROM unnest(todo) d WHERE d NOT LIKE '% unchanged') THEN
            rev := flowplane_bump();
            FOREACH k SLICE 1 IN ARRAY kinds LOOP
                IF todo && ARRAY[k[1] || ' create', k[1] || ' update', k[1] || ' delete'] THEN
                    PERFORM flowplane_record_set(steps, k[1], k[2], actor, rev);
                END IF;
            END LOOP;
            SELECT jsonb_object_agg(c.kind || ' ' || c.name, c.new_row -> 'version') INTO versions
            FROM config_changes c WHERE c.revision = rev AND c.action = 'update';
            INSERT INTO audit_logs (event_type, resource_type, resource_id, metadata, user_id, client_ip,
                                    user_agent, request_id, revision)
            VALUES (o ->> 'event', 'config', rev::text,
                    coalesce(o -> 'metadata', '{}') || jsonb_build_object('summary', summary), actor ->> 'user_id',
                    actor ->> 'client_ip', actor ->> 'user_agent', actor ->> 'request_id', rev);
        END IF;
        IF dry THEN
            RAISE EXCEPTION USING ERRCODE = 'FP001';
        END IF;
    EXCEPTION WHEN SQLSTATE 'FP001' THEN
        NULL; -- all of it is undone; the variables tell what was found
    END;

    IF problems <> '[]' THEN
        RETURN QUERY SELECT 'head', NULL::int, NULL, NULL, 'refused', now_revision, NULL::bigint, NULL, NULL;
        RETURN QUERY
            SELECT 'problem', (p ->> 0)::int, p ->> 1, p ->> 2, p ->> 3, NULL::bigint, NULL::bigint, NULL, p ->> 4
            FROM jsonb_array_elements(problems) p ORDER BY (p ->> 0)::int LIMIT 100;
        RETURN;
    END IF;
    RETURN QUERY
        SELECT 'head', NULL::int, NULL, NULL, CASE WHEN rev IS NULL THEN 'unchanged' ELSE 'done' END,
               CASE WHEN dry THEN now_revision ELSE coalesce(rev, now_revision) END, NULL::bigint, NULL, NULL;
    RETURN QUERY
        SELECT 'row', s.item, s.kind, s.name, s.action,
               CASE s.action WHEN 'create' THEN 1
                             WHEN 'update' THEN (versions ->> (s.kind || ' ' || s.name))::bigint
                             ELSE s.version END,
               s.version, CASE WHEN dry THEN (s.was -> 'configuration')::text END, NULL
        FROM unnest(steps) s ORDER BY s.item NULLS LAST, s.kind, s.name;
END $$;
