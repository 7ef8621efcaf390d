/* What the store counts (contract §11.2, db_*): operations and tables by number, names for the
 * text. */
#include "obs/obs_metric.h"
#include "store/store_int.h"

/* the first word of a statement's name in the log */
const char *const fp_store_operations[] = {
    "create",    "replace",   "delete", "load", "store", "listen", "heartbeat", "poll",
    "bootstrap", "migration", "get",    "list", "use",   "audit",  "chores",    NULL};
const char *const fp_store_tables[] = {"clusters",  "routes", "listeners",  "endpoints", "secrets",
                                       "resources", "tokens", "audit_logs", NULL};

/* Beyond the last one when there is none: "other". */
static unsigned index_of(const char *const *names, struct fp_str name)
{
    unsigned i = 0;
    while (names[i] && !fp_str_eq_c(name, names[i]))
        i++;
    return i;
}

void store_metric_done(const struct store_query *q, uint64_t ns, bool failed)
{
    struct fp_str rest;
    unsigned operation =
        index_of(fp_store_operations, fp_str_split(fp_str_of(q->name), ' ', &rest));
    fp_metric_add(FP_METRIC_DB_QUERIES, operation, index_of(fp_store_tables, fp_str_of(q->table)),
                  failed, 1);
    fp_metric_observe_ns(FP_METRIC_DB_DURATION, operation, 0, ns);
}
