/*
 * The rows as last loaded, ready to be served.  Runs in the watcher.  A row that cannot be built
 * keeps its last good bytes and takes nothing else along (P18); a load is applied as a whole or not
 * at all.
 */
#include <unistd.h>
#include "codec/codec_hash.h"
#include "codec/codec_json.h"
#include "core/core_log.h"
#include "core/core_mem.h"
#include "pb/pb_json.h"
#include "snap/snap_token.h"
#include "watch/watch_int.h"

#define JSON_DEPTH     128 /* deeper than the API takes: rows may be edited by hand */
#define LOG_NAME_BYTES 200

/* Copies everything into one block, so that a row is freed at once. */
static struct watch_row *row_new(const struct watch_row *from)
{
    size_t bytes = sizeof(*from) + from->name.len + from->team.len + from->id.len + from->rest.len +
                   from->encoded.len + from->refs_n * sizeof(*from->refs);
    for (size_t i = 0; i < from->refs_n; i++)
        bytes += from->refs[i].name.len;
    struct watch_row *r = fp_mem_alloc(bytes);
    *r = *from;
    r->refs = (struct fp_ref *)(r + 1);
    char *at = (char *)(r->refs + r->refs_n);
    struct fp_str *own[] = {&r->name, &r->team, &r->id, &r->rest, &r->encoded};
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (!own[i]->data)
            continue;
        memcpy(at, own[i]->data, own[i]->len);
        own[i]->data = at;
        at += own[i]->len;
    }
    for (size_t i = 0; i < r->refs_n; i++) {
        struct fp_str name = from->refs[i].name;
        memcpy(at, name.data, name.len);
        r->refs[i] = (struct fp_ref){.kind = from->refs[i].kind, .name = fp_str_n(at, name.len)};
        at += name.len;
    }
    return r;
}

static void stage(struct watch_rows *rs, const struct watch_row *r)
{
    if (rs->staged_n == rs->staged_cap) {
        rs->staged_cap = rs->staged_cap ? rs->staged_cap * 2 : 64;
        rs->staged = fp_mem_realloc(rs->staged, rs->staged_cap * sizeof(*rs->staged));
    }
    rs->staged[rs->staged_n++] = row_new(r);
}

static void stage_token(struct watch_rows *rs, const struct fp_follow_row *row)
{
    static const struct {
        const char *name;
        int status;
    } states[] = {
        {"active", FP_TOKEN_ACTIVE}, {"revoked", FP_TOKEN_REVOKED}, {"expired", FP_TOKEN_EXPIRED}};
    struct fp_snap_token t = {.id = row->name,
                              .name = row->token_name,
                              .status = FP_TOKEN_REVOKED,
                              .expires_wall_ms = row->expires_wall_ms};
    struct fp_buf record = {0};
    struct fp_str scopes[256], rest = row->scopes;
    while (rest.len && t.scopes_n < sizeof(scopes) / sizeof(scopes[0]))
        scopes[t.scopes_n++] = fp_str_split(rest, '\0', &rest);
    t.scopes = scopes;
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
        if (fp_str_eq_c(row->status, states[i].name))
            t.status = states[i].status;
    if (row->secret_hash.len == sizeof(t.secret_hash))
        memcpy(t.secret_hash, row->secret_hash.data, sizeof(t.secret_hash));
    else
        t.status = FP_TOKEN_REVOKED; /* the table's CHECK does not let this in */
    fp_snap_token_encode(&record, &t);
    struct watch_row r = {.kind = FP_KIND_TOKEN,
                          .name = row->name,
                          .id = row->name,
                          .encoded = fp_buf_str(&record),
                          .version = row->version};
    stage(rs, &r);
    fp_buf_fini(&record);
}

static struct fp_str render(struct fp_arena *a, const struct fp_follow_row *row,
                            const json_t *configuration)
{
    struct fp_buf b = {0};
    struct fp_model_row m = {
        .id = row->id,
        .name = row->name,
        .team = row->team,
        .source = row->source,
        .form = row->form,
        .service_name = row->service_name,
        .created_at = row->created_at,
        .updated_at = row->updated_at,
        .version = row->version,
        .configuration = configuration,
    };
    fp_model_render(row->kind, &m, &b);
    struct fp_str text = fp_arena_str(a, fp_buf_str(&b));
    fp_buf_fini(&b);
    return text;
}

/* P18 survives a restart: the bytes an earlier watcher served for this very row. */
static bool last_good(struct watch_rows *rs, struct fp_arena *a, const struct fp_follow_row *row,
                      struct watch_row *r)
{
    struct fp_snap_meta meta;
    struct fp_snap_entry e, set;
    struct fp_buf encoded = {0};
    int fd;
    if (!rs->cache_tried && rs->state_dir && watch_cache_load(rs->state_dir, &fd, &meta) == FP_OK) {
        if (fp_snap_open(fd, &rs->cache) < 0)
            rs->cache = NULL;
        close(fd);
    }
    rs->cache_tried = true;
    if (!rs->cache || !fp_snap_find(rs->cache, row->kind, row->name, &e) || !e.rest.data ||
        !memmem(e.rest.data, e.rest.len, row->id.data, row->id.len))
        return false;
    struct fp_ref *refs = fp_arena_alloc(a, (e.refs_n + 1) * sizeof(*refs));
    fp_buf_append_str(&encoded, e.blob);
    for (uint32_t i = 0; i < e.refs_n; i++) {
        fp_snap_ref_at(rs->cache, &e, i, &refs[i].kind, &refs[i].name);
        /* the endpoint set that this cluster generated */
        if (refs[i].kind == FP_KIND_ENDPOINT &&
            fp_snap_find(rs->cache, FP_KIND_ENDPOINT, refs[i].name, &set) && !set.rest.data)
            fp_buf_append_str(&encoded, set.blob);
    }
    r->team = e.team;
    r->rest = e.rest;
    r->version = e.row_version;
    r->encoded = fp_arena_str(a, fp_buf_str(&encoded));
    r->refs = refs;
    r->refs_n = e.refs_n;
    fp_buf_fini(&encoded);
    return true;
}

static void cache_close(struct watch_rows *rs)
{
    fp_snap_unref(&rs->cache);
    rs->cache_tried = true;
}

static void stage_bad(struct watch_rows *rs, struct fp_arena *a, const struct fp_follow_row *row,
                      const struct fp_problems *ps)
{
    const struct watch_row *old = fp_map_get(&rs->kinds[row->kind], row->name);
    const struct fp_problem *p = ps->n ? &ps->items[0] : NULL;
    const char *pointer = p && p->pointer ? p->pointer : "";
    struct watch_row r = {
        .kind = row->kind, .name = row->name, .id = row->id, .version = row->version};
    if (old)
        r = *old;
    else
        last_good(rs, a, row, &r);
    r.bad = true;
    /* psql may have made any name of it */
    int shown_n = row->name.len < LOG_NAME_BYTES ? (int)row->name.len : LOG_NAME_BYTES;
    fp_log_warn(FP_LOG_SNAPSHOT, "%s '%.*s%s' cannot be built and %s: %s%s%s",
                fp_kinds[row->kind].name, shown_n, row->name.data,
                row->name.len > LOG_NAME_BYTES ? "…" : "",
                r.encoded.data ? "keeps its last good bytes" : "is left out", pointer,
                *pointer ? ": " : "", p ? p->message : "unknown reason");
    stage(rs, &r);
}

/* Stored bytes are served as they are when they are whole, of this or a newer encoder, and name
 * what the row names; anything else (edited by hand, an older encoder) is encoded here. */
static bool usable(const struct fp_follow_row *row)
{
    struct fp_str in = row->encoded, element, type_url, value;
    bool first = true;
    int err;
    if (!row->encoded.data || row->encoder_version < FP_MODEL_ENCODER_VERSION)
        return false;
    while ((err = fp_pb_element_next(&in, &element, &type_url, &value)) == FP_OK) {
        if (first && (!fp_str_eq_c(type_url, fp_kinds[row->kind].type_url) ||
                      !fp_str_eq(fp_pb_first_string(value), row->name)))
            return false;
        first = false;
    }
    return err == FP_ERR_NOT_FOUND && !first;
}

void watch_rows_stage(struct watch_rows *rs, const struct fp_model_options *o, struct fp_arena *a,
                      const struct fp_follow_row *row, struct watch_encoded *fresh)
{
    struct fp_model_resource m;
    *fresh = (struct watch_encoded){0};
    if (row->deleted) {
        struct watch_row r = {.kind = row->kind, .name = row->name, .deleted = true};
        stage(rs, &r);
        return;
    }
    if (row->kind == FP_KIND_TOKEN) {
        stage_token(rs, row);
        return;
    }
    struct fp_problems *ps = fp_problems_new(a);
    json_t *configuration = fp_json_parse(a, row->configuration, JSON_DEPTH, ps);
    struct watch_row r = {
        .kind = row->kind,
        .name = row->name,
        .team = row->team,
        .id = row->id,
        .encoded = row->encoded,
        .refs = (struct fp_ref *)row->refs, /* copied by stage */
        .refs_n = row->refs_n,
        .version = row->version,
    };
    if (!usable(row)) {
        memset(&m, 0, sizeof(m));
        if (!configuration || fp_model_parse_stored(row->kind, o, a, row->name, row->service_name,
                                                    row->form, configuration, ps, &m) != FP_OK) {
            stage_bad(rs, a, row, ps);
            return;
        }
        *fresh = (struct watch_encoded){
            .fresh = true, .encoded = m.encoded, .refs = m.refs, .refs_n = m.refs_n};
        memcpy(fresh->content_hash, m.content_hash, sizeof(m.content_hash));
        r.encoded = m.encoded;
        r.refs = m.refs;
        r.refs_n = m.refs_n;
    }
    if (!configuration) { /* jsonb that our parser refuses: too deep, a number beyond 64 bits */
        stage_bad(rs, a, row, ps);
        return;
    }
    r.rest = render(a, row, configuration);
    stage(rs, &r);
}

static void drop(struct watch_rows *rs, struct watch_row *r)
{
    fp_map_remove(&rs->kinds[r->kind], r->name);
    fp_mem_free(r);
}

static bool same(const struct watch_row *a, const struct watch_row *b)
{
    return a->version == b->version && a->bad == b->bad && fp_str_eq(a->id, b->id) &&
           fp_str_eq(a->encoded, b->encoded) && fp_str_eq(a->rest, b->rest) &&
           fp_str_eq(a->team, b->team);
}

/* The new row takes the old one's place; true when they differ. */
static bool put(struct watch_rows *rs, struct watch_row *r)
{
    struct fp_map *m = &rs->kinds[r->kind];
    struct watch_row *old = fp_map_get(m, r->name);
    bool changed = !old || !same(old, r);
    r->seen = rs->load;
    if (old) /* the map borrows the key: leave with the old row, come back with the new */
        drop(rs, old);
    fp_map_set(m, r->name, r);
    return changed;
}

static bool sweep(struct watch_rows *rs)
{
    bool changed = false;
    for (int k = 0; k < FP_KIND_N; k++) {
        size_t n = 0;
        struct watch_row **gone = fp_mem_calloc(rs->kinds[k].n + 1, sizeof(*gone));
        FP_MAP_FOREACH (it, &rs->kinds[k]) {
            struct watch_row *r = it->value;
            if (r->seen != rs->load)
                gone[n++] = r;
        }
        for (size_t i = 0; i < n; i++)
            drop(rs, gone[i]);
        changed |= n > 0;
        fp_mem_free(gone);
    }
    return changed;
}

bool watch_rows_commit(struct watch_rows *rs, bool full)
{
    bool changed = false;
    rs->load++;
    for (size_t i = 0; i < rs->staged_n; i++) {
        struct watch_row *r = rs->staged[i];
        if (!r->deleted) {
            changed |= put(rs, r);
            continue;
        }
        struct watch_row *old = fp_map_get(&rs->kinds[r->kind], r->name);
        if (old)
            drop(rs, old);
        changed |= old != NULL;
        fp_mem_free(r);
    }
    rs->staged_n = 0;
    cache_close(rs); /* from now on the rows themselves are the last good ones */
    return (full && sweep(rs)) || changed;
}

void watch_rows_abort(struct watch_rows *rs)
{
    for (size_t i = 0; i < rs->staged_n; i++)
        fp_mem_free(rs->staged[i]);
    rs->staged_n = 0;
}

void watch_rows_fini(struct watch_rows *rs)
{
    watch_rows_abort(rs);
    cache_close(rs);
    fp_mem_free(rs->staged);
    for (int k = 0; k < FP_KIND_N; k++) {
        FP_MAP_FOREACH (it, &rs->kinds[k])
            fp_mem_free(it->value);
        fp_map_fini(&rs->kinds[k]);
    }
}

size_t watch_rows_bad(const struct watch_rows *rs, int kind)
{
    size_t n = 0;
    FP_MAP_FOREACH (it, &rs->kinds[kind])
        n += ((struct watch_row *)it->value)->bad;
    return n;
}
