/*
 * The statements of resources, one text per kind and operation: each is one data-modifying CTE
 * (design.md §5).  All of them give the columns of enum in store_resource.c.  No session state, no
 * names: they pass through a pooler in transaction mode (contract §14).
 *
 * Order inside: flowplane_begin takes the revision lock first; the volatile functions after it see
 * everything committed before, and nothing can be committed behind their back; then the row.
 */
#include "store/store_int.h"

/* Parameters of create and replace: $1 actor, $2 lock timeout, $3 references, $4 name, $5 team,
 * $6 source, $7 form, $8 configuration, $9 encoded, $10 hash, $11 encoder version, the kind's own
 * columns, and for replace the version asked for. */
#define BEGIN "WITH w AS MATERIALIZED (SELECT * FROM flowplane_begin($1::jsonb, $2::int)),\n"
/* Rows of other teams, and of none, are not there for a writer who has teams (contract §4.5). */
#define VISIBLE " AND ($1::jsonb -> 'teams' IS NULL OR $1::jsonb -> 'teams' ? t.team)"
#define MISSING                                                                                    \
    "m AS MATERIALIZED (SELECT flowplane_missing($3::jsonb, $5::text) AS names FROM w),\n"
#define ADD_REFS(kind, from)                                                                       \
    "r AS (INSERT INTO resource_refs (kind, name, target_kind, target_name)\n"                     \
    "  SELECT '" kind "', $4::text, x ->> 'kind', x ->> 'name'\n"                                  \
    "  FROM " from ", jsonb_array_elements($3::jsonb) x ON CONFLICT DO NOTHING)\n"
#define COMMON_COLUMNS                                                                             \
    "name, team, source, form, configuration, encoded, content_hash, encoder_version"
#define COMMON_VALUES                                                                              \
    "$4::text, $5::text, $6::text, $7::text, $8::jsonb, $9::bytea, $10::bytea, $11::int"

/* SQL has its own lines: */
/* clang-format off */
#define CREATE(kind, table, columns, values)                                                       \
    BEGIN MISSING                                                                                  \
    "i AS (INSERT INTO " table " (" COMMON_COLUMNS columns ")\n"                                   \
    "  SELECT " COMMON_VALUES values " FROM m WHERE m.names = '{}'\n"                              \
    "  RETURNING id, version, created_at, updated_at),\n"                                          \
    ADD_REFS(kind, "i")                                                                            \
    "SELECT CASE WHEN i.id IS NULL THEN 'missing' ELSE 'done' END,\n"                              \
    "  m.names, i.id::text, i.version, i.created_at, i.updated_at,\n"                              \
    "  CASE WHEN i.id IS NULL THEN w.revision_now ELSE w.revision_next END\n"                      \
    "FROM w CROSS JOIN m LEFT JOIN i ON true"

#define REPLACE(kind, table, where, old, new, set, version)                                        \
    BEGIN MISSING                                                                                  \
    "c AS MATERIALIZED (SELECT t.* FROM w, " table " t WHERE t.name = $4::text" VISIBLE where "\n" \
    "  FOR NO KEY UPDATE OF t),\n"                                                                 \
    "o AS MATERIALIZED (SELECT c.id, c.version, c.created_at, c.updated_at, CASE\n"                \
    "    WHEN " version "::bigint >= 0 AND c.version <> " version "::bigint THEN 'stale'\n"        \
    "    WHEN c.source = 'platform_api' THEN 'protected'\n"                                        \
    "    WHEN m.names <> '{}' THEN 'missing'\n"                                                    \
    "    WHEN (c.configuration, c.team, c.source, c.form" old ") IS NOT DISTINCT FROM\n"           \
    "      ($8::jsonb, $5::text, $6::text, $7::text" new ") THEN 'unchanged'\n"                    \
    "    ELSE 'done' END AS outcome FROM c, m),\n"                                                 \
    "u AS (UPDATE " table " t SET team = $5::text, source = $6::text, form = $7::text,\n"          \
    "    configuration = $8::jsonb, encoded = $9::bytea, content_hash = $10::bytea,\n"             \
    "    encoder_version = $11::int" set "\n"                                                      \
    "  FROM o WHERE t.id = o.id AND o.outcome = 'done' RETURNING t.version, t.updated_at),\n"      \
    "d AS (DELETE FROM resource_refs f USING u\n"                                                  \
    "  WHERE f.kind = '" kind "' AND f.name = $4::text AND NOT EXISTS (\n"                         \
    "    SELECT FROM jsonb_array_elements($3::jsonb) x\n"                                          \
    "    WHERE x ->> 'kind' = f.target_kind AND x ->> 'name' = f.target_name)),\n"                 \
    ADD_REFS(kind, "u")                                                                            \
    "SELECT o.outcome, m.names, o.id::text, coalesce(u.version, o.version),\n"                     \
    "  o.created_at, coalesce(u.updated_at, o.updated_at),\n"                                      \
    "  CASE WHEN u.version IS NULL THEN w.revision_now ELSE w.revision_next END\n"                 \
    "FROM w CROSS JOIN m CROSS JOIN o LEFT JOIN u ON true"
/* clang-format on */

/* $1 actor, $2 lock timeout, $3 name, $4 version asked for.  Rows of the default gateway are
 * replaceable and then have another source: they are known by name (contract §4.6). */
#define DELETE(kind, table, where, users)                                                          \
    BEGIN                                                                                          \
    "n AS MATERIALIZED (SELECT " users " AS names FROM w),\n"                                      \
    "c AS MATERIALIZED (SELECT t.* FROM w, " table " t WHERE t.name = $3::text" VISIBLE where "\n" \
    "  FOR UPDATE OF t),\n"                                                                        \
    "o AS MATERIALIZED (SELECT c.id, c.version, c.created_at, c.updated_at, CASE\n"                \
    "    WHEN $4::bigint >= 0 AND c.version <> $4::bigint THEN 'stale'\n"                          \
    "    WHEN c.source IN ('platform_api', 'system') OR ('" kind "', c.name) IN (\n"               \
    "      ('cluster', 'default-gateway-cluster'), ('route', 'default-gateway-routes'),\n"         \
    "      ('listener', 'default-gateway-listener')) THEN 'protected'\n"                           \
    "    WHEN n.names <> '{}' THEN 'referenced'\n"                                                 \
    "    ELSE 'done' END AS outcome FROM c, n),\n"                                                 \
    "x AS (DELETE FROM " table " t USING o WHERE t.id = o.id AND o.outcome = 'done'\n"             \
    "  RETURNING t.id)\n"                                                                          \
    "SELECT o.outcome, n.names, o.id::text, o.version, o.created_at, o.updated_at,\n"              \
    "  CASE WHEN x.id IS NULL THEN w.revision_now ELSE w.revision_next END\n"                      \
    "FROM w CROSS JOIN n CROSS JOIN o LEFT JOIN x ON true"
/* Whose references forbid a deletion (contract §2.6). */
#define USERS(kind) "flowplane_users('" kind "', $3::text)"
#define NO_USERS    "'{}'::text[]"

/* Kinds of the table `resources` are told apart by type. */
#define RESOURCE(kind, type)                                                                       \
    {                                                                                              \
        .create = CREATE(kind, "resources", ", type", ", '" type "'"),                             \
        .replace = REPLACE(kind, "resources", " AND t.type = '" type "'", "", "", "", "$12"),      \
        .delete = DELETE(kind, "resources", " AND t.type = '" type "'", NO_USERS),                 \
        .extra = STORE_X_NONE,                                                                     \
    }

const struct store_statements store_statements[FP_KIND_N] = {
    [FP_KIND_CLUSTER] =
        {
            .create = CREATE("cluster", "clusters", ", service_name", ", $12::text"),
            .replace = REPLACE("cluster", "clusters", "", ", c.service_name", ", $12::text",
                               ", service_name = $12::text", "$13"),
            .delete = DELETE("cluster", "clusters", "", USERS("cluster")),
            .extra = STORE_X_SERVICE,
        },
    [FP_KIND_ROUTE] =
        {
            .create =
                CREATE("route", "routes", ", path_prefix, cluster_name", ", $12::text, $13::text"),
            .replace = REPLACE("route", "routes", "", "", "",
                               ", path_prefix = $12::text, cluster_name = $13::text", "$14"),
            .delete = DELETE("route", "routes", "", USERS("route")),
            .extra = STORE_X_ROUTE,
        },
    [FP_KIND_LISTENER] =
        {
            .create = CREATE("listener", "listeners", ", address, port, protocol",
                             ", $12::text, $13::int, coalesce($14::text, 'HTTP')"),
            .replace = REPLACE("listener", "listeners", "", ", c.protocol",
                               ", coalesce($14::text, 'HTTP')",
                               ", address = $12::text, port = $13::int,\n"
                               "    protocol = coalesce($14::text, 'HTTP')",
                               "$15"),
            .delete = DELETE("listener", "listeners", "", NO_USERS),
            .extra = STORE_X_LISTENER,
        },
    [FP_KIND_ENDPOINT] =
        {
            .create = CREATE("endpoint", "endpoints", "", ""),
            .replace = REPLACE("endpoint", "endpoints", "", "", "", "", "$12"),
            .delete = DELETE("endpoint", "endpoints", "", NO_USERS),
            .extra = STORE_X_NONE,
        },
    [FP_KIND_SCOPED_ROUTE] = RESOURCE("scoped-route", "scoped-routes"),
    [FP_KIND_VIRTUAL_HOST] = RESOURCE("virtual-host", "virtual-hosts"),
    [FP_KIND_RUNTIME] = RESOURCE("runtime", "runtimes"),
    [FP_KIND_EXTENSION_CONFIG] = RESOURCE("extension-config", "extension-configs"),
};
