/*
 * Reads of native resources: bytes of the snapshot, no SQL (contract §2.5).  Runs in workers.  A
 * read sees every write that this instance answered before it, whichever worker took either.
 */
#include "api/api_int.h"
#include "codec/codec_json.h"

#define LIMIT_MAX 1000

/* limit and offset: non-integers are problems, the rest is clamped.  limit 0 = all. */
static void paging(struct fp_api_call *c, uint64_t *limit, uint64_t *offset)
{
    int64_t v;
    struct fp_str s = fp_http_query(c->r, "limit");
    *limit = *offset = 0;
    if (s.data && !fp_str_to_i64(s, &v))
        fp_problem_add_parameter(c->problems, "limit", FP_P_INVALID_TYPE, "must be an integer");
    else if (s.data)
        *limit = v < 1 ? 1 : v > LIMIT_MAX ? LIMIT_MAX : (uint64_t)v;
    s = fp_http_query(c->r, "offset");
    if (s.data && !fp_str_to_i64(s, &v))
        fp_problem_add_parameter(c->problems, "offset", FP_P_INVALID_TYPE, "must be an integer");
    else if (s.data)
        *offset = v < 0 ? 0 : (uint64_t)v;
}

static void revision_header(struct fp_api_call *c, struct api_headers *h)
{
    api_header_add(
        h, "flowplane-revision",
        fp_str_of(fp_arena_printf(c->r->arena, "%llu",
                                  (unsigned long long)fp_snap_meta(c->api->snap)->revision)));
}

static void list_now(struct fp_api_call *c)
{
    struct api_headers h = {.n = 0};
    struct fp_snap *s = c->api->snap;
    struct fp_str team = fp_http_query(c->r, "team"), name = fp_http_query(c->r, "name");
    struct fp_buf b = {0};
    uint64_t limit, offset, total = 0, shown = 0;
    struct fp_snap_entry e;

    paging(c, &limit, &offset);
    if (c->problems->n) {
        api_fail_problems(c);
        return;
    }
    fp_buf_append_byte(&b, '[');
    for (uint32_t i = 0, n = fp_snap_count(s, c->route->kind); i < n; i++) {
        fp_snap_at(s, c->route->kind, i, &e);
        if (!e.rest.data || !api_call_sees(c, e.team) || (team.data && !fp_str_eq(team, e.team)) ||
            (name.data && !fp_str_eq(name, e.name)))
            continue;
        if (total++ < offset || (limit && shown >= limit))
            continue;
        if (shown++)
            fp_buf_append_byte(&b, ',');
        fp_buf_append_str(&b, e.rest);
    }
    fp_buf_append_byte(&b, ']');
    revision_header(c, &h);
    api_header_add(&h, "x-total-count",
                   fp_str_of(fp_arena_printf(c->r->arena, "%llu", (unsigned long long)total)));
    api_respond(c, 200, &h, fp_buf_str(&b));
    fp_buf_fini(&b);
}

static void get_now(struct fp_api_call *c)
{
    struct api_headers h = {.n = 0};
    struct fp_snap_entry e;
    if (!fp_snap_find(c->api->snap, c->route->kind, c->name, &e) || !e.rest.data ||
        !api_call_sees(c, e.team)) {
        api_fail_not_found(c);
        return;
    }
    struct fp_str etag =
        fp_str_of(fp_arena_printf(c->r->arena, "\"%lld\"", (long long)e.row_version));
    api_header_add(&h, "etag", etag);
    revision_header(c, &h);
    if (fp_str_eq(fp_http_header(c->r, "if-none-match"), etag))
        api_respond(c, 304, &h, FP_STR_NULL);
    else
        api_respond(c, 200, &h, e.rest);
}

void api_list(struct fp_api_call *c)
{
    api_wait_fresh(c, list_now);
}

void api_get(struct fp_api_call *c)
{
    api_wait_fresh(c, get_now);
}
