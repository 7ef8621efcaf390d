/*
 * The statements of resources: functions of the database (sql/0011), whose plans stay with the
 * connection; as text they cost more to plan than to run.  All of them give the columns of enum in
 * store_resource.c.  No session state, no names: they pass through a pooler in transaction mode
 * (contract §14).
 */
#include "store/store_int.h"

/* Parameters of create and replace: $1 actor, $2 lock timeout, $3 references, $4 name, $5 team,
 * $6 source, $7 form, $8 configuration, $9 encoded, $10 hash, $11 encoder version, the table's own
 * columns, and for replace the version asked for.  Of delete: $1 actor, $2 lock timeout, $3 name,
 * $4 the version asked for. */
#define COMMON "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11"
#define KIND(table, own, version, type, x)                                                         \
    {                                                                                              \
        .create = "SELECT * FROM flowplane_create_" table "(" COMMON own ")",                      \
        .replace = "SELECT * FROM flowplane_replace_" table "(" COMMON own ", " version ")",       \
        .delete = "SELECT * FROM flowplane_delete_" table "($1, $2, $3, $4" type ")", .extra = x,  \
    }
/* Kinds of the table `resources` are told apart by type. */
#define RESOURCE(type) KIND("resources", ", '" type "'", "$12", ", '" type "'", STORE_X_NONE)

const struct store_statements store_statements[FP_KIND_N] = {
    [FP_KIND_CLUSTER] = KIND("clusters", ", $12", "$13", "", STORE_X_SERVICE),
    [FP_KIND_ROUTE] = KIND("routes", ", $12, $13", "$14", "", STORE_X_ROUTE),
    [FP_KIND_LISTENER] = KIND("listeners", ", $12, $13, $14", "$15", "", STORE_X_LISTENER),
    [FP_KIND_ENDPOINT] = KIND("endpoints", "", "$12", "", STORE_X_NONE),
    [FP_KIND_SCOPED_ROUTE] = RESOURCE("scoped-routes"),
    [FP_KIND_VIRTUAL_HOST] = RESOURCE("virtual-hosts"),
    [FP_KIND_RUNTIME] = RESOURCE("runtimes"),
    [FP_KIND_EXTENSION_CONFIG] = RESOURCE("extension-configs"),
};
