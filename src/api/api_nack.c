/*
 * Rejections of nodes (contract §10): of all instances from the database; with the database away
 * those that are open on this instance, from its status segments.  Runs in workers.
 */
#include <stdlib.h>
#include "api/api_int.h"
#include "core/core_clock.h"
#include "obs/obs_status.h"
#include "store/store_nack.h"

#define DEFAULT_LIMIT 100

struct listing {
    struct fp_api_call *call;
    struct fp_store_nack_filter filter;
    struct fp_buf out;
    uint64_t shown, total;
    struct open_one *open; /* from memory */
    size_t open_cap;
};

struct open_one { /* an open rejection in a status segment */
    int64_t last_wall_ms;
    struct fp_status_cursor at;
    enum fp_kind kind;
};

static void release(void *arg)
{
    fp_buf_fini(&((struct listing *)arg)->out);
}

/* ---- JSON ---- */

static void put_text(struct fp_buf *b, const char *key, struct fp_str s)
{
    fp_buf_printf(b, "\"%s\":", key);
    if (s.data)
        fp_buf_append_json(b, s);
    else
        fp_buf_append_c(b, "null");
    fp_buf_append_byte(b, ',');
}

static void put_time(struct fp_buf *b, const char *key, int64_t wall_ms)
{
    char text[FP_CLOCK_TEXT_BYTES];
    fp_buf_printf(b, "\"%s\":\"%s\",", key, fp_clock_rfc3339(text, wall_ms, false));
}

static void put_row(struct listing *l, const struct fp_store_nack_row *row)
{
    const struct fp_store_nack *n = &row->nack;
    struct fp_buf *b = &l->out;
    char resolved[FP_CLOCK_TEXT_BYTES];
    enum fp_kind kind = fp_kind_by_type_url(n->type_url);
    fp_buf_append_c(b, l->shown++ ? ",{" : "{");
    if (row->id)
        fp_buf_printf(b, "\"id\":%lld,", (long long)row->id);
    else
        fp_buf_append_c(b, "\"id\":null,");
    put_text(b, "nodeId", n->node_id);
    put_text(b, "team", n->team);
    put_text(b, "type", kind < FP_KIND_N ? fp_str_of(fp_kinds[kind].xds) : n->type_url);
    put_text(b, "versionRejected", n->version_rejected);
    put_text(b, "versionAccepted", n->version_accepted);
    put_text(b, "nonce", n->nonce);
    fp_buf_printf(b, "\"code\":%d,", (int)n->code);
    put_text(b, "message", n->message);
    fp_buf_append_c(b, "\"resources\":[");
    for (size_t i = 0; i < row->resources_n; i++) {
        if (i)
            fp_buf_append_byte(b, ',');
        fp_buf_append_json(b, row->resources[i]);
    }
    fp_buf_append_c(b, "],");
    put_text(b, "instance", n->instance);
    put_time(b, "firstSeen", n->first_wall_ms);
    put_time(b, "lastSeen", n->last_wall_ms);
    fp_buf_printf(b, "\"count\":%u,\"resolvedAt\":", n->count);
    if (row->resolved_wall_ms)
        fp_buf_printf(b, "\"%s\"}", fp_clock_rfc3339(resolved, row->resolved_wall_ms, false));
    else
        fp_buf_append_c(b, "null}");
}

static void finish(struct listing *l)
{
    fp_buf_append_byte(&l->out, ']');
    api_header_number(l->call, "x-total-count", l->total);
    api_respond(l->call, 200, &l->call->headers, fp_buf_str(&l->out));
}

/* ---- from memory ---- */

static void put_open(struct listing *l, const struct fp_status_stream *st, enum fp_kind kind)
{
    const struct fp_status_nack *n = &st->types[kind].nack;
    struct fp_str names[FP_STATUS_NAMES_N], left = n->names;
    char nonce[16];
    snprintf(nonce, sizeof nonce, "%x", n->nonce);
    struct fp_store_nack_row row = {
        .nack =
            {
                .instance = fp_str_of(l->call->api->o.instance_id),
                .node_id = st->node.id,
                .team = st->node.team,
                .type_url = fp_str_of(fp_kinds[kind].type_url),
                .version_rejected = fp_str_of(n->version),
                .version_accepted = *n->accepted ? fp_str_of(n->accepted) : FP_STR_NULL,
                .nonce = fp_str_of(nonce),
                .message = n->message,
                .code = n->code,
                .count = n->count,
                .first_wall_ms = n->first_wall_ms,
                .last_wall_ms = n->last_wall_ms,
            },
        .resources = names,
    };
    while (left.len && row.resources_n < FP_STATUS_NAMES_N)
        names[row.resources_n++] = fp_str_split(left, '\0', &left);
    put_row(l, &row);
}

static void remember(struct listing *l, struct open_one one)
{
    if (l->total == l->open_cap) {
        size_t cap = l->open_cap ? l->open_cap * 2 : 64;
        struct open_one *more = fp_arena_alloc(l->call->r->arena, cap * sizeof *more);
        if (l->total)
            memcpy(more, l->open, l->total * sizeof *more);
        l->open = more;
        l->open_cap = cap;
    }
    l->open[l->total++] = one;
}

static bool is_open(const struct listing *l, const struct fp_status_stream *st, int kind)
{
    const struct fp_store_nack_filter *f = &l->filter;
    return st->types[kind].nacked && st->types[kind].nack.last_wall_ms >= f->since_wall_ms &&
           api_call_sees(l->call, st->node.team) &&
           (!f->node_id.data || fp_str_eq(f->node_id, st->node.id)) &&
           (!f->type_url.data || fp_str_eq_c(f->type_url, fp_kinds[kind].type_url));
}

static int newest_first(const void *a, const void *b)
{
    const struct open_one *x = a, *y = b;
    return (x->last_wall_ms < y->last_wall_ms) - (x->last_wall_ms > y->last_wall_ms);
}

static void from_memory(struct listing *l)
{
    const struct fp_status *status = l->call->api->o.page->status;
    struct fp_arena *scratch = fp_arena_new(l->call->r->arena);
    struct fp_status_cursor cursor = {0};
    struct fp_status_stream st;
    for (; fp_status_next(status, &cursor, scratch, &st); fp_arena_reset(scratch)) {
        struct fp_status_cursor at = {.seat = cursor.seat, .record = cursor.record - 1};
        for (int k = 0; k < FP_KIND_N; k++)
            if (is_open(l, &st, k))
                remember(l, (struct open_one){st.types[k].nack.last_wall_ms, at, (enum fp_kind)k});
    }
    if (l->total)
        qsort(l->open, l->total, sizeof *l->open, newest_first);
    for (uint64_t i = 0; i < l->total && l->shown < l->filter.limit; i++) {
        const struct open_one *one = &l->open[i];
        struct fp_status_cursor at = one->at;
        /* read again; gone meanwhile: the next stream's record comes, or none */
        if (fp_status_next(status, &at, scratch, &st) && at.seat == one->at.seat &&
            at.record == one->at.record + 1 && is_open(l, &st, one->kind))
            put_open(l, &st, one->kind);
        fp_arena_reset(scratch);
    }
    fp_arena_free(&scratch);
    finish(l);
}

/* ---- from the database ---- */

static void on_row(bool ok, const struct fp_store_nack_row *row, void *arg)
{
    struct fp_api_call *c = arg;
    struct listing *l = c->user;
    if (row) {
        l->total = row->total;
        put_row(l, row);
    } else if (ok) {
        finish(l);
    } else {
        from_memory(l);
    }
}

/* Teams that the token's scopes name and grant. */
static void restrict_to_teams(struct fp_api_call *c, struct fp_store_nack_filter *f)
{
    struct fp_str scope, rest, *teams = NULL;
    size_t n = 0;
    for (size_t pos = 0; fp_snap_token_scope(&c->token, &pos, &scope);)
        n++;
    f->teams = teams = fp_arena_alloc(c->r->arena, (n + 1) * sizeof *teams);
    for (size_t pos = 0; fp_snap_token_scope(&c->token, &pos, &scope);) {
        if (!fp_str_eq(fp_str_split(scope, ':', &rest), FP_STR("team")))
            continue;
        struct fp_str team = fp_str_split(rest, ':', &rest);
        if (api_call_sees(c, team))
            teams[f->teams_n++] = team;
    }
}

static struct fp_str type_wanted(struct fp_api_call *c)
{
    struct fp_str s = fp_http_query(c->r, "type");
    for (int k = 0; s.data && k < FP_KIND_N; k++)
        if (fp_kinds[k].xds &&
            (fp_str_eq_c(s, fp_kinds[k].xds) || fp_str_eq_c(s, fp_kinds[k].type_url)))
            return fp_str_of(fp_kinds[k].type_url);
    if (s.data)
        fp_problem_add_parameter(c->problems, "type", FP_P_INVALID_VALUE,
                                 "must be a discovery type such as CDS, or its type URL");
    return FP_STR_NULL;
}

static bool open_wanted(struct fp_api_call *c)
{
    struct fp_str s = fp_http_query(c->r, "open");
    if (s.data && !fp_str_eq(s, FP_STR("true")) && !fp_str_eq(s, FP_STR("false")))
        fp_problem_add_parameter(c->problems, "open", FP_P_INVALID_VALUE, "must be true or false");
    return !fp_str_eq(s, FP_STR("false"));
}

static int64_t since_wanted(struct fp_api_call *c)
{
    int64_t since = 0;
    struct fp_str s = fp_http_query(c->r, "since");
    if (s.data && !fp_clock_parse_rfc3339(s, &since))
        fp_problem_add_parameter(c->problems, "since", FP_P_INVALID_FORMAT,
                                 "must be an RFC 3339 time");
    return since;
}

void api_nacks(struct fp_api_call *c)
{
    struct listing *l = FP_ARENA_NEW(c->r->arena, struct listing);
    uint64_t limit = api_query_clamped(c, "limit", 1, API_LIMIT_MAX);
    l->call = c;
    l->filter = (struct fp_store_nack_filter){
        .open = open_wanted(c),
        .since_wall_ms = since_wanted(c),
        .node_id = fp_http_query(c->r, "nodeId"),
        .type_url = type_wanted(c),
        .limit = limit ? (uint32_t)limit : DEFAULT_LIMIT,
    };
    if (c->problems->n) {
        api_fail_problems(c);
        return;
    }
    fp_arena_cleanup(c->r->arena, release, l);
    fp_buf_append_byte(&l->out, '[');
    c->user = l;
    if (c->grant != FP_AUTH_ALL)
        restrict_to_teams(c, &l->filter);
    if (fp_store_up(c->api->o.store))
        fp_store_nacks_list(c->api->o.store, &l->filter, on_row, c);
    else
        from_memory(l);
}
