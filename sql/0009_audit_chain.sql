-- The audit trail as a chain of hashes (contract §11.5, audit.hash_chain): `chain` of a row is the SHA-256 of the
-- hash before and the row's content, so that a row that was changed, removed or slipped in later is found.  Rows are
-- chained by a trigger, thus those of direct SQL too, in the order of their ids.

CREATE TABLE audit_chain (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    enabled boolean NOT NULL DEFAULT false, -- by the server that started last
    pruned_id bigint NOT NULL DEFAULT 0,    -- the last chained row that audit.retention took, and its hash
    pruned bytea NOT NULL DEFAULT '',
    head_id bigint NOT NULL DEFAULT 0,      -- the last chained row
    head bytea NOT NULL DEFAULT ''
);
INSERT INTO audit_chain DEFAULT VALUES;

-- Text of jsonb is canonical: keys are sorted, numbers exact.
CREATE FUNCTION flowplane_audit_hash(before bytea, r audit_logs) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT sha256(before || convert_to(jsonb_build_array(
        r.id, r.event_type, r.resource_type, r.resource_id, r.resource_name, r.old_configuration,
        r.new_configuration, r.metadata, r.user_id, r.client_ip, r.user_agent, r.request_id, r.revision,
        to_char(r.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'))::text, 'UTF8'))
$$;

-- The head's lock is held until commit and is the last one that a transaction takes: nobody waits in a circle.
CREATE FUNCTION flowplane_audit_chain() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    c audit_chain;
BEGIN
    SELECT * INTO c FROM audit_chain WHERE enabled FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN NEW;
    END IF;
    IF NEW.id <= c.head_id THEN -- drawn before another transaction got the lock first
        NEW.id := nextval(pg_get_serial_sequence('audit_logs', 'id'));
    END IF;
    NEW.chain := flowplane_audit_hash(c.head, NEW);
    UPDATE audit_chain SET head_id = NEW.id, head = NEW.chain;
    RETURN NEW;
END $$;
CREATE TRIGGER flowplane_chain BEFORE INSERT ON audit_logs FOR EACH ROW EXECUTE FUNCTION flowplane_audit_chain();

-- Walks the chain from the oldest row that is left.  bad_id: the first row that does not fit, NULL when all do;
-- outside_n: rows written while the chain was off.
CREATE FUNCTION flowplane_audit_verify(OUT rows_n bigint, OUT outside_n bigint, OUT bad_id bigint, OUT problem text)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    c audit_chain;
    r audit_logs;
    last bigint;
    hash bytea;
BEGIN
    SELECT * INTO c FROM audit_chain;
    last := c.pruned_id;
    hash := c.pruned;
    rows_n := 0;
    outside_n := 0;
    FOR r IN SELECT * FROM audit_logs ORDER BY id LOOP
        IF r.chain IS NULL THEN
            outside_n := outside_n + 1;
            CONTINUE;
        END IF;
        hash := flowplane_audit_hash(hash, r);
        IF hash <> r.chain THEN
            bad_id := r.id;
            problem := 'this row was changed, or one between it and row ' || last || ' was changed or removed';
            RETURN;
        END IF;
        last := r.id;
        rows_n := rows_n + 1;
    END LOOP;
    IF last <> c.head_id OR hash <> c.head THEN
        bad_id := c.head_id;
        problem := 'the rows after row ' || last || ' were removed';
    END IF;
END $$;

-- As in 0006, and the chain keeps its beginning: of a chained trail the rows with the lowest ids go, and the hash of
-- the last of them stays.  (Times differ from that order by the seconds that some rows wait to be written.)
CREATE OR REPLACE FUNCTION flowplane_chores(retention_ms bigint, OUT expired_n bigint, OUT pruned_n bigint)
LANGUAGE plpgsql AS $$
DECLARE
    since timestamptz := now() - retention_ms * interval '1 millisecond';
    stays bigint;
    ids bigint[];
BEGIN
    expired_n := 0;
    pruned_n := 0;
    IF NOT pg_try_advisory_xact_lock(hashtextextended('flowplane_chores', 0)) THEN
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM tokens WHERE status = 'active' AND expires_at <= now()) THEN
        PERFORM flowplane_begin('{"user_id":"system"}', 4000);
        UPDATE tokens SET status = 'expired' WHERE status = 'active' AND expires_at <= now();
        GET DIAGNOSTICS expired_n = ROW_COUNT;
    END IF;
    IF retention_ms <= 0 THEN
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM audit_chain WHERE head_id > pruned_id) THEN
        SELECT min(id) INTO stays FROM audit_logs WHERE created_at >= since;
        ids := ARRAY(SELECT id FROM audit_logs WHERE stays IS NULL OR id < stays ORDER BY id LIMIT 10000);
    ELSE
        ids := ARRAY(SELECT id FROM audit_logs WHERE created_at < since ORDER BY created_at LIMIT 10000);
    END IF;
    UPDATE audit_chain SET pruned_id = r.id, pruned = r.chain
    FROM (SELECT id, chain FROM audit_logs WHERE id = ANY(ids) AND chain IS NOT NULL ORDER BY id DESC LIMIT 1) r;
    DELETE FROM audit_logs WHERE id = ANY(ids);
    GET DIAGNOSTICS pruned_n = ROW_COUNT;
END $$;

DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION flowplane_audit_chain() SET search_path = %I, pg_temp', current_schema());
END $$;
