/*
 * POST /api/v1/revisions/{n}/rollback (contract §7.3): what was at the end of revision n is written
 * as a set, a new revision.  Runs in workers.  The set holds only against the revision it was made
 * from; when somebody else was faster it is made again.
 */
#include "api/api_set_int.h"
#include "codec/codec_json.h"
#include "store/store_revision.h"

#define TRIES 4

struct rollback {
    struct api_set *set; /* made anew for each try; the last in c->user while it is sent */
    uint64_t revision;
    struct fp_str pairs; /* JSON; data == NULL: everything */
    struct fp_buf rows;  /* of struct fp_store_then, strings in the request's arena */
    size_t n, at;
    unsigned tries;
    struct fp_arena *scratch;
    struct api_slices slices;
};

static void rollback_free(void *arg)
{
    fp_buf_fini(&((struct rollback *)arg)->rows);
}

/* ---- kind and name, in pairs */

static void read_pairs(struct fp_api_call *c, struct rollback *rb)
{
    struct fp_buf b = {0};
    struct fp_str kind, name;
    size_t at_kind = 0, at_name = 0;
    fp_buf_append_byte(&b, '[');
    for (;;) {
        bool has_kind = fp_http_query_next(c->r, "kind", &at_kind, &kind);
        bool has_name = fp_http_query_next(c->r, "name", &at_name, &name);
        if (!has_kind && !has_name)
            break;
        if (!has_kind || !has_name) {
            fp_problem_add_parameter(c->problems, has_kind ? "name" : "kind", FP_P_REQUIRED,
                                     "kind and name come in pairs");
            break;
        }
        if (!api_set_kind(fp_kind_by_name(kind)))
            fp_problem_add_parameter(c->problems, "kind", FP_P_INVALID_VALUE,
                                     "not a kind that can be applied");
        fp_buf_append_c(&b, b.len > 1 ? ",[" : "[");
        fp_buf_append_json(&b, kind);
        fp_buf_append_byte(&b, ',');
        fp_buf_append_json(&b, name);
        fp_buf_append_byte(&b, ']');
    }
    fp_buf_append_byte(&b, ']');
    if (b.len > 2)
        rb->pairs = fp_arena_str(c->r->arena, fp_buf_str(&b));
    fp_buf_fini(&b);
}

/* ---- rows */

static struct fp_str keep(struct fp_api_call *c, struct fp_str s)
{
    return s.data ? fp_arena_str(c->r->arena, s) : s;
}

static void take_row(const struct fp_store_then *t, void *arg)
{
    struct fp_api_call *c = arg;
    struct rollback *rb = c->user;
    struct fp_store_then own = *t;
    own.kind = keep(c, t->kind);
    own.name = keep(c, t->name);
    own.team = keep(c, t->team);
    own.source = keep(c, t->source);
    own.form = keep(c, t->form);
    own.service_name = keep(c, t->service_name);
    own.configuration = keep(c, t->configuration);
    fp_buf_append(&rb->rows, &own, sizeof(own));
    rb->n++;
}

/* A row of then that today's models refuse. */
static void refuse_row(struct fp_api_call *c, const struct fp_store_then *t,
                       const struct fp_problems *own)
{
    for (size_t i = 0; i < own->n; i++)
        fp_problem_add(c->problems, own->items[i].pointer, own->items[i].code, "%.*s '%.*s': %s",
                       FP_STR_ARG(t->kind), FP_STR_ARG(t->name), own->items[i].message);
}

static void put_row(struct fp_api_call *c, struct rollback *rb, enum fp_kind kind,
                    const struct fp_store_then *t)
{
    struct fp_model_options o = {.pool = c->api->o.pool, .allow_privileged_ports = true};
    struct fp_problems *own = fp_problems_new(rb->scratch);
    struct fp_model_resource m = {.port = -1};
    json_t *v = fp_json_parse(rb->scratch, t->configuration, 2 * API_JSON_DEPTH, own);
    if (!v || fp_model_parse_stored(kind, &o, rb->scratch, t->name, t->service_name, t->form, v,
                                    own, &m) != FP_OK) {
        refuse_row(c, t, own);
        return;
    }
    m.team = t->team;
    api_set_put(rb->set, &m, t->source, "");
}

static bool step(void *arg)
{
    struct rollback *rb = arg;
    struct fp_api_call *c = rb->set->c;
    if (rb->at == rb->n)
        return false;
    const struct fp_store_then *t = (const struct fp_store_then *)rb->rows.data + rb->at++;
    enum fp_kind kind = fp_kind_by_name(t->kind);
    if (api_set_kind_ok(rb->set, kind, "")) {
        if (t->existed)
            put_row(c, rb, kind, t);
        else
            api_set_delete(rb->set, kind, t->name);
    }
    fp_arena_reset(rb->scratch);
    return true;
}

static void send_set(void *arg)
{
    struct rollback *rb = arg;
    rb->set->c->user = rb->set;
    api_set_send(rb->set);
}

static void start(struct fp_api_call *c, struct rollback *rb);

/* Somebody wrote between the reading and the writing. */
static void again(struct fp_api_call *c)
{
    struct rollback *rb = ((struct api_set *)c->user)->owner;
    if (rb->tries < TRIES)
        start(c, rb);
    else
        api_fail(c, 409, NULL, NULL, "the configuration changes too fast; try again");
}

static void rows_read(enum fp_store_reading how, uint64_t current, void *arg)
{
    struct fp_api_call *c = arg;
    struct rollback *rb = c->user;
    if (how == FP_READING_AWAY) {
        api_fail_unavailable(c, "the database is not available");
        return;
    }
    if (how == FP_READING_NONE) {
        api_revision_unknown(c);
        return;
    }
    rb->set = api_set_new(c);
    rb->set->owner = rb;
    rb->set->on_stale = again;
    rb->set->conflict_status = 409;
    rb->set->unscoped = true;
    rb->set->apply.dry_run = c->options.dry_run;
    rb->set->apply.if_revision = (int64_t)current;
    rb->set->apply.event = "config.rolled_back";
    rb->set->apply.metadata =
        fp_str_of(fp_arena_printf(c->r->arena, "{\"to\":%llu}", (unsigned long long)rb->revision));
    rb->slices = (struct api_slices){.c = c, .step = step, .done = send_set, .arg = rb};
    api_slices_run(&rb->slices);
}

static void start(struct fp_api_call *c, struct rollback *rb)
{
    c->user = rb;
    rb->tries++;
    rb->n = rb->at = 0;
    fp_buf_clear(&rb->rows);
    fp_store_revision_state(c->api->o.store, rb->revision, 0, rb->pairs, take_row, rows_read, c);
}

void api_rollback(struct fp_api_call *c)
{
    struct rollback *rb = FP_ARENA_NEW(c->r->arena, struct rollback);
    if (!api_revision_number(c, &rb->revision))
        return;
    api_options_read(c);
    read_pairs(c, rb);
    if (c->problems->n) {
        api_fail_problems(c);
        return;
    }
    if (c->options.wait == API_WAIT_NO) /* rollbacks always wait (contract §2.7) */
        c->options.wait = API_WAIT_PUBLISHED;
    rb->scratch = fp_arena_new(c->r->arena);
    fp_arena_cleanup(c->r->arena, rollback_free, rb);
    start(c, rb);
}
