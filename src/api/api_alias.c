/*
 * The singular paths of the operations guide (contract §5.1): POST as on the plural one, but
 * restoring a backup over what is there already is no error.  Runs in workers.  Decided in the
 * snapshot, after the database has said that the name is taken.
 */
#include "api/api_int.h"
#include "codec/codec_json.h"

static bool same_content(const struct fp_api_call *c, const struct fp_snap_entry *e,
                         const json_t *rest)
{
    const struct fp_model_resource *m = c->resource;
    const json_t *config = json_object_get(rest, m->form == FP_FORM_ENVOY ? "envoy" : "config");
    bool same_team = e->team.data ? m->team.data && fp_str_eq(e->team, m->team) : !m->team.data;
    return same_team && config && json_equal(config, m->configuration);
}

static void decide(struct fp_api_call *c)
{
    struct fp_snap_entry e;
    struct fp_store_result taken = {.outcome = FP_STORE_NAME_TAKEN};
    if (!fp_snap_find(c->api->snap, c->route->kind, c->resource->name, &e) || !e.rest.data ||
        !api_call_sees(c, e.team)) {
        api_write_refused(c, &taken);
        return;
    }
    const json_t *rest = fp_json_parse(c->r->arena, e.rest, 2 * API_JSON_DEPTH, c->problems);
    bool untouched = e.row_version == 1 &&
                     fp_str_eq(fp_json_str(json_object_get(rest, "source")), FP_STR("system"));
    if (same_content(c, &e, rest)) {
        c->status = 200;
        c->body = e.rest;
        api_header_add(
            &c->headers, "etag",
            fp_str_of(fp_arena_printf(c->r->arena, "\"%lld\"", (long long)e.row_version)));
        api_wait_written(c, fp_snap_meta(c->api->snap)->revision, false);
    } else if (untouched) {
        api_write_over(c, e.row_version);
    } else {
        api_write_refused(c, &taken);
    }
}

void api_alias_taken(struct fp_api_call *c)
{
    api_wait_fresh(c, decide);
}
