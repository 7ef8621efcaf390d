/*
 * A set of resources on its way into the store, and the answer for it (contract §7.1, §2.8).  Runs
 * in workers.  Nothing is sent before all of its members are valid.
 */
#include "api/api_set_int.h"
#include "codec/codec_diff.h"
#include "codec/codec_json.h"
#include "core/core_assert.h"
#include "obs/obs_metric.h"

#define MUST_EXIST       (1u << FP_KIND_CLUSTER | 1u << FP_KIND_SECRET) /* contract §5.9 */
#define APPLY_TIMEOUT_MS 60000 /* 100,000 rows take longer than database.statement_timeout */

const enum fp_kind api_set_kinds[] = {FP_KIND_ENDPOINT, FP_KIND_CLUSTER, FP_KIND_ROUTE,
                                      FP_KIND_LISTENER, FP_KIND_N};

bool api_set_kind(enum fp_kind kind)
{
    for (const enum fp_kind *k = api_set_kinds; *k != FP_KIND_N; k++)
        if (*k == kind)
            return true;
    return false;
}

const char *api_set_scope(enum fp_kind kind)
{
    return fp_kinds[kind].table; /* clusters … resources, which is one scope for its kinds */
}

static void set_free(void *arg)
{
    struct api_set *s = arg;
    fp_buf_fini(&s->items);
    fp_buf_fini(&s->refs);
    fp_buf_fini(&s->texts);
    fp_map_fini(&s->names);
    json_decref(s->warnings);
}

struct api_set *api_set_new(struct fp_api_call *c)
{
    struct api_set *s = FP_ARENA_NEW(c->r->arena, struct api_set);
    s->c = c;
    s->apply = (struct fp_store_apply){
        .if_revision = -1, .event = "config.applied", .timeout_ms = APPLY_TIMEOUT_MS};
    s->warnings = json_array();
    fp_arena_cleanup(c->r->arena, set_free, s);
    c->user = s;
    return s;
}

/* ---- members */

bool api_set_kind_ok(struct api_set *s, enum fp_kind kind, const char *pointer)
{
    if (!api_set_kind(kind)) {
        fp_problem_add(s->c->problems, pointer, FP_P_INVALID_VALUE,
                       "not a kind that can be applied");
        return false;
    }
    enum fp_auth_grant grant = fp_auth_scope(&s->c->token, api_set_scope(kind), "write");
    if (grant == FP_AUTH_ALL || (grant == FP_AUTH_TEAMS && !s->unscoped))
        return true;
    if (!s->forbidden)
        api_audit_forbidden(s->c, fp_arena_printf(s->c->r->arena, "%s:write", api_set_scope(kind)));
    s->forbidden = true;
    return false;
}

static bool team_ok(struct api_set *s, struct fp_model_resource *m, const char *pointer)
{
    const struct fp_snap_token *token = &s->c->token;
    const char *resource = api_set_scope(m->kind);
    if (fp_auth_scope(token, resource, "write") == FP_AUTH_ALL)
        return true;
    if (!m->team.data) {
        m->team = fp_auth_single_team(token, resource, "write");
        if (!m->team.data)
            fp_problem_add(s->c->problems, fp_pointer_push(s->c->r->arena, pointer, FP_STR("team")),
                           FP_P_REQUIRED, "required: the token is scoped to several teams");
        return m->team.data;
    }
    if (fp_auth_team(token, resource, "write", m->team))
        return true;
    s->forbidden = true;
    return false;
}

static bool unique(struct api_set *s, const struct fp_model_resource *m, const char *pointer)
{
    struct fp_arena *a = s->c->r->arena;
    struct fp_str key =
        fp_str_of(fp_arena_printf(a, "%s %.*s", fp_kinds[m->kind].name, FP_STR_ARG(m->name)));
    if (!fp_map_set(&s->names, key, s))
        return true;
    fp_problem_add(s->c->problems, fp_pointer_push(a, pointer, FP_STR("name")), FP_P_DUPLICATE,
                   "%s '%.*s' stands twice in the set", fp_kinds[m->kind].name,
                   FP_STR_ARG(m->name));
    return false;
}

static void keep_refs(struct api_set *s, const struct fp_model_resource *m, const char *pointer)
{
    struct fp_arena *a = s->c->r->arena;
    for (size_t i = 0; i < m->refs_n; i++) {
        const struct fp_ref *ref = &m->refs[i];
        if (ref->kind == FP_KIND_ENDPOINT)
            continue; /* may come later, and nobody is told (contract §5.9) */
        struct api_set_ref keep = {
            .item = s->n,
            .kind = ref->kind,
            .name = fp_arena_str(a, ref->name),
            .pointer = fp_arena_printf(a, "%s%s", pointer, ref->pointer ? ref->pointer : ""),
        };
        fp_buf_append(&s->refs, &keep, sizeof(keep));
    }
}

static void keep_warnings(struct api_set *s, const struct fp_model_resource *m, const char *pointer)
{
    for (size_t i = 0; i < m->warnings_n && json_array_size(s->warnings) < FP_PROBLEMS_MAX; i++) {
        const struct fp_model_warning *w = &m->warnings[i];
        const char *at =
            fp_arena_printf(s->c->r->arena, "%s%s", pointer, w->pointer ? w->pointer : "");
        json_array_append_new(s->warnings, json_pack("{s:s, s:s, s:s}", "code", w->code, "pointer",
                                                     at, "message", w->message));
    }
}

void api_set_put(struct api_set *s, struct fp_model_resource *m, struct fp_str source,
                 const char *pointer)
{
    bool ok = unique(s, m, pointer);
    if (!team_ok(s, m, pointer) || !ok || s->c->problems->total || s->forbidden)
        return;
    keep_refs(s, m, pointer);
    keep_warnings(s, m, pointer);
    if (s->apply.dry_run) {
        struct fp_str text = fp_arena_str(s->c->r->arena, m->configuration_text);
        fp_buf_append(&s->texts, &text, sizeof(text));
    }
    struct fp_store_write w = api_store_write(s->c, m);
    w.source = source;
    fp_store_apply_item(&s->items, s->n++, &w, false);
}

void api_set_delete(struct api_set *s, enum fp_kind kind, struct fp_str name)
{
    struct fp_store_write w = {.kind = kind, .name = name, .port = -1};
    struct fp_str none = FP_STR_NULL;
    if (s->apply.dry_run)
        fp_buf_append(&s->texts, &none, sizeof(none));
    fp_store_apply_item(&s->items, s->n++, &w, true);
}

/* ---- what is wrong with it */

/* The reference of that member to that name, in the body. */
static const char *ref_pointer(const struct api_set *s, int item, unsigned kinds,
                               struct fp_str name)
{
    const struct api_set_ref *refs = (const void *)s->refs.data;
    for (size_t i = 0; i < s->refs.len / sizeof(*refs); i++)
        if (refs[i].item == item && kinds & 1u << refs[i].kind && fp_str_eq(refs[i].name, name))
            return refs[i].pointer;
    return "";
}

static int tell_trouble(struct api_set *s, const struct fp_store_applied_row *row)
{
    struct fp_arena *a = s->c->r->arena;
    struct fp_problems *ps = s->c->problems;
    const char *kind = fp_kinds[row->kind].name;
    struct fp_str name = row->name;
    bool body = row->item >= 0 && !s->conflict_status; /* else there is nothing to point into */
    const char *at = body ? fp_pointer_push_index(a, "", (size_t)row->item) : "";
    switch (row->trouble) {
    case FP_TROUBLE_TAKEN:
        fp_problem_add(ps, body ? fp_pointer_push(a, at, FP_STR("name")) : "", FP_P_ALREADY_EXISTS,
                       "%s '%.*s' already exists", kind, FP_STR_ARG(name));
        return 409;
    case FP_TROUBLE_PROTECTED:
        fp_problem_add(ps, at, FP_P_PROTECTED, "%s '%.*s' is protected", kind, FP_STR_ARG(name));
        return 409;
    case FP_TROUBLE_TEAM:
        fp_problem_add(ps, body ? fp_pointer_push(a, at, FP_STR("team")) : "", FP_P_READ_ONLY,
                       "only an unscoped token may change the team of %s '%.*s'", kind,
                       FP_STR_ARG(name));
        return 403;
    case FP_TROUBLE_OWNED:
        fp_problem_add(ps, at, FP_P_PROTECTED,
                       "%s '%.*s' is owned by another source; force=true takes it over", kind,
                       FP_STR_ARG(name));
        return 409;
    case FP_TROUBLE_ADDRESS:
        fp_problem_add(ps, body ? fp_pointer_push(a, at, FP_STR("port")) : "", FP_P_ALREADY_EXISTS,
                       "%.*s is taken by another listener", FP_STR_ARG(row->detail));
        return 409;
    case FP_TROUBLE_MISSING:
        fp_problem_add(ps, body ? ref_pointer(s, row->item, MUST_EXIST, row->detail) : "",
                       FP_P_REFERENCE_NOT_FOUND,
                       "%s '%.*s' names '%.*s', which does not exist after this set", kind,
                       FP_STR_ARG(name), FP_STR_ARG(row->detail));
        return 400;
    case FP_TROUBLE_REFERENCED:
        fp_problem_add(ps, at, FP_P_STILL_REFERENCED, "%s '%.*s' is used by %.*s", kind,
                       FP_STR_ARG(name),
                       FP_STR_ARG(api_call_reads(s->c, row->detail)
                                      ? row->detail
                                      : FP_STR("a resource that this token may not read")));
        return 409;
    case FP_TROUBLE_GENERATED:
        fp_problem_add(ps, body ? fp_pointer_push(a, at, FP_STR("name")) : "", FP_P_ALREADY_EXISTS,
                       row->kind == FP_KIND_ENDPOINT
                           ? "a cluster generates the endpoint set '%.*s'"
                           : "the endpoint set that cluster '%.*s' generates exists as a row",
                       FP_STR_ARG(name));
        return 409;
    case FP_TROUBLE_N:
        break;
    }
    FP_UNREACHABLE();
}

/* A mistake of the body goes before what the token may not, and that before conflicts. */
static void trouble(struct api_set *s, const struct fp_store_applied *res)
{
    int status = 409;
    for (size_t i = 0; i < res->rows_n; i++) {
        struct fp_store_applied_row row;
        fp_store_applied_row(res, i, &row);
        int its = tell_trouble(s, &row);
        status = its < status ? its : status;
    }
    if (s->conflict_status)
        status = s->conflict_status;
    size_t n = s->c->problems->total;
    api_fail(s->c, status, NULL, s->c->problems, "%s%zu problem%s; nothing was changed",
             status == 403 ? "forbidden: " : "", n, n == 1 ? "" : "s");
}

static bool refused(struct api_set *s, const struct fp_store_applied *res)
{
    struct fp_api_call *c = s->c;
    switch (res->outcome) {
    case FP_APPLIED_DONE:
    case FP_APPLIED_UNCHANGED:
        return false;
    case FP_APPLIED_STALE:
        if (s->on_stale) {
            s->on_stale(c);
            return true;
        }
        fp_problem_add_parameter(c->problems, "ifRevision", FP_P_STALE_VERSION,
                                 "the current revision is %llu", (unsigned long long)res->revision);
        api_fail(c, 412, NULL, c->problems, "the configuration has changed since that revision");
        return true;
    case FP_APPLIED_TROUBLE:
        trouble(s, res);
        return true;
    case FP_APPLIED_REFUSED:
        api_fail(c, 500, NULL, NULL, "internal error");
        return true;
    case FP_APPLIED_UNAVAILABLE:
        api_fail_unavailable(c, "the database is not available");
        return true;
    }
    FP_UNREACHABLE();
}

/* ---- what was done */

/* Missing after the set, though it may be: a warning as of the members. */
static void tell_absent(struct api_set *s, const struct fp_store_applied *res)
{
    struct fp_arena *a = s->c->r->arena;
    for (size_t i = 0; i < res->absent_n && json_array_size(s->warnings) < FP_PROBLEMS_MAX; i++) {
        struct fp_store_applied_row row;
        fp_store_applied_absent(res, i, &row);
        struct fp_str name, word = fp_str_split(row.detail, '/', &name);
        enum fp_kind kind = fp_kind_by_name(word);
        json_array_append_new(
            s->warnings,
            json_pack("{s:s, s:s, s:s}", "code", "missing_reference", "pointer",
                      s->conflict_status ? "" : ref_pointer(s, row.item, 1u << kind, name),
                      "message", api_reference_text(a, kind, name)));
    }
}

static void headers(struct api_set *s, uint64_t revision)
{
    size_t i;
    json_t *w;
    api_header_number(s->c, "flowplane-revision", revision);
    json_array_foreach (s->warnings, i, w)
        if (i < API_WARNINGS_MAX)
            api_header_warn(s->c, json_string_value(json_object_get(w, "code")),
                            json_string_value(json_object_get(w, "message")));
}

static void write_row(struct fp_buf *b, const struct fp_store_applied_row *row)
{
    fp_buf_printf(b, "{\"kind\":\"%s\",\"name\":", fp_kinds[row->kind].name);
    fp_buf_append_json(b, row->name);
    fp_buf_printf(b, ",\"action\":\"%s\"", fp_store_step_names[row->step]);
}

static void answer(struct api_set *s, const struct fp_store_applied *res)
{
    struct fp_api_call *c = s->c;
    bool changed = res->outcome == FP_APPLIED_DONE;
    size_t counts[FP_STEP_N] = {0};
    struct fp_buf rows = {0}, b = {0};
    for (size_t i = 0; i < res->rows_n; i++) {
        struct fp_store_applied_row row;
        fp_store_applied_row(res, i, &row);
        counts[row.step]++;
        if (row.step != FP_STEP_UNCHANGED) {
            c->wait_kinds |= api_wait_kinds(row.kind);
            fp_metric_add(FP_METRIC_CONFIG_UPDATES, row.kind, row.step, 0, 1);
        }
        fp_buf_append_c(&rows, i ? "," : "");
        write_row(&rows, &row);
        if (row.version)
            fp_buf_printf(&rows, ",\"version\":%lld}", (long long)row.version);
        else
            fp_buf_append_c(&rows, ",\"version\":null}"); /* it was not there and is not */
    }
    fp_buf_printf(&b,
                  "{\"revision\":%llu,\"changed\":%s,\"summary\":{\"created\":%zu,\"updated\":%zu,"
                  "\"deleted\":%zu,\"unchanged\":%zu},\"results\":[",
                  (unsigned long long)res->revision, changed ? "true" : "false",
                  counts[FP_STEP_CREATE], counts[FP_STEP_UPDATE], counts[FP_STEP_DELETE],
                  counts[FP_STEP_UNCHANGED]);
    fp_buf_append_str(&b, fp_buf_str(&rows));
    fp_buf_append_c(&b, "]}");
    c->body = fp_arena_str(c->r->arena, fp_buf_str(&b));
    fp_buf_fini(&rows);
    fp_buf_fini(&b);
    c->status = 200;
    if (changed) /* one a row, and that of the set */
        fp_metric_add(FP_METRIC_AUDIT_WRITES, 0, 0, 0, 1 + res->rows_n - counts[FP_STEP_UNCHANGED]);
    headers(s, res->revision);
    fp_page_raise(&c->api->o.page->committed_revision, res->revision);
    api_wait_written(c, res->revision, changed);
}

/* ---- dry runs: the differences are made after the answer of the database, in slices */

struct api_set_dry {
    struct fp_store_applied_row *rows;
    size_t n, at;
    uint64_t revision;
    struct fp_arena *scratch;
    struct fp_buf body;
};

static void dry_free(void *arg)
{
    struct api_set_dry *d = arg;
    fp_buf_fini(&d->body);
}

static bool dry_step(void *arg)
{
    struct api_set *s = arg;
    struct api_set_dry *d = s->dry;
    if (d->at == d->n)
        return false;
    const struct fp_store_applied_row *row = &d->rows[d->at];
    struct fp_problems *none = fp_problems_new(d->scratch);
    const struct fp_str *texts = (const void *)s->texts.data;
    bool no_text = row->step == FP_STEP_DELETE || row->step == FP_STEP_UNCHANGED;
    json_t *was =
        row->was.data ? fp_json_parse(d->scratch, row->was, 2 * API_JSON_DEPTH, none) : NULL;
    json_t *is =
        no_text ? NULL : fp_json_parse(d->scratch, texts[row->item], 2 * API_JSON_DEPTH, none);
    fp_buf_append_c(&d->body, d->at ? "," : "");
    write_row(&d->body, row);
    if (row->from_version)
        fp_buf_printf(&d->body, ",\"fromVersion\":%lld,\"diff\":", (long long)row->from_version);
    else
        fp_buf_append_c(&d->body, ",\"fromVersion\":null,\"diff\":");
    json_t *diff = fp_json_diff(was, is);
    fp_json_write(&d->body, diff, false);
    json_decref(diff);
    fp_buf_append_byte(&d->body, '}');
    fp_arena_reset(d->scratch);
    d->at++;
    return true;
}

static void dry_done(void *arg)
{
    struct api_set *s = arg;
    fp_buf_append_c(&s->dry->body, "],\"warnings\":");
    fp_json_write(&s->dry->body, s->warnings, false);
    fp_buf_append_byte(&s->dry->body, '}');
    headers(s, s->dry->revision);
    api_respond(s->c, 200, &s->c->headers, fp_buf_str(&s->dry->body));
}

static void dry_answer(struct api_set *s, const struct fp_store_applied *res)
{
    struct fp_arena *a = s->c->r->arena;
    struct api_set_dry *d = FP_ARENA_NEW(a, struct api_set_dry);
    s->dry = d;
    d->n = res->rows_n;
    d->rows = fp_arena_alloc(a, (d->n + 1) * sizeof(*d->rows));
    d->revision = res->revision;
    d->scratch = fp_arena_new(a);
    fp_arena_cleanup(a, dry_free, d);
    for (size_t i = 0; i < d->n; i++) {
        fp_store_applied_row(res, i, &d->rows[i]);
        d->rows[i].name = fp_arena_str(a, d->rows[i].name);
        if (d->rows[i].was.data)
            d->rows[i].was = fp_arena_str(a, d->rows[i].was);
    }
    fp_buf_append_c(&d->body, "{\"dryRun\":true,\"changes\":[");
    s->slices = (struct api_slices){.c = s->c, .step = dry_step, .done = dry_done, .arg = s};
    api_slices_run(&s->slices);
}

static void applied(const struct fp_store_applied *res, void *arg)
{
    struct fp_api_call *c = arg;
    struct api_set *s = c->user;
    api_trace_db_end(c,
                     res->outcome == FP_APPLIED_REFUSED || res->outcome == FP_APPLIED_UNAVAILABLE);
    if (refused(s, res))
        return;
    tell_absent(s, res);
    if (s->apply.dry_run)
        dry_answer(s, res);
    else
        answer(s, res);
}

void api_set_send(struct api_set *s)
{
    struct fp_api_call *c = s->c;
    if (s->forbidden) {
        api_fail(c, 403, NULL, NULL, "forbidden: missing required scope");
        return;
    }
    if (c->problems->total && s->conflict_status) {
        api_fail(c, s->conflict_status, NULL, c->problems, "rows of then are not valid any more");
        return;
    }
    if (c->problems->total) {
        api_fail_problems(c);
        return;
    }
    for (const enum fp_kind *k = api_set_kinds; *k != FP_KIND_N; k++) {
        enum fp_auth_grant grant = fp_auth_scope(&c->token, api_set_scope(*k), "write");
        if (grant == FP_AUTH_TEAMS)
            s->apply.teams[*k].names = api_own_teams(c, api_set_scope(*k), &s->apply.teams[*k].n);
        if (grant == FP_AUTH_NONE)
            s->apply.prune[*k] = false;
    }
    s->apply.actor = api_write_actor(c);
    s->apply.items = &s->items;
    fp_store_apply(c->api->o.store, &s->apply, applied, c);
}
