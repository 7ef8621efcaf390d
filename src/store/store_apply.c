/*
 * A set of resources in one statement: the set goes as one JSON text, what was done or refused
 * comes back as rows.  Runs in workers.  Must never log a configuration or any other parameter.
 */
#include "store/store_apply.h"
#include "core/core_assert.h"
#include "core/core_log.h"
#include "store/store_int.h"

static const char sql[] =
    "SELECT r_what, r_item, r_kind, r_name, r_action, r_version, r_from, r_was, r_detail\n"
    "FROM flowplane_apply($1::jsonb, $2::int, $3::jsonb, $4::json)";
enum { C_WHAT, C_ITEM, C_KIND, C_NAME, C_ACTION, C_VERSION, C_FROM, C_WAS, C_DETAIL, C_N };

const char *const fp_store_step_names[FP_STEP_N] = {"create", "update", "delete", "unchanged"};
static const char *const trouble_names[FP_TROUBLE_N] = {
    "taken", "protected", "team", "owned", "address", "missing", "referenced", "generated"};

struct call {
    struct store_request *r;
    fp_store_apply_cb cb;
    void *arg;
};

/* ---- the set */

static void text(struct fp_buf *b, const char *key, struct fp_str s)
{
    if (!s.data)
        return;
    fp_buf_printf(b, ",\"%s\":", key);
    fp_buf_append_json(b, s);
}

static void hex(struct fp_buf *b, const char *key, const void *p, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    fp_buf_printf(b, ",\"%s\":\"\\\\x", key);
    fp_buf_reserve(b, 2 * n + 1);
    for (size_t i = 0; i < n; i++) {
        b->data[b->len++] = digits[((const uint8_t *)p)[i] >> 4];
        b->data[b->len++] = digits[((const uint8_t *)p)[i] & 15];
    }
    fp_buf_append_byte(b, '"');
}

static void content(struct fp_buf *b, const struct fp_store_write *w)
{
    text(b, "team", w->team);
    text(b, "source", w->source);
    text(b, "form", w->form);
    fp_buf_append_c(b, ",\"configuration\":");
    fp_buf_append_str(b, w->configuration);
    if (w->encoded.data) {
        hex(b, "encoded", w->encoded.data, w->encoded.len);
        hex(b, "content_hash", w->content_hash, sizeof(w->content_hash));
    }
    fp_buf_printf(b, ",\"encoder_version\":%d,\"refs\":", w->encoder_version);
    store_refs_json(b, w);
    text(b, "service_name", w->service_name);
    text(b, "path_prefix", w->path_prefix);
    text(b, "cluster_name", w->cluster_name);
    text(b, "address", w->address);
    if (w->port >= 0)
        fp_buf_printf(b, ",\"port\":%d", w->port);
    text(b, "protocol",
         w->kind == FP_KIND_LISTENER && !w->protocol.data ? FP_STR("HTTP") : w->protocol);
    if (strcmp(fp_kinds[w->kind].table, "resources") == 0)
        text(b, "type", fp_str_of(fp_kinds[w->kind].path));
}

void fp_store_apply_item(struct fp_buf *b, int item, const struct fp_store_write *w, bool deletion)
{
    fp_buf_printf(b, "%s{\"item\":%d,\"action\":\"%s\",\"kind\":\"%s\"", b->len ? "," : "[", item,
                  deletion ? "delete" : "put", fp_kinds[w->kind].name);
    text(b, "name", w->name);
    if (!deletion)
        content(b, w);
    fp_buf_append_byte(b, '}');
}

static void options(struct fp_buf *b, const struct fp_store_apply *a)
{
    bool some = false;
    fp_buf_printf(b, "{\"event\":\"%s\",\"force\":%s,\"dry_run\":%s", a->event,
                  a->force ? "true" : "false", a->dry_run ? "true" : "false");
    text(b, "label", a->label);
    if (a->if_revision >= 0)
        fp_buf_printf(b, ",\"if_revision\":%lld", (long long)a->if_revision);
    if (a->metadata.data) {
        fp_buf_append_c(b, ",\"metadata\":");
        fp_buf_append_str(b, a->metadata);
    }
    fp_buf_append_c(b, ",\"prune\":[");
    for (int k = 0; k < FP_KIND_N; k++)
        if (a->prune[k]) {
            fp_buf_printf(b, "%s\"%s\"", some ? "," : "", fp_kinds[k].name);
            some = true;
        }
    fp_buf_append_c(b, "],\"teams\":{");
    some = false;
    for (int k = 0; k < FP_KIND_N; k++) {
        if (!a->teams[k].names)
            continue;
        fp_buf_printf(b, "%s\"%s\":[", some ? "," : "", fp_kinds[k].name);
        for (size_t i = 0; i < a->teams[k].n; i++) {
            fp_buf_append_c(b, i ? "," : "");
            fp_buf_append_json(b, a->teams[k].names[i]);
        }
        fp_buf_append_byte(b, ']');
        some = true;
    }
    fp_buf_append_c(b, "}}");
}

/* ---- the answer */

static int by_name(struct fp_str s, const char *const *names, int n)
{
    for (int i = 0; i < n; i++)
        if (fp_str_eq_c(s, names[i]))
            return i;
    FP_UNREACHABLE(); /* our own function's words */
}

static void read_row(const PGresult *r, int row, struct fp_store_applied_row *out)
{
    *out = (struct fp_store_applied_row){
        .item = PQgetisnull(r, row, C_ITEM) ? -1 : (int)store_cell_i64(r, row, C_ITEM),
        .kind = fp_kind_by_name(store_cell(r, row, C_KIND)),
        .name = store_cell(r, row, C_NAME),
        .version = store_cell_i64(r, row, C_VERSION),
        .from_version = store_cell_i64(r, row, C_FROM),
        .was = store_cell(r, row, C_WAS),
        .detail = store_cell(r, row, C_DETAIL),
    };
}

void fp_store_applied_absent(const struct fp_store_applied *a, size_t i,
                             struct fp_store_applied_row *out)
{
    FP_ASSERT(i < a->absent_n);
    read_row(a->rows, (int)(1 + a->rows_n + i), out);
}

void fp_store_applied_row(const struct fp_store_applied *a, size_t i,
                          struct fp_store_applied_row *out)
{
    int row = (int)i + 1; /* behind the head */
    struct fp_str action = store_cell(a->rows, row, C_ACTION);
    FP_ASSERT(i < a->rows_n);
    read_row(a->rows, row, out);
    if (a->outcome == FP_APPLIED_TROUBLE)
        out->trouble = (enum fp_store_trouble)by_name(action, trouble_names, FP_TROUBLE_N);
    else
        out->step = (enum fp_store_step)by_name(action, fp_store_step_names, FP_STEP_N);
}

static void failed(const struct store_answer *a, struct fp_store_applied *out)
{
    out->outcome = FP_APPLIED_UNAVAILABLE;
    if (a->end != STORE_END_SQL)
        return; /* the connection has logged why */
    if (store_verdict(a->sqlstate) == STORE_REFUSE) {
        out->outcome = FP_APPLIED_REFUSED;
        fp_log_error(FP_LOG_STORE, "the database refuses a set: %s (SQLSTATE %s)", a->message,
                     a->sqlstate);
    } else {
        fp_log_warn(FP_LOG_STORE, "the database cannot write now: %s (SQLSTATE %s)", a->message,
                    a->sqlstate);
    }
}

static void answered(const struct store_answer *a, void *arg)
{
    static const struct {
        const char *text;
        int outcome;
    } outcomes[] = {{"done", FP_APPLIED_DONE},
                    {"unchanged", FP_APPLIED_UNCHANGED},
                    {"stale", FP_APPLIED_STALE},
                    {"refused", FP_APPLIED_TROUBLE}};
    struct call *call = arg;
    struct fp_store_applied out = {.outcome = FP_APPLIED_REFUSED};
    if (call->r->forgotten)
        return;
    if (a->end != STORE_END_OK) {
        failed(a, &out);
    } else {
        FP_ASSERT(PQntuples(a->result) > 0 && PQnfields(a->result) == C_N);
        for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++)
            if (fp_str_eq_c(store_cell(a->result, 0, C_ACTION), outcomes[i].text))
                out.outcome = outcomes[i].outcome;
        out.revision = (uint64_t)store_cell_i64(a->result, 0, C_VERSION);
        out.rows = a->result;
        out.rows_n = (size_t)PQntuples(a->result) - 1;
        while (out.rows_n && fp_str_eq_c(store_cell(a->result, (int)out.rows_n, C_WHAT), "absent"))
            out.rows_n--, out.absent_n++;
    }
    call->cb(&out, call->arg);
}

static void free_items(void *arg)
{
    fp_buf_fini(arg);
}

void fp_store_apply(struct fp_store *s, const struct fp_store_apply *a, fp_store_apply_cb cb,
                    void *arg)
{
    struct store_request *r = store_request_new("apply", sql);
    struct call *call = FP_ARENA_NEW(r->arena, struct call);
    struct fp_buf *items = FP_ARENA_NEW(r->arena, struct fp_buf), o = {0};

    *call = (struct call){.r = r, .cb = cb, .arg = arg};
    *items = *a->items;
    *a->items = (struct fp_buf){0};
    fp_arena_cleanup(r->arena, free_items, items);
    fp_buf_append_c(items, items->len ? "]" : "[]");
    options(&o, a);

    r->done = answered;
    r->arg = call;
    r->owner = arg;
    r->timeout_ms = a->timeout_ms;
    store_param_actor(r, &a->actor);
    store_param_lock_timeout(s, r);
    store_param_json(&r->params, r->arena, fp_buf_str(&o));
    store_param_text(&r->params, fp_buf_str(items));
    fp_buf_fini(&o);
    store_pool_submit(s, r);
}
