/*
 * From what a node says of itself, and its certificate, to its scope; in workers.  Node metadata is
 * the node's own word: it narrows what a node is sent and protects nothing.  Only a team from a
 * certificate must never be widened by it (I-9).
 */
#include "xds/xds_scope_int.h"
#include <stdlib.h>
#include "core/core_assert.h"
#include "core/core_buf.h"
#include "core/core_mem.h"

#define TEAM_MAX_BYTES 100 /* contract §4.5 */
#define PLACEHOLDER    "{team}"

/* ---- node.metadata ---- */

struct said { /* of node.metadata; borrowed */
    struct fp_str team;
    const Google__Protobuf__ListValue *allowlist;
    bool include_default;
};

static bool is(const Google__Protobuf__Value *v, Google__Protobuf__Value__KindCase kind)
{
    return v && v->kind_case == kind;
}

static struct fp_str text_of(const Google__Protobuf__Value *v)
{
    bool text = is(v, GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE) && *v->string_value;
    return text ? fp_str_of(v->string_value) : FP_STR_NULL;
}

/* Of equal keys the last one counts. */
static struct said read_metadata(const Google__Protobuf__Struct *metadata)
{
    struct said out = {.team = FP_STR_NULL};
    for (size_t i = 0; metadata && i < metadata->n_fields; i++) {
        const Google__Protobuf__Value *v = metadata->fields[i]->value;
        struct fp_str key = fp_str_of(metadata->fields[i]->key);
        if (fp_str_eq_c(key, "team"))
            out.team = text_of(v);
        else if (fp_str_eq_c(key, "listener_allowlist"))
            out.allowlist = is(v, GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE) ? v->list_value : NULL;
        else if (fp_str_eq_c(key, "include_default"))
            out.include_default = is(v, GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE) && v->bool_value;
    }
    return out;
}

/* The strings of the list; what is no string is passed over. */
static uint32_t strings_of(const Google__Protobuf__ListValue *list, struct fp_str *out)
{
    uint32_t n = 0;
    for (size_t i = 0; list && i < list->n_values; i++) {
        out[n] = text_of(list->values[i]);
        n += out[n].data != NULL;
    }
    return n;
}

struct fp_str fp_xds_scope_claimed_team(const Google__Protobuf__Struct *metadata)
{
    return read_metadata(metadata).team;
}

/* ---- certificates ---- */

/* A team is one label of the name: a wildcard over '/' or '.' would let
 * spiffe://d/team/a/b pass for a team that somebody else owns. */
static bool is_label(struct fp_str s)
{
    if (!s.len || s.len > TEAM_MAX_BYTES || !fp_str_is_utf8(s))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.data[i] <= 0x20 || strchr("/.:?#%", s.data[i]))
            return false;
    return true;
}

struct fp_str fp_xds_scope_san_team(const char *pattern, struct fp_str sans)
{
    const char *at = pattern ? strstr(pattern, PLACEHOLDER) : NULL;
    if (!at)
        return FP_STR_NULL;
    struct fp_str before = fp_str_n(pattern, (size_t)(at - pattern));
    struct fp_str after = fp_str_of(at + sizeof PLACEHOLDER - 1);
    while (sans.data) {
        struct fp_str name = fp_str_split(sans, '\n', &sans);
        if (name.len <= 4 || name.len - 4 < before.len + after.len)
            continue;
        name = fp_str_n(name.data + 4, name.len - 4); /* behind "URI:" or "DNS:" */
        if (!fp_str_starts(name, before) || !fp_str_ends(name, after))
            continue;
        struct fp_str team = fp_str_n(name.data + before.len, name.len - before.len - after.len);
        if (is_label(team))
            return team;
    }
    return FP_STR_NULL;
}

/* ---- interning ---- */

void fp_xds_scopes_fini(struct fp_xds_scopes *s)
{
    FP_ASSERT(s->by_key.n == 0);
    fp_map_fini(&s->by_key);
}

static int by_name(const void *a, const void *b)
{
    return fp_str_cmp(*(const struct fp_str *)a, *(const struct fp_str *)b);
}

static uint32_t sort_unique(struct fp_str *names, uint32_t n)
{
    uint32_t kept = 0;
    if (n > 1)
        qsort(names, n, sizeof *names, by_name);
    for (uint32_t i = 0; i < n; i++)
        if (!kept || !fp_str_eq(names[kept - 1], names[i]))
            names[kept++] = names[i];
    return kept;
}

static void put(struct fp_buf *key, struct fp_str s)
{
    uint32_t len = (uint32_t)s.len;
    fp_buf_append(key, &len, sizeof len);
    fp_buf_append_str(key, s);
}

static struct fp_str get(const char **at)
{
    uint32_t len;
    memcpy(&len, *at, sizeof len);
    struct fp_str s = fp_str_n(*at + sizeof len, len);
    *at += sizeof len + len;
    return s;
}

static struct fp_xds_scope *make(struct fp_xds_scopes *pool, const struct fp_xds_scope *like,
                                 struct fp_str key)
{
    size_t strings = like->listeners_n * sizeof(struct fp_str);
    struct fp_xds_scope *s = fp_mem_zalloc(sizeof *s + strings + key.len);
    struct fp_str *listeners = (struct fp_str *)(s + 1);
    char *bytes = (char *)(listeners + like->listeners_n);
    memcpy(bytes, key.data, key.len);
    *s = *like;
    s->refs = 0;
    s->pool = pool;
    s->key = fp_str_n(bytes, key.len);
    const char *at = bytes + 3; /* the flags */
    struct fp_str team = get(&at);
    s->team = like->team.data ? team : FP_STR_NULL;
    for (uint32_t i = 0; i < like->listeners_n; i++)
        listeners[i] = get(&at);
    s->listeners = listeners;
    fp_map_set(&pool->by_key, s->key, s);
    return s;
}

static struct fp_xds_scope *intern(struct fp_xds_scopes *pool, const struct fp_xds_scope *like)
{
    struct fp_buf key = {0};
    fp_buf_append_byte(&key, (uint8_t)like->kind);
    fp_buf_append_byte(&key, (uint8_t)(like->bound | like->include_default << 1));
    fp_buf_append_byte(&key, like->team.data != NULL);
    put(&key, like->team);
    for (uint32_t i = 0; i < like->listeners_n; i++)
        put(&key, like->listeners[i]);
    struct fp_xds_scope *s = fp_map_get(&pool->by_key, fp_buf_str(&key));
    if (!s)
        s = make(pool, like, fp_buf_str(&key));
    fp_buf_fini(&key);
    return fp_xds_scope_ref(s);
}

struct fp_xds_scope *fp_xds_scope_of(struct fp_xds_scopes *pool,
                                     const Google__Protobuf__Struct *metadata,
                                     struct fp_str certificate_team)
{
    struct said said = read_metadata(metadata);
    struct fp_str *names =
        fp_mem_calloc(said.allowlist ? said.allowlist->n_values + 1 : 1, sizeof *names);
    uint32_t n = strings_of(said.allowlist, names);
    struct fp_xds_scope like = {
        .kind = n ? FP_XDS_SCOPE_ALLOWLIST : FP_XDS_SCOPE_ALL,
        .team = certificate_team.data ? certificate_team : said.team,
        .bound = certificate_team.data != NULL,
        .listeners = names,
        .listeners_n = sort_unique(names, n),
    };
    if (like.kind == FP_XDS_SCOPE_ALL && like.team.data) {
        like.kind = FP_XDS_SCOPE_TEAM;
        like.include_default = said.include_default;
    }
    struct fp_xds_scope *s = intern(pool, &like);
    fp_mem_free(names);
    return s;
}

struct fp_xds_scope *fp_xds_scope_ref(struct fp_xds_scope *s)
{
    s->refs++;
    return s;
}

void fp_xds_scope_unref(struct fp_xds_scope **sp)
{
    struct fp_xds_scope *s = *sp;
    *sp = NULL;
    if (!s || --s->refs)
        return;
    fp_map_remove(&s->pool->by_key, s->key);
    fp_xds_view_unref(&s->view);
    fp_mem_free(s);
}

/* ---- views ---- */

static bool of_team(const struct fp_xds_scope *s, const struct fp_snap_entry *e)
{
    return e->team.data && fp_str_eq(e->team, s->team);
}

static void add_named(struct fp_xds_closure *c, const struct fp_xds_scope *s, struct fp_str name,
                      bool bound)
{
    struct fp_snap_entry e;
    if (fp_snap_find(fp_xds_closure_snap(c), FP_KIND_LISTENER, name, &e) &&
        (!bound || of_team(s, &e)))
        fp_xds_closure_add(c, FP_KIND_LISTENER, e.index);
}

/* Entries of the scope's team; or_none: those of no team too. */
static void add_team(struct fp_xds_closure *c, const struct fp_xds_scope *s, enum fp_kind kind,
                     bool or_none)
{
    const struct fp_snap *snap = fp_xds_closure_snap(c);
    for (uint32_t i = 0; i < fp_snap_count(snap, kind); i++) {
        struct fp_snap_entry e;
        fp_snap_at(snap, kind, i, &e);
        if (of_team(s, &e) || (or_none && !e.team.data))
            fp_xds_closure_add(c, kind, i);
    }
}

/* What a scope sees by itself; the rest is reached from it. */
static void add_roots(struct fp_xds_closure *c, const void *arg)
{
    const struct fp_xds_scope *s = arg;
    for (uint32_t i = 0; i < s->listeners_n; i++)
        add_named(c, s, s->listeners[i], s->bound);
    if (s->kind == FP_XDS_SCOPE_TEAM)
        add_team(c, s, FP_KIND_LISTENER, false);
    if (s->include_default)
        add_named(c, s, FP_STR(FP_XDS_DEFAULT_LISTENER), false);
    add_team(c, s, FP_KIND_RUNTIME, true);
}

struct fp_xds_view *fp_xds_scope_view(struct fp_xds_scope *s, struct fp_xds_view *all)
{
    if (s->kind == FP_XDS_SCOPE_ALL)
        return all;
    if (s->view && s->view->all == all)
        return s->view;
    fp_xds_view_unref(&s->view);
    s->view = fp_xds_view_scoped(all, add_roots, s);
    return s->view;
}
