-- Revision, change rows, audit rows and notification (contract §14).  They work for the API and for direct
-- SQL alike.  Transaction-local settings carry the transaction's number, so that a value somebody set for
-- the session is not taken for one of this transaction.

-- The revision of this transaction: the first call makes it.  The lock on the one row is held until the
-- end, so that revision order is commit order.
CREATE FUNCTION flowplane_bump() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    tx text := txid_current()::text;
    mine text := current_setting('flowplane.revision', true);
    r bigint;
BEGIN
    IF split_part(mine, ' ', 1) = tx THEN
        RETURN split_part(mine, ' ', 2)::bigint;
    END IF;
    UPDATE config_revision
    SET revision = revision + 1, commit_id = gen_random_uuid(), updated_at = now()
    RETURNING revision INTO r;
    IF NOT FOUND THEN
        INSERT INTO config_revision (epoch, revision, commit_id)
        VALUES (gen_random_uuid(), 1, gen_random_uuid())
        RETURNING revision INTO r;
    END IF;
    PERFORM set_config('flowplane.revision', tx || ' ' || r, true);
    PERFORM pg_notify('flowplane_config', r::text);
    RETURN r;
END $$;

-- Called first by every statement of the server: says who writes, bounds the wait for locks, and takes the
-- revision lock before any row lock (one order, no deadlock).  What volatile functions read afterwards
-- stays true until commit.
CREATE FUNCTION flowplane_begin(actor jsonb, lock_timeout_ms int, OUT revision_now bigint,
                                OUT revision_next bigint) LANGUAGE plpgsql AS $$
DECLARE
    tx text := txid_current()::text;
    mine text := current_setting('flowplane.revision', true);
BEGIN
    PERFORM set_config('flowplane.actor', tx || ' ' || actor, true);
    PERFORM set_config('lock_timeout', lock_timeout_ms::text, true);
    SELECT c.revision INTO revision_now FROM config_revision c FOR NO KEY UPDATE;
    revision_now := coalesce(revision_now, 0);
    revision_next := CASE WHEN split_part(mine, ' ', 1) = tx THEN revision_now ELSE revision_now + 1 END;
END $$;

CREATE FUNCTION flowplane_actor() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    mine text := current_setting('flowplane.actor', true);
BEGIN
    IF split_part(mine, ' ', 1) = txid_current()::text THEN
        RETURN substr(mine, strpos(mine, ' ') + 1)::jsonb;
    END IF;
    RETURN jsonb_build_object('user_id', 'db:' || session_user, 'client_ip', host(inet_client_addr()),
                              'user_agent', nullif(current_setting('application_name'), ''),
                              'direct', true);
END $$;

-- The kind of a row of `resources` follows from its type: scoped-routes → scoped-route.
CREATE FUNCTION flowplane_kind(kind text, r jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN kind = 'resource' THEN rtrim(r ->> 'type', 's') ELSE kind END
$$;

CREATE FUNCTION flowplane_audit_token(o jsonb, n jsonb, OUT event text, OUT metadata jsonb)
LANGUAGE plpgsql AS $$
BEGIN
    IF o IS NULL THEN
        event := 'auth.token.created';
        metadata := jsonb_build_object('scopes', n -> 'scopes', 'created_by', n -> 'created_by');
    ELSIF n IS NULL THEN
        event := 'auth.token.revoked';
        metadata := jsonb_build_object('status', 'deleted');
    ELSIF n -> 'status' <> o -> 'status' AND n ->> 'status' = 'revoked' THEN
        event := 'auth.token.revoked';
        metadata := jsonb_build_object('status', n -> 'status');
    ELSIF n -> 'status' <> o -> 'status' AND n ->> 'status' = 'expired' THEN
        event := 'auth.token.expired';
        metadata := jsonb_build_object('expired_at', n -> 'expires_at');
    ELSIF n -> 'secret_hash' <> o -> 'secret_hash' THEN
        event := 'auth.token.rotated';
        metadata := jsonb_build_object('rotated_at', n -> 'updated_at');
    ELSE
        event := 'auth.token.updated';
        metadata := jsonb_build_object('status', n -> 'status', 'expires_at', n -> 'expires_at',
                                       'scopes', n -> 'scopes');
    END IF;
END $$;

-- What the audit trail keeps of a row: no sealed parts, nothing of tokens.
CREATE FUNCTION flowplane_masked(kind text, r jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN kind <> 'token' THEN
        regexp_replace(coalesce(r -> 'configuration', r)::text, '\{"sealed": "[^"]*"\}', '"***"', 'g')::jsonb END
$$;

-- What followers know a row by.
CREATE FUNCTION flowplane_identity(kind text, r jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN kind = 'token' THEN r ->> 'token_id'
                WHEN kind IN ('api-definition', 'api-route') THEN r ->> 'id'
                ELSE r ->> 'name' END
$$;

-- One changed row (o: before, n: after; NULL when there is none): change row and audit row.
CREATE FUNCTION flowplane_record(kind text, o jsonb, n jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    r jsonb := coalesce(n, o);
    id text := coalesce(r ->> 'token_id', r ->> 'id');
    name text := coalesce(r ->> 'name', r ->> 'domain', r ->> 'id');
    act text := CASE WHEN o IS NULL THEN 'create' WHEN n IS NULL THEN 'delete' ELSE 'update' END;
    who jsonb := flowplane_actor();
    rev bigint := flowplane_bump();
    event text := 'resource.' || act || 'd';
    about jsonb := jsonb_build_object('version', r -> 'version', 'team', r -> 'team');
    token boolean := kind = 'token';
BEGIN
    INSERT INTO config_changes (revision, epoch, commit_id, kind, resource_id, name, action, old_row,
                                new_row, user_id, request_id, source, trace_context)
    SELECT c.revision, c.epoch, c.commit_id, kind, id, name, act,
           CASE WHEN NOT token THEN o END, CASE WHEN NOT token THEN n END, who ->> 'user_id',
           who ->> 'request_id', r ->> 'source', who ->> 'trace_context'
    FROM config_revision c;
    -- The routes of a definition are reported by the server as platform.api.* (contract §11.5).
    IF kind = 'api-route' AND NOT who ? 'direct' THEN
        RETURN;
    END IF;
    IF token THEN
        SELECT t.event, t.metadata INTO event, about FROM flowplane_audit_token(o, n) t;
    END IF;
    INSERT INTO audit_logs (event_type, resource_type, resource_id, resource_name, old_configuration,
                            new_configuration, metadata, user_id, client_ip, user_agent, request_id,
                            revision)
    VALUES (event, CASE WHEN token THEN 'auth.token' ELSE kind END, id, name, flowplane_masked(kind, o),
            flowplane_masked(kind, n), about, who ->> 'user_id', who ->> 'client_ip', who ->> 'user_agent',
            who ->> 'request_id', rev);
END $$;

-- BEFORE UPDATE.  Argument: the columns that are bookkeeping in this table.
CREATE FUNCTION flowplane_row_before() RETURNS trigger LANGUAGE plpgsql AS $$
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
    IF n IS NOT DISTINCT FROM OLD THEN
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

-- AFTER INSERT, DELETE, and UPDATE that changed something.  Argument: the kind.
CREATE FUNCTION flowplane_row_after() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    hidden text[] := '{encoded,content_hash,encoder_version}';
    o jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) - hidden END;
    n jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) - hidden END;
    o_kind text := flowplane_kind(TG_ARGV[0], o);
    n_kind text := flowplane_kind(TG_ARGV[0], n);
    renamed boolean := o_kind <> n_kind OR flowplane_identity(o_kind, o) <> flowplane_identity(n_kind, n);
BEGIN
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

-- TRUNCATE: a tombstone for each row.
CREATE FUNCTION flowplane_truncate_before() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    r jsonb;
BEGIN
    FOR r IN EXECUTE format('SELECT to_jsonb(t) - ''{encoded,content_hash,encoder_version}''::text[] FROM %I.%I t',
                            TG_TABLE_SCHEMA, TG_TABLE_NAME) LOOP
        PERFORM flowplane_record(flowplane_kind(TG_ARGV[0], r), r, NULL);
        DELETE FROM resource_refs f
        WHERE f.kind = flowplane_kind(TG_ARGV[0], r) AND f.name = r ->> 'name';
    END LOOP;
    RETURN NULL;
END $$;

-- Which of refs ([{"kind","name","check"}]) do not exist; rows of another team count as missing.
CREATE FUNCTION flowplane_missing(refs jsonb, of_team text) RETURNS text[] LANGUAGE plpgsql AS $$
BEGIN
    RETURN (
        SELECT coalesce(array_agg(DISTINCT r ->> 'name'), '{}')
        FROM jsonb_array_elements(refs) r
        WHERE (r ->> 'check')::boolean AND NOT EXISTS (
            SELECT FROM clusters t
            WHERE r ->> 'kind' = 'cluster' AND t.name = r ->> 'name'
                AND (of_team IS NULL OR t.team IS NULL OR t.team = of_team)
            UNION ALL
            SELECT FROM secrets t
            WHERE r ->> 'kind' = 'secret' AND t.name = r ->> 'name'
                AND (of_team IS NULL OR t.team IS NULL OR t.team = of_team)));
END $$;

-- "kind/name" of those that name this row; at most 100.
CREATE FUNCTION flowplane_users(of_kind text, of_name text) RETURNS text[] LANGUAGE plpgsql AS $$
BEGIN
    RETURN ARRAY(
        SELECT f.kind || '/' || f.name FROM resource_refs f
        WHERE f.target_kind = of_kind AND f.target_name = of_name
            AND NOT (f.kind = of_kind AND f.name = of_name)
        ORDER BY 1 LIMIT 100);
END $$;

-- A follower that has seen what this database does not know (a restored dump): a new epoch, with a revision
-- beyond all seen, so that revisions never go back for clients.  Of several followers the first one does it.
CREATE FUNCTION flowplane_new_epoch(known uuid, seen bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE config_revision
    SET epoch = gen_random_uuid(), revision = greatest(revision, seen) + 1,
        commit_id = gen_random_uuid(), updated_at = now()
    WHERE epoch = known OR revision < seen;
    IF FOUND THEN
        INSERT INTO config_changes (revision, epoch, commit_id, kind, resource_id, name, action)
        SELECT revision, epoch, commit_id, 'epoch', '', '', 'update' FROM config_revision;
        PERFORM pg_notify('flowplane_config', revision::text) FROM config_revision;
    END IF;
END $$;

INSERT INTO config_revision (epoch, revision, commit_id) VALUES (gen_random_uuid(), 0, gen_random_uuid());
-- Each known (epoch, revision, commit_id) stands in config_changes, the first one too.
INSERT INTO config_changes (revision, epoch, commit_id, kind, resource_id, name, action)
SELECT revision, epoch, commit_id, 'epoch', '', '', 'create' FROM config_revision;

DO $$
DECLARE
    t text[];
    kinds text[] := '{{clusters,cluster,encoded},{routes,route,encoded},{listeners,listener,encoded},
        {endpoints,endpoint,encoded},{secrets,secret,encoded},{resources,resource,encoded},
        {tokens,token,last_used_at},{api_definitions,api-definition,none},{api_routes,api-route,none}}';
    f text;
BEGIN
    FOREACH t SLICE 1 IN ARRAY kinds LOOP
        IF t[1] <> 'api_routes' THEN
            EXECUTE format('CREATE TRIGGER flowplane_before BEFORE UPDATE ON %I
                FOR EACH ROW EXECUTE FUNCTION flowplane_row_before(%L)', t[1], t[3]);
        END IF;
        EXECUTE format('CREATE TRIGGER flowplane_after AFTER INSERT OR DELETE ON %I
            FOR EACH ROW EXECUTE FUNCTION flowplane_row_after(%L)', t[1], t[2]);
        EXECUTE format('CREATE TRIGGER flowplane_after_update AFTER UPDATE ON %I
            FOR EACH ROW WHEN (%s) EXECUTE FUNCTION flowplane_row_after(%L)', t[1],
            CASE WHEN t[1] = 'api_routes' THEN 'OLD IS DISTINCT FROM NEW'
                 ELSE 'OLD.version <> NEW.version' END, t[2]);
        EXECUTE format('CREATE TRIGGER flowplane_truncate BEFORE TRUNCATE ON %I
            FOR EACH STATEMENT EXECUTE FUNCTION flowplane_truncate_before(%L)', t[1], t[2]);
    END LOOP;
    -- pg_dump's output and psql users have other search paths: triggers find the tables by themselves.
    FOREACH f IN ARRAY '{flowplane_row_after,flowplane_truncate_before}'::text[] LOOP
        EXECUTE format('ALTER FUNCTION %I() SET search_path = %I, pg_temp', f, current_schema());
    END LOOP;
END $$;
