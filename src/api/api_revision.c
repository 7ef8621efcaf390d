/*
 * GET /api/v1/revisions and /revisions/{n} (contract §7.3): the history, from the database.  Runs
 * in workers.  Differences are made after the answer of the database, in slices.
 */
#include "api/api_set_int.h"
#include "codec/codec_diff.h"
#include "codec/codec_json.h"
#include "core/core_clock.h"
#include "store/store_revision.h"

#define DEFAULT_LIMIT 100

struct reading { /* one answer being made */
    struct fp_buf body;
    size_t n;
    /* of one revision */
    struct fp_buf changes; /* of struct fp_store_change, strings in the request's arena */
    size_t at;
    struct fp_arena *scratch;
    struct api_slices slices;
};

static void reading_free(void *arg)
{
    struct reading *rd = arg;
    fp_buf_fini(&rd->body);
    fp_buf_fini(&rd->changes);
}

static struct reading *reading_new(struct fp_api_call *c)
{
    struct reading *rd = FP_ARENA_NEW(c->r->arena, struct reading);
    fp_arena_cleanup(c->r->arena, reading_free, rd);
    c->user = rd;
    return rd;
}

static void text(struct fp_buf *b, const char *key, struct fp_str s)
{
    fp_buf_printf(b, ",\"%s\":", key);
    if (s.data)
        fp_buf_append_json(b, s);
    else
        fp_buf_append_c(b, "null");
}

static void write_head(struct fp_buf *b, const struct fp_store_revision *r)
{
    char time[FP_CLOCK_TEXT_BYTES];
    fp_buf_printf(b, "{\"revision\":%llu", (unsigned long long)r->revision);
    text(b, "epoch", r->epoch);
    text(b, "createdAt", fp_str_of(fp_clock_rfc3339(time, r->created_wall_ms, false)));
    text(b, "userId", r->user_id);
    text(b, "requestId", r->request_id);
    text(b, "source", r->source);
    fp_buf_printf(b, ",\"changes\":%llu", (unsigned long long)r->changes);
}

static bool away(struct fp_api_call *c, enum fp_store_reading how)
{
    if (how == FP_READING_AWAY)
        api_fail_unavailable(c, "the database is not available");
    return how == FP_READING_AWAY;
}

/* ---- the list */

static void list_row(const struct fp_store_revision *r, void *arg)
{
    struct reading *rd = ((struct fp_api_call *)arg)->user;
    fp_buf_append_c(&rd->body, rd->n++ ? "," : "[");
    write_head(&rd->body, r);
    fp_buf_append_byte(&rd->body, '}');
}

static void list_done(enum fp_store_reading how, uint64_t total, void *arg)
{
    struct fp_api_call *c = arg;
    struct reading *rd = c->user;
    if (away(c, how))
        return;
    fp_buf_append_c(&rd->body, rd->n ? "]" : "[]");
    api_header_number(c, "x-total-count", total);
    api_respond(c, 200, &c->headers, fp_buf_str(&rd->body));
}

void api_revisions(struct fp_api_call *c)
{
    uint64_t limit = api_query_clamped(c, "limit", 1, API_LIMIT_MAX);
    struct fp_store_revision_filter f = {
        .user_id = fp_http_query(c->r, "userId"),
        .kind = fp_http_query(c->r, "kind"),
        .name = fp_http_query(c->r, "name"),
        .limit = limit ? limit : DEFAULT_LIMIT,
        .offset = api_query_clamped(c, "offset", 0, INT64_MAX),
    };
    if (c->problems->n) {
        api_fail_problems(c);
        return;
    }
    reading_new(c);
    fp_store_revisions(c->api->o.store, &f, list_row, list_done, c);
}

/* ---- one */

bool api_revision_number(struct fp_api_call *c, uint64_t *n)
{
    if (fp_str_to_u64(c->name, n) && *n <= INT64_MAX)
        return true;
    fp_problem_add_parameter(c->problems, "n", FP_P_INVALID_TYPE, "must be a revision number");
    api_fail_problems(c);
    return false;
}

void api_revision_unknown(struct fp_api_call *c)
{
    api_fail(c, 404, NULL, NULL, "Revision '%.*s' not found", FP_STR_ARG(c->name));
}

static void one_head(const struct fp_store_revision *r, void *arg)
{
    struct reading *rd = ((struct fp_api_call *)arg)->user;
    write_head(&rd->body, r);
    fp_buf_append_c(&rd->body, ",\"items\":[");
}

static struct fp_str keep(struct fp_api_call *c, struct fp_str s)
{
    return s.data ? fp_arena_str(c->r->arena, s) : s;
}

static void one_row(const struct fp_store_change *change, void *arg)
{
    struct fp_api_call *c = arg;
    struct reading *rd = c->user;
    struct fp_store_change own = *change;
    own.kind = keep(c, own.kind);
    own.name = keep(c, own.name);
    own.action = keep(c, own.action);
    own.from_configuration = keep(c, own.from_configuration);
    own.to_configuration = keep(c, own.to_configuration);
    fp_buf_append(&rd->changes, &own, sizeof(own));
    rd->n++;
}

static json_t *parse(struct reading *rd, struct fp_str text_of)
{
    return text_of.data ? fp_json_parse(rd->scratch, text_of, 2 * API_JSON_DEPTH,
                                        fp_problems_new(rd->scratch))
                        : NULL;
}

static void version(struct fp_buf *b, const char *key, int64_t v)
{
    if (v)
        fp_buf_printf(b, ",\"%s\":%lld", key, (long long)v);
    else
        fp_buf_printf(b, ",\"%s\":null", key);
}

static bool one_step(void *arg)
{
    struct reading *rd = ((struct fp_api_call *)arg)->user;
    if (rd->at == rd->n)
        return false;
    const struct fp_store_change *change =
        (const struct fp_store_change *)rd->changes.data + rd->at;
    struct fp_buf *b = &rd->body;
    fp_buf_append_c(b, rd->at++ ? ",{\"kind\":" : "{\"kind\":");
    fp_buf_append_json(b, change->kind);
    text(b, "name", change->name);
    text(b, "action", change->action);
    version(b, "fromVersion", change->from_version);
    version(b, "toVersion", change->to_version);
    fp_buf_append_c(b, ",\"diff\":");
    json_t *diff =
        fp_json_diff(parse(rd, change->from_configuration), parse(rd, change->to_configuration));
    fp_json_write(b, diff, false);
    json_decref(diff);
    fp_buf_append_byte(b, '}');
    fp_arena_reset(rd->scratch);
    return true;
}

static void one_written(void *arg)
{
    struct fp_api_call *c = arg;
    struct reading *rd = c->user;
    fp_buf_append_c(&rd->body, "]}");
    api_respond(c, 200, &c->headers, fp_buf_str(&rd->body));
}

static void one_done(enum fp_store_reading how, void *arg)
{
    struct fp_api_call *c = arg;
    struct reading *rd = c->user;
    if (away(c, how))
        return;
    if (how == FP_READING_NONE) {
        api_revision_unknown(c);
        return;
    }
    rd->scratch = fp_arena_new(c->r->arena);
    rd->slices = (struct api_slices){.c = c, .step = one_step, .done = one_written, .arg = c};
    api_slices_run(&rd->slices);
}

void api_revision(struct fp_api_call *c)
{
    uint64_t n;
    if (!api_revision_number(c, &n))
        return;
    reading_new(c);
    fp_store_revision_changes(c->api->o.store, n, one_head, one_row, one_done, c);
}
