-- Names that the operations guide and its queries use (contract §14, §16).

CREATE VIEW audit_log AS
SELECT id, event_type AS action, resource_type, resource_id, resource_name, old_configuration,
       new_configuration, metadata, user_id, client_ip, user_agent, request_id, revision, chain,
       created_at
FROM audit_logs;

CREATE VIEW personal_access_tokens AS
SELECT token_id AS id, name, description, status, scopes, expires_at, last_used_at, created_by,
       version, created_at, updated_at
FROM tokens;

CREATE VIEW token_scopes AS
SELECT t.token_id, s.scope
FROM tokens t, unnest(t.scopes) AS s (scope);
