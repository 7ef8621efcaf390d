-- What a write tells of the rows around it, judged in its transaction: names that may be missing and are
-- (contract §5.9), endpoint sets that a cluster generates (§5.2.2), rows that a team's token would move to another
-- team (§4.5).

-- "kind/name" of references the server wants to tell of when they are missing.
CREATE FUNCTION flowplane_absent(refs jsonb, of_team text) RETURNS text[] LANGUAGE plpgsql AS $$
BEGIN
    RETURN ARRAY(
        SELECT DISTINCT (r ->> 'kind') || '/' || (r ->> 'name') FROM jsonb_array_elements(refs) r
        WHERE (r ->> 'tell')::boolean AND NOT EXISTS (
            SELECT FROM clusters t
            WHERE r ->> 'kind' = 'cluster' AND t.name = r ->> 'name'
                AND (of_team IS NULL OR t.team IS NULL OR t.team = of_team)
            UNION ALL
            SELECT FROM routes t
            WHERE r ->> 'kind' = 'route' AND t.name = r ->> 'name'
                AND (of_team IS NULL OR t.team IS NULL OR t.team = of_team)
            UNION ALL
            SELECT FROM secrets t
            WHERE r ->> 'kind' = 'secret' AND t.name = r ->> 'name'
                AND (of_team IS NULL OR t.team IS NULL OR t.team = of_team)));
END $$;

-- Is there the other side of an endpoint set: a cluster that generates it, or a row that this cluster would generate?
CREATE FUNCTION flowplane_generated(kind text, name text, refs jsonb, configuration jsonb) RETURNS boolean
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
    IF kind = 'endpoint' THEN
        RETURN EXISTS (
            SELECT FROM resource_refs f JOIN clusters t ON t.name = f.name
            WHERE f.target_kind = 'endpoint' AND f.target_name = name AND f.kind = 'cluster'
                AND t.configuration -> 'endpoints' <> '[]');
    END IF;
    RETURN configuration -> 'endpoints' <> '[]' AND EXISTS (
        SELECT FROM jsonb_array_elements(refs) r JOIN endpoints t ON t.name = r ->> 'name'
        WHERE r ->> 'kind' = 'endpoint');
END $$;

-- The functions of 0010, with that: names are those that are absent when the outcome is done or unchanged.
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
CREATE OR REPLACE FUNCTION flowplane_create_%1$s(jsonb, int, jsonb, text, text, text, text, jsonb, bytea, bytea,
    int%4$s, %10$s) LANGUAGE plpgsql AS $$
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
        names := CASE WHEN $3 @> '[{"tell": true}]' THEN flowplane_absent($3, $5) END;
    END IF;
    IF %11$s AND NOT EXISTS (SELECT FROM %1$s t WHERE t.name = $4) THEN -- a name that is taken is told first
        outcome := 'generated';
        revision := at.revision_now;
        RETURN;
    END IF;
    IF $3 <> '[]' THEN
        INSERT INTO resource_refs (kind, name, target_kind, target_name)
        SELECT %2$s, $4, r ->> 'kind', r ->> 'name' FROM jsonb_array_elements($3) r ON CONFLICT DO NOTHING;
    END IF;
    INSERT INTO %1$s AS t (name, team, source, form, configuration, encoded, content_hash, encoder_version%3$s)
    VALUES ($4, $5, $6, $7, $8, $9, $10, $11%5$s)
    RETURNING 'done', t.id, t.version, t.created_at, t.updated_at, at.revision_next
    INTO outcome, id, version, created_at, updated_at, revision;
END $$;

CREATE OR REPLACE FUNCTION flowplane_replace_%1$s(jsonb, int, jsonb, text, text, text, text, jsonb, bytea, bytea,
    int%4$s, bigint, %10$s) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    at record := flowplane_begin($1, $2);
    was record;
BEGIN
    SELECT t.id, t.version, t.created_at, t.updated_at, t.source, t.team,
           (t.configuration, t.team, t.source, t.form%6$s) IS NOT DISTINCT FROM ($8, $5, $6, $7%7$s) AS same
    INTO was FROM %1$s t
    WHERE t.name = $4%8$s AND ($1 -> 'teams' IS NULL OR $1 -> 'teams' ? t.team) FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    names := CASE WHEN $3 <> '[]' THEN flowplane_missing($3, $5) END;
    outcome := CASE
        WHEN $1 -> 'teams' IS NOT NULL AND was.team IS DISTINCT FROM $5 THEN 'team'
        WHEN %9$s >= 0 AND was.version <> %9$s THEN 'stale'
        WHEN was.source = 'platform_api' THEN 'protected'
        WHEN names <> '{}' THEN 'missing'
        WHEN was.same THEN 'unchanged'
        WHEN %11$s THEN 'generated'
        ELSE 'done' END;
    IF outcome IN ('unchanged', 'done') THEN
        names := CASE WHEN $3 @> '[{"tell": true}]' THEN flowplane_absent($3, $5) END;
    END IF;
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
$f$, t[1], t[2], t[3], t[4], t[5], t[6], t[7], t[8], t[9], answer,
            CASE WHEN t[1] IN ('clusters', 'endpoints') THEN format('flowplane_generated(%s, $4, $3, $8)', t[2])
                ELSE 'false' END);
    END LOOP;
END $make$;

-- The function of 0007, with that.  Options: label, force, prune ([kind]), teams ({kind: [team]}, of a team-scoped
-- token), if_revision, dry_run, event, metadata.  Gives a head row (r_action done, unchanged, stale or refused;
-- r_version the revision), then a row for each step and for each name that is absent after it ("absent", r_detail
-- "kind/name"), or one for each problem (r_action says which, r_detail the other side).  How many members there are is
-- known only when they are there: plans are made for them.
CREATE OR REPLACE FUNCTION flowplane_apply(actor jsonb, lock_timeout_ms int, o jsonb, texts json)
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
    absent jsonb; -- [item, kind, name, kind/name]
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
        SELECT coalesce(jsonb_agg(jsonb_build_array(x.item, x.kind, x.name, x.target)), '[]') INTO absent
        FROM (SELECT i.item, i.kind, i.name, (r ->> 'kind') || '/' || (r ->> 'name') AS target
              FROM unnest(items) i, jsonb_array_elements(i.refs) r
              WHERE i.action = 'put' AND (r ->> 'tell')::boolean AND NOT EXISTS (
                  SELECT FROM clusters t
                  WHERE r ->> 'kind' = 'cluster' AND t.name = r ->> 'name'
                      AND (i.team IS NULL OR t.team IS NULL OR t.team = i.team)
                  UNION ALL
                  SELECT FROM routes t
                  WHERE r ->> 'kind' = 'route' AND t.name = r ->> 'name'
                      AND (i.team IS NULL OR t.team IS NULL OR t.team = i.team)
                  UNION ALL
                  SELECT FROM secrets t
                  WHERE r ->> 'kind' = 'secret' AND t.name = r ->> 'name'
                      AND (i.team IS NULL OR t.team IS NULL OR t.team = i.team))
              ORDER BY i.item LIMIT 100) x;
        WITH j AS MATERIALIZED (
            SELECT c.name AS cluster, e.name AS endpoint
            FROM endpoints e JOIN resource_refs f ON f.target_kind = 'endpoint' AND f.target_name = e.name
                JOIN clusters c ON f.kind = 'cluster' AND c.name = f.name
            WHERE c.configuration -> 'endpoints' <> '[]')
        SELECT problems || coalesce(jsonb_agg(jsonb_build_array(s.item, s.kind, s.name, 'generated', NULL)), '[]')
        INTO problems
        FROM j JOIN unnest(steps) s ON s.action IN ('create', 'update')
            AND (s.kind, s.name) IN (('cluster', j.cluster), ('endpoint', j.endpoint));
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
    RETURN QUERY
        SELECT 'absent', (p ->> 0)::int, p ->> 1, p ->> 2, NULL, NULL::bigint, NULL::bigint, NULL, p ->> 3
        FROM jsonb_array_elements(absent) WITH ORDINALITY a (p, nth) ORDER BY nth;
END $$;
