-- Direct SQL takes the revision lock before any row lock, as the server's statements do (flowplane_begin):
-- with one order nobody waits in a circle.  Updates of bookkeeping columns alone do not need it.
CREATE FUNCTION flowplane_lock() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM config_revision FOR NO KEY UPDATE;
    RETURN NULL;
END $$;

DO $$
DECLARE
    t text;
    columns text;
BEGIN
    FOREACH t IN ARRAY '{clusters,routes,listeners,endpoints,secrets,resources,tokens,api_definitions,api_routes}'::text[] LOOP
        SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO columns
        FROM pg_attribute
        WHERE attrelid = t::regclass AND attnum > 0 AND NOT attisdropped AND attname <> ALL
            ('{encoded,content_hash,encoder_version,last_used_at,version,updated_at}');
        EXECUTE format('CREATE TRIGGER flowplane_lock BEFORE INSERT OR DELETE OR UPDATE OF %s ON %I
            FOR EACH STATEMENT EXECUTE FUNCTION flowplane_lock()', columns, t);
    END LOOP;
    EXECUTE format('ALTER FUNCTION flowplane_lock() SET search_path = %I, pg_temp', current_schema());
END $$;
