/*
 * Connected nodes (contract §10), read from the status segments of all workers: no SQL, and the
 * same answer from every worker.  Runs in workers.  A token for teams sees the nodes of its teams.
 */
#include <stdlib.h>
#include "api/api_int.h"
#include "core/core_clock.h"
#include "obs/obs_status.h"

static const char *const states[] = {"synced", "pending", "rejected"};
enum state { STATE_SYNCED, STATE_PENDING, STATE_REJECTED, STATE_N };

struct found { /* a node that fits; only those on the page are read again */
    struct fp_str id;
    int64_t connected_wall_ms;
    struct fp_status_cursor at;
};

struct search {
    struct fp_str team, cluster, id; /* data == NULL: any */
    int state;                       /* -1: any */
    uint64_t limit, offset;
    struct found *at;
    size_t n, cap;
};

static enum state state_of(const struct fp_status_stream *st)
{
    enum state s = STATE_SYNCED;
    for (int k = 0; k < FP_KIND_N; k++) {
        if (st->types[k].nacked)
            return STATE_REJECTED;
        if (st->types[k].pending)
            s = STATE_PENDING;
    }
    return s;
}

static bool is(struct fp_str wanted, struct fp_str have)
{
    return !wanted.data || fp_str_eq(wanted, have);
}

static bool fits(const struct fp_api_call *c, const struct search *s,
                 const struct fp_status_stream *st)
{
    return api_call_sees(c, st->node.team) && is(s->team, st->node.team) &&
           is(s->cluster, st->node.cluster) && is(s->id, st->node.id) &&
           (s->state < 0 || s->state == (int)state_of(st));
}

static int by_id(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    int c = fp_str_cmp(x->id, y->id);
    if (c)
        return c;
    return (x->connected_wall_ms > y->connected_wall_ms) -
           (x->connected_wall_ms < y->connected_wall_ms);
}

static void search(struct fp_api_call *c, struct search *s)
{
    struct fp_arena *a = c->r->arena, *scratch = fp_arena_new(a);
    struct fp_status_cursor cursor = {0};
    struct fp_status_stream st;
    while (fp_status_next(c->api->o.page->status, &cursor, scratch, &st)) {
        if (fits(c, s, &st)) {
            if (s->n == s->cap) {
                size_t cap = s->cap ? s->cap * 2 : 64;
                struct found *more = fp_arena_alloc(a, cap * sizeof *more);
                if (s->n)
                    memcpy(more, s->at, s->n * sizeof *more);
                s->at = more;
                s->cap = cap;
            }
            s->at[s->n++] = (struct found){
                .id = fp_arena_str(a, st.node.id),
                .connected_wall_ms = st.node.connected_wall_ms,
                .at = {.seat = cursor.seat, .record = cursor.record - 1},
            };
        }
        fp_arena_reset(scratch);
    }
    fp_arena_free(&scratch);
    if (s->n)
        qsort(s->at, s->n, sizeof *s->at, by_id);
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

static struct fp_str non_empty(struct fp_str s)
{
    return s.len ? s : FP_STR_NULL;
}

static void put_time(struct fp_buf *b, const char *key, int64_t wall_ms)
{
    char text[FP_CLOCK_TEXT_BYTES];
    fp_buf_printf(b, "\"%s\":\"%s\"", key, fp_clock_rfc3339(text, wall_ms, false));
}

/* Texts that end with `separator`, or lie between them. */
static void put_list(struct fp_buf *b, const char *key, struct fp_str texts, char separator)
{
    bool first = true;
    fp_buf_printf(b, "\"%s\":[", key);
    while (texts.len) {
        struct fp_str one = fp_str_split(texts, separator, &texts);
        if (!first)
            fp_buf_append_byte(b, ',');
        first = false;
        fp_buf_append_json(b, one);
    }
    fp_buf_append_c(b, "],");
}

static void put_nack(struct fp_buf *b, const struct fp_status_nack *n)
{
    fp_buf_append_byte(b, '{');
    put_text(b, "version", non_empty(fp_str_of(n->version)));
    fp_buf_printf(b, "\"code\":%u,", n->code);
    put_text(b, "message", n->message);
    put_list(b, "names", n->names, '\0');
    put_time(b, "time", n->last_wall_ms);
    fp_buf_append_byte(b, '}');
}

static void put_type(struct fp_buf *b, const char *name, const struct fp_status_type *t,
                     uint64_t now_ms)
{
    fp_buf_printf(b, "\"%s\":{\"subscribed\":", name);
    if (t->wildcard)
        fp_buf_append_c(b, "\"*\",");
    else
        fp_buf_printf(b, "%u,", t->names_n);
    put_text(b, "sentVersion", non_empty(fp_str_of(t->sent_version)));
    put_text(b, "ackedVersion", non_empty(fp_str_of(t->acked_version)));
    uint64_t since = t->pending_since_ms;
    fp_buf_printf(b, "\"ackedRevision\":%llu,\"pending\":%s,\"lagMs\":%llu,\"held\":%u,\"nack\":",
                  (unsigned long long)t->acked_revision, t->pending ? "true" : "false",
                  (unsigned long long)(since && since < now_ms ? now_ms - since : 0), t->held);
    if (t->nacked)
        put_nack(b, &t->nack);
    else
        fp_buf_append_c(b, "null");
    fp_buf_append_byte(b, '}');
}

static void put_tls(struct fp_buf *b, const struct fp_status_node *n)
{
    if (!n->tls_subject.data) {
        fp_buf_append_c(b, "\"tls\":null,");
        return;
    }
    fp_buf_append_c(b, "\"tls\":{");
    put_text(b, "subject", n->tls_subject);
    put_list(b, "sans", n->tls_sans, '\n');
    put_time(b, "notAfter", n->tls_not_after_ms);
    fp_buf_append_c(b, "},");
}

static void put_node(struct fp_buf *b, const struct fp_api_call *c,
                     const struct fp_status_stream *st)
{
    const struct fp_status_node *n = &st->node;
    uint64_t now_ms = fp_clock_mono_ms();
    bool first = true;
    fp_buf_append_byte(b, '{');
    put_text(b, "id", n->id);
    put_text(b, "cluster", n->cluster);
    put_text(b, "team", n->team);
    put_text(b, "scope", n->scope);
    fp_buf_append_c(b, "\"metadata\":");
    fp_buf_append_str(b, n->metadata.data ? n->metadata : FP_STR("null"));
    fp_buf_append_byte(b, ',');
    put_text(b, "instance", fp_str_of(c->api->o.instance_id));
    fp_buf_printf(b, "\"worker\":%u,", st->slot);
    put_text(b, "peer", n->peer);
    put_tls(b, n);
    put_text(b, "userAgent", n->user_agent);
    put_text(b, "version", n->user_agent_version);
    put_time(b, "connectedSince", n->connected_wall_ms);
    fp_buf_printf(b, ",\"mode\":\"%s\",\"types\":{", n->mode == FP_STATUS_DELTA ? "delta" : "sotw");
    for (int k = 0; k < FP_KIND_N; k++) {
        if (!st->types[k].subscribed || !fp_kinds[k].xds)
            continue;
        if (!first)
            fp_buf_append_byte(b, ',');
        first = false;
        put_type(b, fp_kinds[k].xds, &st->types[k], now_ms);
    }
    fp_buf_printf(b, "},\"state\":\"%s\"}", states[state_of(st)]);
}

/* false: gone meanwhile, or its record is somebody else's */
static bool put_found(struct fp_buf *b, struct fp_api_call *c, const struct found *f, bool comma)
{
    struct fp_arena *a = fp_arena_new(c->r->arena);
    struct fp_status_cursor at = f->at;
    struct fp_status_stream st;
    bool same = fp_status_next(c->api->o.page->status, &at, a, &st) &&
                fp_str_eq(st.node.id, f->id) && api_call_sees(c, st.node.team);
    if (same) {
        if (comma)
            fp_buf_append_byte(b, ',');
        put_node(b, c, &st);
    }
    fp_arena_free(&a);
    return same;
}

/* ---- handlers ---- */

static int state_wanted(struct fp_api_call *c)
{
    struct fp_str s = fp_http_query(c->r, "state");
    for (int i = 0; i < STATE_N; i++)
        if (fp_str_eq_c(s, states[i]))
            return i;
    if (s.data)
        fp_problem_add_parameter(c->problems, "state", FP_P_INVALID_VALUE,
                                 "must be synced, pending or rejected");
    return -1;
}

static void list_now(struct fp_api_call *c)
{
    struct search *s = c->user;
    uint64_t shown = 0;
    struct fp_buf b = {0};
    search(c, s);
    fp_buf_append_byte(&b, '[');
    for (uint64_t i = s->offset; i < s->n && (!s->limit || shown < s->limit); i++)
        shown += put_found(&b, c, &s->at[i], shown > 0);
    fp_buf_append_byte(&b, ']');
    api_header_number(c, "x-total-count", s->n);
    api_read_revision(c);
    api_respond(c, 200, &c->headers, fp_buf_str(&b));
    fp_buf_fini(&b);
}

void api_nodes(struct fp_api_call *c)
{
    struct search *s = FP_ARENA_NEW(c->r->arena, struct search);
    *s = (struct search){
        .team = fp_http_query(c->r, "team"),
        .cluster = fp_http_query(c->r, "cluster"),
        .state = state_wanted(c),
        .limit = api_query_clamped(c, "limit", 1, API_LIMIT_MAX),
        .offset = api_query_clamped(c, "offset", 0, INT64_MAX),
    };
    c->user = s;
    if (c->problems->n)
        api_fail_problems(c);
    else
        api_wait_fresh(c, list_now);
}

/* Of several streams with this id, the one connected last. */
static void one_now(struct fp_api_call *c)
{
    struct search s = {.id = c->name, .state = -1};
    struct fp_buf b = {0};
    search(c, &s);
    while (s.n && !put_found(&b, c, &s.at[s.n - 1], false))
        s.n--;
    if (s.n) {
        api_read_revision(c);
        api_respond(c, 200, &c->headers, fp_buf_str(&b));
    } else {
        api_fail(c, 404, NULL, NULL, "Node with name '%.*s' not found", FP_STR_ARG(c->name));
    }
    fp_buf_fini(&b);
}

void api_node(struct fp_api_call *c)
{
    api_wait_fresh(c, one_now);
}
