/*
 * GET /api/v1/revisions/{n}/status (contract §7.3): how far a revision has come on this instance.
 * Runs in workers.  What it changed comes from the database; who acknowledged it from the status
 * segments of all workers.
 */
#include "api/api_set_int.h"
#include "core/core_clock.h"
#include "obs/obs_status.h"
#include "store/store_revision.h"

enum state { STATE_UNAFFECTED, STATE_ACKED, STATE_PENDING, STATE_REJECTED, STATE_N };
static const char *const state_names[STATE_N] = {"unaffected", "acked", "pending", "rejected"};

struct answer {
    uint64_t revision;
    unsigned kinds;      /* that it changed, bits 1 << enum fp_kind */
    bool any_team;       /* it changed rows without a team */
    struct fp_map teams; /* of the others; keys in the request's arena */
    struct fp_map names; /* of the rows it changed */
};

static void answer_free(void *arg)
{
    struct answer *a = arg;
    fp_map_fini(&a->teams);
    fp_map_fini(&a->names);
}

static void head(const struct fp_store_revision *r, void *arg)
{
    (void)r;
    (void)arg;
}

static void change(const struct fp_store_change *x, void *arg)
{
    struct fp_api_call *c = arg;
    struct answer *a = c->user;
    enum fp_kind kind = fp_kind_by_name(x->kind);
    if (kind == FP_KIND_N || !fp_kinds[kind].xds)
        return;
    a->kinds |= api_wait_kinds(kind);
    fp_map_set(&a->names, fp_arena_str(c->r->arena, x->name), a);
    if (!x->team.data)
        a->any_team = true;
    else if (!fp_map_get(&a->teams, x->team))
        fp_map_set(&a->teams, fp_arena_str(c->r->arena, x->team), a);
}

/* A node of a team sees its rows and those of none; which rows an allow-list holds is not known. */
static bool affects(const struct answer *a, const struct fp_status_stream *st)
{
    return !fp_str_eq(st->node.scope, FP_STR("team")) || a->any_team ||
           fp_map_get(&a->teams, st->node.team);
}

/* An open rejection of this revision, or of a later one that holds what this one changed. */
static bool rejected(const struct answer *a, const struct fp_status_type *t)
{
    struct fp_str names = t->nack.names;
    if (!t->nacked || t->nack.revision < a->revision)
        return false;
    if (t->nack.revision == a->revision || !names.len)
        return true;
    while (names.len)
        if (fp_map_get(&a->names, fp_str_split(names, '\0', &names)))
            return true;
    return false;
}

static enum state state_of(const struct answer *a, const struct fp_status_stream *st,
                           enum fp_kind k)
{
    const struct fp_status_type *t = &st->types[k];
    if (!(a->kinds & 1u << k) || !t->subscribed || !affects(a, st))
        return STATE_UNAFFECTED;
    if (rejected(a, t))
        return STATE_REJECTED;
    return t->acked_revision >= a->revision ? STATE_ACKED : STATE_PENDING;
}

/* ---- JSON */

static void text(struct fp_buf *b, const char *key, struct fp_str s)
{
    fp_buf_printf(b, ",\"%s\":", key);
    if (s.len)
        fp_buf_append_json(b, s);
    else
        fp_buf_append_c(b, "null");
}

static void write_nack(struct fp_buf *b, const struct fp_status_nack *n)
{
    char time[FP_CLOCK_TEXT_BYTES];
    struct fp_str names = n->names;
    fp_buf_printf(b, ",\"nack\":{\"code\":%u", n->code);
    text(b, "version", fp_str_of(n->version));
    text(b, "message", n->message);
    fp_buf_append_c(b, ",\"names\":[");
    for (bool some = false; names.len; some = true) {
        fp_buf_append_c(b, some ? "," : "");
        fp_buf_append_json(b, fp_str_split(names, '\0', &names));
    }
    fp_buf_printf(b, "],\"time\":\"%s\"}", fp_clock_rfc3339(time, n->last_wall_ms, false));
}

/* A node with its types; gives its state, the worst of them. */
static enum state write_node(struct fp_buf *b, const struct answer *a,
                             const struct fp_status_stream *st)
{
    enum state worst = STATE_UNAFFECTED;
    struct fp_buf types = {0};
    for (int k = 0; k < FP_KIND_N; k++) {
        const struct fp_status_type *t = &st->types[k];
        enum state s = state_of(a, st, (enum fp_kind)k);
        if (!t->subscribed || !fp_kinds[k].xds)
            continue;
        worst = s > worst ? s : worst;
        fp_buf_printf(&types, "%s\"%s\":{\"state\":\"%s\"", types.len ? "," : "", fp_kinds[k].xds,
                      state_names[s]);
        text(&types, "sentVersion", fp_str_of(t->sent_version));
        text(&types, "ackedVersion", fp_str_of(t->acked_version));
        if (t->nacked)
            write_nack(&types, &t->nack);
        else
            fp_buf_append_c(&types, ",\"nack\":null");
        fp_buf_append_byte(&types, '}');
    }
    fp_buf_append_c(b, "{\"nodeId\":");
    fp_buf_append_json(b, st->node.id);
    fp_buf_printf(b, ",\"state\":\"%s\",\"types\":{", state_names[worst]);
    fp_buf_append_str(b, fp_buf_str(&types));
    fp_buf_append_c(b, "}}");
    fp_buf_fini(&types);
    return worst;
}

static void write_items(struct fp_api_call *c, const struct answer *a, struct fp_buf *out)
{
    struct fp_arena *scratch = fp_arena_new(c->r->arena);
    struct fp_status_cursor cursor = {0};
    struct fp_status_stream st;
    struct fp_buf items = {0};
    size_t counts[STATE_N] = {0}, total = 0;
    while (fp_status_next(c->api->o.page->status, &cursor, scratch, &st)) {
        if (!st.draining) {
            fp_buf_append_c(&items, total++ ? "," : "");
            counts[write_node(&items, a, &st)]++;
        }
        fp_arena_reset(scratch);
    }
    fp_buf_printf(out,
                  "\"nodes\":{\"total\":%zu,\"acked\":%zu,\"pending\":%zu,\"rejected\":%zu,"
                  "\"unaffected\":%zu},\"items\":[",
                  total, counts[STATE_ACKED], counts[STATE_PENDING], counts[STATE_REJECTED],
                  counts[STATE_UNAFFECTED]);
    fp_buf_append_str(out, fp_buf_str(&items));
    fp_buf_append_byte(out, ']');
    fp_buf_fini(&items);
    fp_arena_free(&scratch);
}

static void done(enum fp_store_reading how, void *arg)
{
    struct fp_api_call *c = arg;
    struct answer *a = c->user;
    const struct fp_snap_meta *meta = fp_snap_meta(c->api->snap);
    bool published = api_wait_published(c, a->revision);
    struct fp_buf b = {0};
    char time[FP_CLOCK_TEXT_BYTES];
    if (how == FP_READING_NONE) {
        api_revision_unknown(c);
        return;
    }
    if (how == FP_READING_AWAY) {
        api_fail_unavailable(c, "the database is not available");
        return;
    }
    fp_buf_printf(&b, "{\"revision\":%llu,\"instance\":", (unsigned long long)a->revision);
    fp_buf_append_json(&b, fp_str_of(c->api->o.instance_id));
    fp_buf_printf(&b, ",\"published\":%s", published ? "true" : "false");
    /* the time of an older revision is not kept */
    text(&b, "publishedAt",
         published && meta->revision == a->revision
             ? fp_str_of(fp_clock_rfc3339(time, meta->built_wall_ms, false))
             : FP_STR_NULL);
    fp_buf_printf(&b, ",\"currentRevision\":%llu,", (unsigned long long)meta->revision);
    write_items(c, a, &b);
    fp_buf_append_byte(&b, '}');
    api_header_number(c, "flowplane-revision", meta->revision);
    api_respond(c, 200, &c->headers, fp_buf_str(&b));
    fp_buf_fini(&b);
}

static void status_now(struct fp_api_call *c)
{
    struct answer *a = c->user;
    fp_store_revision_changes(c->api->o.store, a->revision, head, change, done, c);
}

void api_revision_status(struct fp_api_call *c)
{
    struct answer *a = FP_ARENA_NEW(c->r->arena, struct answer);
    if (!api_revision_number(c, &a->revision))
        return;
    fp_arena_cleanup(c->r->arena, answer_free, a);
    c->user = a;
    api_wait_fresh(c, status_now);
}
