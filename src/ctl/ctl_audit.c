/* `flowplanectl audit`: the chain of hashes over the audit trail (audit.hash_chain, sql/0009). */
#include <stdio.h>
#include "ctl/ctl_db_int.h"
#include "store/store_audit.h"

struct verify {
    struct ctl_call *c;
    struct ctl_db db;
    int status;
};

static void print(struct ctl_call *c, const struct fp_audit_chain *r)
{
    if (c->format == CTL_TABLE) {
        if (!c->quiet)
            printf("%llu rows fit, %llu are outside the chain\n", (unsigned long long)r->rows_n,
                   (unsigned long long)r->outside_n);
        return;
    }
    json_t *v = json_object();
    json_object_set_new(v, "rows", json_integer((json_int_t)r->rows_n));
    json_object_set_new(v, "outside", json_integer((json_int_t)r->outside_n));
    json_object_set_new(v, "badId", r->bad_id ? json_integer(r->bad_id) : json_null());
    ctl_print(c, v);
    json_decref(v);
}

static void verified(const struct fp_audit_chain *r, void *arg)
{
    struct verify *v = arg;
    fp_loop_stop(v->db.loop);
    if (r->outcome != FP_STORE_DONE) {
        v->status = ctl_db_fail(v->c, &v->db);
        return;
    }
    print(v->c, r);
    if (r->bad_id)
        v->status = ctl_fail(v->c, CTL_FAILED, "audit row %lld: %.*s", (long long)r->bad_id,
                             FP_STR_ARG(r->problem));
}

int ctl_audit_verify(struct ctl_call *c)
{
    struct verify v = {.c = c, .status = CTL_DONE};
    int status = ctl_db_open(c, &v.db);
    if (status != CTL_DONE)
        return status;
    fp_store_audit_verify(v.db.store, verified, &v);
    fp_loop_run(v.db.loop);
    ctl_db_close(&v.db);
    return v.status;
}
