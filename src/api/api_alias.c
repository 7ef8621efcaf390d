/*
 * The singular paths of the operations guide (contract §5.1): POST as on the plural one, but
 * restoring a backup over what is there already is no error.  Runs in workers.  After the database
 * has said that the name is taken, decided in the snapshot of then: another instance may have taken
 * it just now.
 */
#include "api/api_int.h"
#include "codec/codec_json.h"
#include "store/store_revision.h"

bool api_alias_same(const struct fp_model_resource *m, const struct fp_snap_entry *e,
                    const json_t *rest)
{
    const json_t *config = json_object_get(rest, m->form == FP_FORM_ENVOY ? "envoy" : "config");
    struct fp_str service = fp_json_str(json_object_get(rest, "serviceName"));
    bool same_team = e->team.data ? m->team.data && fp_str_eq(e->team, m->team) : !m->team.data;
    return same_team && fp_str_eq(service, m->service_name) && config &&
           json_equal(config, m->configuration);
}

enum api_alias api_alias_judge(struct fp_api_call *c, const struct fp_snap_entry *e,
                               const json_t *rest)
{
    struct fp_str source = fp_json_str(json_object_get(rest, "source"));
    if (!api_call_sees(c, e->team))
        return API_ALIAS_TAKEN;
    if (api_alias_same(c->resource, e, rest))
        return API_ALIAS_SAME;
    return e->row_version == 1 && fp_str_eq(source, FP_STR("system")) ? API_ALIAS_OVER
                                                                      : API_ALIAS_TAKEN;
}

static void unchanged(struct fp_api_call *c, const struct fp_snap_entry *e)
{
    c->body = e->rest;
    struct fp_store_result same = {.outcome = FP_STORE_UNCHANGED,
                                   .version = (int64_t)e->row_version,
                                   .revision = fp_snap_meta(c->api->snap)->revision};
    c->status = 200;
    api_write_headers(c, &same);
    api_wait_written(c, same.revision, false);
}

static void decide(struct fp_api_call *c)
{
    struct fp_snap_entry e;
    struct fp_store_result taken = {.outcome = FP_STORE_NAME_TAKEN};
    enum api_alias how = API_ALIAS_TAKEN;
    if (fp_snap_find(c->api->snap, c->route->kind, c->resource->name, &e) && e.rest.data)
        how = api_alias_judge(c, &e,
                              fp_json_parse(c->r->arena, e.rest, 2 * API_JSON_DEPTH, c->problems));
    if (how == API_ALIAS_SAME)
        unchanged(c, &e);
    else if (how == API_ALIAS_OVER)
        api_write_over(c, (int64_t)e.row_version);
    else
        api_write_refused(c, &taken);
}

static void revision_known(enum fp_store_reading how, uint64_t current, void *arg)
{
    struct fp_api_call *c = arg;
    if (how == FP_READING_AWAY) {
        api_fail_unavailable(c, "the database is not available");
        return;
    }
    fp_page_raise(&c->api->o.page->committed_revision, current);
    api_wait_fresh(c, decide);
}

void api_alias_taken(struct fp_api_call *c)
{
    fp_store_revision_now(c->api->o.store, revision_known, c);
}
