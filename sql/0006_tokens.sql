-- Is there a token besides this one that can make tokens?  Volatile, so that it sees what was committed before
-- the revision lock was taken (flowplane_begin): two deletions at once cannot both leave it to the other.
CREATE FUNCTION flowplane_other_admin(id uuid) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM tokens t
        WHERE t.token_id <> id AND t.status = 'active' AND (t.expires_at IS NULL OR t.expires_at > now())
            AND t.scopes && '{tokens:write,tokens:*,admin:all}');
END $$;

-- What one instance does for all every minute: tokens whose time is over become expired, audit rows older than
-- retention_ms (0: none) are pruned, a bounded number at a time.
CREATE FUNCTION flowplane_chores(retention_ms bigint, OUT expired_n bigint, OUT pruned_n bigint)
LANGUAGE plpgsql AS $$
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
    IF retention_ms > 0 THEN
        DELETE FROM audit_logs WHERE id IN (
            SELECT id FROM audit_logs WHERE created_at < now() - retention_ms * interval '1 millisecond'
            ORDER BY created_at LIMIT 10000);
        GET DIAGNOSTICS pruned_n = ROW_COUNT;
    END IF;
END $$;
