-- Is there a token besides this one that can make tokens?  Volatile, so that it sees what was committed before
-- the revision lock was taken (flowplane_begin): two deletions at once cannot both leave it to the other.
CREATE FUNCTION flowplane_other_admin(id uuid) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM tokens t
        WHERE t.token_id <> id AND t.status = 'active' AND (t.expires_at IS NULL OR t.expires_at > now())
            AND t.scopes && '{tokens:write,tokens:*,admin:all}');
END $$;
