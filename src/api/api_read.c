/*
 * Reads of native resources: bytes of the snapshot, no SQL (contract §2.5).  Runs in workers.  A
 * read sees every write that this instance answered before it, whichever worker took either.
 */
#include "api/api_int.h"
#include "codec/codec_hash.h"
#include "codec/codec_json.h"
#include "pb/pb_json.h"

struct filter { /* of a list; data == NULL: any */
    struct fp_str team, source;
    bool names;             /* `name` was given, once or more */
    uint64_t limit, offset; /* limit 0 = all */
};

static struct filter filter_of(struct fp_api_call *c)
{
    return (struct filter){
        .team = fp_http_query(c->r, "team"),
        .source = fp_http_query(c->r, "source"),
        .names = fp_http_query(c->r, "name").data != NULL,
        .limit = api_query_clamped(c, "limit", 1, API_LIMIT_MAX),
        .offset = api_query_clamped(c, "offset", 0, INT64_MAX),
    };
}

/* `name` is repeatable: any of them. */
static bool name_wanted(struct fp_api_call *c, struct fp_str name)
{
    struct fp_str v;
    for (size_t pos = 0; fp_http_query_next(c->r, "name", &pos, &v);)
        if (fp_str_eq(v, name))
            return true;
    return false;
}

static bool source_is(struct fp_api_call *c, struct fp_str rest, struct fp_str source)
{
    struct fp_arena *a = fp_arena_new(c->r->arena);
    json_t *v = fp_json_parse(a, rest, 2 * API_JSON_DEPTH, fp_problems_new(a));
    bool same = fp_str_eq(fp_json_str(json_object_get(v, "source")), source);
    fp_arena_free(&a);
    return same;
}

static bool wanted(struct fp_api_call *c, const struct filter *f, const struct fp_snap_entry *e)
{
    return e->rest.data && api_call_sees(c, e->team) &&
           (!f->team.data || (e->team.data && fp_str_eq(f->team, e->team))) &&
           (!f->names || name_wanted(c, e->name)) &&
           (!f->source.data || source_is(c, e->rest, f->source));
}

void api_read_revision(struct fp_api_call *c)
{
    uint64_t revision = fp_snap_meta(c->api->snap)->revision;
    api_header_number(c, "flowplane-revision", revision);
}

/* If-None-Match: a list of entity tags, weak or strong, or *. */
bool api_read_none_match(struct fp_api_call *c, struct fp_str etag)
{
    for (size_t i = 0; i < c->r->headers_n; i++) {
        struct fp_str rest = c->r->headers[i].value;
        while (rest.data && fp_str_eq_c(c->r->headers[i].name, "if-none-match")) {
            struct fp_str tag = fp_str_trim(fp_str_split(rest, ',', &rest));
            if (fp_str_starts(tag, FP_STR("W/")))
                tag = fp_str_n(tag.data + 2, tag.len - 2);
            if (fp_str_eq(tag, etag) || fp_str_eq(tag, FP_STR("*")))
                return true;
        }
    }
    return false;
}

static void answer(struct fp_api_call *c, struct fp_str etag, struct fp_str body)
{
    api_header_add(&c->headers, "etag", etag);
    api_read_revision(c);
    if (api_read_none_match(c, etag))
        api_respond(c, 304, &c->headers, FP_STR_NULL);
    else
        api_respond(c, 200, &c->headers, body);
}

static void list_now(struct fp_api_call *c)
{
    struct fp_snap *s = c->api->snap;
    struct filter f = filter_of(c);
    struct fp_buf b = {0};
    uint64_t total = 0, shown = 0;
    uint8_t digest[FP_SHA256_BYTES];
    char hex[2 * 16 + 1];
    struct fp_snap_entry e;

    if (c->problems->n) {
        api_fail_problems(c);
        return;
    }
    fp_buf_append_byte(&b, '[');
    for (uint32_t i = 0, n = fp_snap_count(s, c->route->kind); i < n; i++) {
        fp_snap_at(s, c->route->kind, i, &e);
        if (!wanted(c, &f, &e) || total++ < f.offset || (f.limit && shown >= f.limit))
            continue;
        if (shown++)
            fp_buf_append_byte(&b, ',');
        fp_buf_append_str(&b, e.rest);
    }
    fp_buf_append_byte(&b, ']');
    fp_sha256(b.data, b.len, digest);
    fp_hex(hex, digest, 16);
    api_header_number(c, "x-total-count", total);
    answer(c, fp_str_of(fp_arena_printf(c->r->arena, "\"%s\"", hex)), fp_buf_str(&b));
    fp_buf_fini(&b);
}

/* view=envoy: the REST form, and beside it the message that is served, as canonical proto3 JSON. */
static struct fp_str with_envoy(struct fp_api_call *c, const struct fp_snap_entry *e)
{
    const struct fp_pb_pool *pool = c->api->o.pool;
    struct fp_str in = e->blob, element, type_url, value, prefix = FP_STR(FP_TYPE_URL_PREFIX);
    json_t *v = fp_json_parse(c->r->arena, e->rest, 2 * API_JSON_DEPTH, c->problems);
    struct fp_buf b = {0};
    if (v && fp_pb_element_next(&in, &element, &type_url, &value) == FP_OK &&
        fp_str_starts(type_url, prefix)) {
        const struct fp_pb_message *m = fp_pb_pool_message(
            pool, fp_str_n(type_url.data + prefix.len, type_url.len - prefix.len));
        json_t *envoy = m ? fp_pb_to_json(pool, m, value, c->problems) : NULL;
        if (envoy)
            json_object_set_new(v, "envoy", envoy);
    }
    fp_json_write(&b, v, true);
    struct fp_str text = fp_arena_str(c->r->arena, fp_buf_str(&b));
    fp_buf_fini(&b);
    return text;
}

static void get_now(struct fp_api_call *c)
{
    struct fp_snap_entry e;
    struct fp_str view = fp_http_query(c->r, "view");
    if (view.data && !fp_str_eq(view, FP_STR("envoy"))) {
        fp_problem_add_parameter(c->problems, "view", FP_P_INVALID_VALUE, "must be envoy");
        api_fail_problems(c);
        return;
    }
    if (!fp_snap_find(c->api->snap, c->route->kind, c->name, &e) || !e.rest.data ||
        !api_call_sees(c, e.team)) {
        api_fail_not_found(c);
        return;
    }
    struct fp_str etag =
        fp_str_of(fp_arena_printf(c->r->arena, "\"%lld\"", (long long)e.row_version));
    answer(c, etag, view.data ? with_envoy(c, &e) : e.rest);
}

void api_list(struct fp_api_call *c)
{
    api_wait_fresh(c, list_now);
}

void api_get(struct fp_api_call *c)
{
    api_wait_fresh(c, get_now);
}
