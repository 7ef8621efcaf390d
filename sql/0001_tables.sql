-- Tables of contract §14.  Unqualified names: everything goes into the first schema of the search path.
-- No object may be named idx_clusters_name, idx_routes_name, idx_listeners_name, idx_tokens_token_id or
-- idx_audit_logs_created_at: operators create indices of these names.

CREATE TABLE clusters (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL,
    team text,
    source text NOT NULL DEFAULT 'native_api',
    service_name text NOT NULL,
    configuration jsonb NOT NULL,
    form text NOT NULL DEFAULT 'model' CHECK (form IN ('model', 'envoy')),
    encoded bytea,
    content_hash bytea CHECK (octet_length(content_hash) = 32),
    encoder_version int,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT clusters_name_key UNIQUE (name)
);
CREATE INDEX clusters_team_idx ON clusters (team);
CREATE INDEX clusters_source_idx ON clusters (source);
CREATE INDEX clusters_service_name_idx ON clusters (service_name);
CREATE INDEX clusters_updated_at_idx ON clusters (updated_at);

CREATE TABLE routes (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL,
    team text,
    source text NOT NULL DEFAULT 'native_api',
    path_prefix text,
    cluster_name text,
    configuration jsonb NOT NULL,
    form text NOT NULL DEFAULT 'model' CHECK (form IN ('model', 'envoy')),
    encoded bytea,
    content_hash bytea CHECK (octet_length(content_hash) = 32),
    encoder_version int,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT routes_name_key UNIQUE (name)
);
CREATE INDEX routes_team_idx ON routes (team);
CREATE INDEX routes_source_idx ON routes (source);
CREATE INDEX routes_cluster_name_idx ON routes (cluster_name);
CREATE INDEX routes_path_prefix_idx ON routes (path_prefix);
CREATE INDEX routes_updated_at_idx ON routes (updated_at);

CREATE TABLE listeners (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL,
    team text,
    source text NOT NULL DEFAULT 'native_api',
    address text NOT NULL,
    port int CHECK (port BETWEEN 1 AND 65535),
    protocol text NOT NULL DEFAULT 'HTTP',
    configuration jsonb NOT NULL,
    form text NOT NULL DEFAULT 'model' CHECK (form IN ('model', 'envoy')),
    encoded bytea,
    content_hash bytea CHECK (octet_length(content_hash) = 32),
    encoder_version int,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT listeners_name_key UNIQUE (name)
);
CREATE UNIQUE INDEX listeners_address_port_key ON listeners (address, port) WHERE port IS NOT NULL;
CREATE INDEX listeners_team_idx ON listeners (team);
CREATE INDEX listeners_source_idx ON listeners (source);
CREATE INDEX listeners_protocol_idx ON listeners (protocol);
CREATE INDEX listeners_updated_at_idx ON listeners (updated_at);

CREATE TABLE endpoints (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL,
    team text,
    source text NOT NULL DEFAULT 'native_api',
    configuration jsonb NOT NULL,
    form text NOT NULL DEFAULT 'model' CHECK (form IN ('model', 'envoy')),
    encoded bytea,
    content_hash bytea CHECK (octet_length(content_hash) = 32),
    encoder_version int,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT endpoints_name_key UNIQUE (name)
);
CREATE INDEX endpoints_team_idx ON endpoints (team);

-- Private parts stand only inside configuration, as {"sealed": …}; encoded stays NULL.
CREATE TABLE secrets (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL,
    team text,
    source text NOT NULL DEFAULT 'native_api',
    type text NOT NULL,
    key_id text,
    not_after timestamptz,
    configuration jsonb NOT NULL,
    form text NOT NULL DEFAULT 'model' CHECK (form IN ('model', 'envoy')),
    encoded bytea,
    content_hash bytea CHECK (octet_length(content_hash) = 32),
    encoder_version int,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT secrets_name_key UNIQUE (name)
);
CREATE INDEX secrets_team_idx ON secrets (team);
CREATE INDEX secrets_not_after_idx ON secrets (not_after);

CREATE TABLE resources (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL,
    team text,
    source text NOT NULL DEFAULT 'native_api',
    type text NOT NULL
        CHECK (type IN ('scoped-routes', 'virtual-hosts', 'runtimes', 'extension-configs')),
    configuration jsonb NOT NULL,
    form text NOT NULL DEFAULT 'envoy' CHECK (form IN ('model', 'envoy')),
    encoded bytea,
    content_hash bytea CHECK (octet_length(content_hash) = 32),
    encoder_version int,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT resources_type_name_key UNIQUE (type, name)
);
CREATE INDEX resources_team_idx ON resources (team);

-- Who names whom, by kind and name; written with the row, also for targets that do not exist.
CREATE TABLE resource_refs (
    kind text NOT NULL,
    name text NOT NULL,
    target_kind text NOT NULL,
    target_name text NOT NULL,
    CONSTRAINT resource_refs_key UNIQUE (kind, name, target_kind, target_name)
);
CREATE INDEX resource_refs_target_idx ON resource_refs (target_kind, target_name);

CREATE TABLE tokens (
    token_id uuid PRIMARY KEY,
    name text NOT NULL,
    description text,
    secret_hash bytea NOT NULL CHECK (octet_length(secret_hash) = 32),
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'revoked', 'expired')),
    scopes text[] NOT NULL DEFAULT '{}',
    expires_at timestamptz,
    last_used_at timestamptz,
    created_by text NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX tokens_status_idx ON tokens (status);
CREATE INDEX tokens_expires_at_idx ON tokens (expires_at);

CREATE TABLE audit_logs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_type text NOT NULL CHECK (event_type <> ''),
    resource_type text NOT NULL CHECK (resource_type <> ''),
    resource_id text,
    resource_name text,
    old_configuration jsonb,
    new_configuration jsonb,
    metadata jsonb,
    user_id text,
    client_ip text,
    user_agent text,
    request_id text,
    revision bigint,
    chain bytea,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX audit_logs_resource_idx ON audit_logs (resource_type, resource_id);
CREATE INDEX audit_logs_user_idx ON audit_logs (user_id, created_at);
CREATE INDEX audit_logs_event_idx ON audit_logs (event_type, created_at);
CREATE INDEX audit_logs_time_idx ON audit_logs (created_at);

CREATE TABLE api_definitions (
    id uuid PRIMARY KEY,
    team text NOT NULL,
    domain text NOT NULL,
    listener_isolation boolean NOT NULL DEFAULT false,
    listener jsonb,
    target_listeners jsonb,
    tls_config jsonb,
    metadata jsonb,
    bootstrap_uri text,
    bootstrap_revision bigint NOT NULL DEFAULT 0,
    version bigint NOT NULL DEFAULT 1,
    generated_listener_id uuid REFERENCES listeners ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT api_definitions_domain_key UNIQUE (domain)
);
CREATE INDEX api_definitions_team_idx ON api_definitions (team);
CREATE INDEX api_definitions_updated_at_idx ON api_definitions (updated_at);

CREATE TABLE api_routes (
    id uuid PRIMARY KEY,
    api_definition_id uuid NOT NULL REFERENCES api_definitions ON DELETE CASCADE,
    match_type text NOT NULL,
    match_value text NOT NULL,
    case_sensitive boolean NOT NULL DEFAULT true,
    headers jsonb,
    rewrite_prefix text,
    rewrite_regex text,
    rewrite_substitution text,
    upstream_targets jsonb NOT NULL,
    timeout_seconds int,
    override_config jsonb,
    filter_config jsonb,
    deployment_note text,
    route_order int NOT NULL DEFAULT 0,
    generated_route_id uuid REFERENCES routes ON DELETE SET NULL,
    generated_cluster_id uuid REFERENCES clusters ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX api_routes_definition_idx ON api_routes (api_definition_id);
CREATE INDEX api_routes_match_idx ON api_routes (match_type, match_value);

CREATE TABLE config_revision (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    epoch uuid NOT NULL,
    revision bigint NOT NULL,
    commit_id uuid NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE config_changes (
    id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    revision bigint NOT NULL,
    epoch uuid NOT NULL,
    commit_id uuid NOT NULL,
    kind text NOT NULL,
    resource_id text NOT NULL,
    name text NOT NULL,
    action text CHECK (action IN ('create', 'update', 'delete')),
    old_row jsonb,
    new_row jsonb,
    user_id text,
    request_id text,
    source text,
    trace_context text,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX config_changes_revision_idx ON config_changes (revision);
CREATE INDEX config_changes_name_idx ON config_changes (kind, name, revision);

CREATE TABLE xds_nacks (
    id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    instance text,
    node_id text,
    node_cluster text,
    team text,
    type_url text,
    resource_names text[],
    version_rejected text,
    version_accepted text,
    nonce text,
    code int,
    message text,
    first_seen timestamptz NOT NULL DEFAULT now(),
    last_seen timestamptz NOT NULL DEFAULT now(),
    count bigint NOT NULL DEFAULT 1,
    resolved_at timestamptz
);
CREATE INDEX xds_nacks_time_idx ON xds_nacks (resolved_at, last_seen);
CREATE INDEX xds_nacks_node_idx ON xds_nacks (node_id, type_url);

-- schema_migrations itself is made by the migrator, before the first of these files.
