-- History older than retention_ms goes, but the last `keep` revisions stay (contract §7.3): whole revisions from the
-- oldest on, about 10,000 rows at a time.
CREATE FUNCTION flowplane_prune_history(retention_ms bigint, keep bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    oldest bigint;
    last bigint; -- that may go
    next bigint; -- that stays for now
    n bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('flowplane_chores', 0)) THEN
        RETURN 0;
    END IF;
    SELECT c.revision - keep INTO last FROM config_revision c;
    SELECT x.revision INTO oldest FROM config_changes x ORDER BY x.revision LIMIT 1;
    IF oldest IS NULL OR oldest > last THEN
        RETURN 0;
    END IF;
    SELECT x.revision INTO next FROM config_changes x
    WHERE x.created_at >= now() - retention_ms * interval '1 millisecond' ORDER BY x.revision LIMIT 1;
    last := least(last, coalesce(next - 1, last));
    SELECT x.revision INTO next FROM config_changes x WHERE x.revision <= last
    ORDER BY x.revision OFFSET 10000 LIMIT 1;
    DELETE FROM config_changes x WHERE x.revision <= least(last, greatest(coalesce(next - 1, last), oldest));
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN n;
END $$;
