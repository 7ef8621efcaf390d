/*
 * States and the changes between them, in workers.  Everything here is computed once for all
 * streams in the same situation.  A state must never be altered after it is made: streams compare
 * pointers.
 */
#include "xds/xds_state_int.h"
#include <stdlib.h>
#include "codec/codec_hash.h"
#include "core/core_assert.h"
#include "core/core_mem.h"
#include "xds/xds_isolate_int.h"
#include "xds/xds_response_int.h"

#define CACHE_MAX 16 /* changes or responses kept per state; the oldest goes */

static uint64_t last_id;

/* The set hash of the view, changed by what stands over it: contents decide alone (S-17). */
static void set_version(struct fp_xds_state *s)
{
    uint64_t term[4];
    struct fp_snap_entry e;
    memcpy(s->sum, fp_xds_view_set_hash(s->view, s->kind), sizeof s->sum);
    for (uint32_t i = 0; i < s->held_n; i++) {
        if (fp_xds_view_find(s->view, s->kind, s->held[i].entry.name, &e)) {
            fp_snap_set_term(&e, term);
            for (int j = 0; j < 4; j++)
                s->sum[j] -= term[j];
        }
        if (s->held[i].absent)
            continue;
        fp_snap_set_term(&s->held[i].entry, term);
        for (int j = 0; j < 4; j++)
            s->sum[j] += term[j];
    }
    fp_hex(s->version, s->sum, (FP_XDS_VERSION_BYTES - 1) / 2);
}

static struct fp_str key_of(const uint64_t key[FP_XDS_STATE_KEY_N])
{
    return fp_str_n(key, FP_XDS_STATE_KEY_N * sizeof *key);
}

static struct fp_xds_state *make(struct fp_xds_view *v, enum fp_kind kind,
                                 struct fp_xds_names *names, const uint64_t key[FP_XDS_STATE_KEY_N])
{
    struct fp_xds_state *s = fp_mem_zalloc(sizeof *s);
    s->refs = 1;
    s->kind = kind;
    s->id = ++last_id;
    memcpy(s->key, key, sizeof s->key);
    s->view = fp_xds_view_ref(v);
    s->names = fp_xds_names_ref(names);
    fp_list_init(&s->changes);
    fp_list_init(&s->responses);
    fp_map_set(&v->states, key_of(s->key), s);
    return s;
}

struct fp_xds_state *fp_xds_state_get(struct fp_xds_view *v, enum fp_kind kind,
                                      struct fp_xds_names *names)
{
    const uint64_t key[FP_XDS_STATE_KEY_N] = {(uint64_t)kind << 8, names->id};
    struct fp_xds_state *s = fp_map_get(&v->states, key_of(key));
    if (s)
        return fp_xds_state_ref(s);
    s = make(v, kind, names, key);
    set_version(s);
    return s;
}

static const struct fp_xds_held *find_held(const struct fp_xds_state *s, struct fp_str name)
{
    for (uint32_t lo = 0, hi = s->held_n; lo < hi;) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = fp_str_cmp(s->held[mid].entry.name, name);
        if (c == 0)
            return &s->held[mid];
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

static int by_entry_name(const void *a, const void *b)
{
    return fp_str_cmp(((const struct fp_xds_held *)a)->entry.name,
                      ((const struct fp_xds_held *)b)->entry.name);
}

static void hold(struct fp_xds_state *s, const struct fp_snap_entry *e, struct fp_xds_view *v,
                 bool absent)
{
    s->held[s->held_n++] =
        (struct fp_xds_held){.entry = *e, .view = fp_xds_view_ref(v), .absent = absent};
}

static void hold_all(struct fp_xds_state *s, const struct fp_xds_state *from,
                     const struct fp_xds_names *names)
{
    for (uint32_t i = 0; i < from->held_n; i++)
        if (fp_xds_names_has(names, from->held[i].entry.name))
            hold(s, &from->held[i].entry, from->held[i].view, from->held[i].absent);
    if (from->apart)
        s->apart = fp_xds_suspects_ref(from->apart);
}

static void seal(struct fp_xds_state *s)
{
    if (s->held_n)
        qsort(s->held, s->held_n, sizeof *s->held, by_entry_name);
    set_version(s);
}

struct fp_xds_view *fp_xds_state_view(const struct fp_xds_state *s, struct fp_str name)
{
    const struct fp_xds_held *h = find_held(s, name);
    return h ? h->view : s->view;
}

/* The first word of a key says what kind of state it is. */
enum { KEY_PLAIN, KEY_HELD, KEY_OVER, KEY_RESTRICTED, KEY_BEHIND };
static uint64_t key_kind(enum fp_kind kind, int what)
{
    return (uint64_t)kind << 8 | (uint64_t)what;
}

static struct fp_xds_view *extract(const struct fp_xds_view *v, enum fp_kind kind,
                                   const struct fp_snap_entry *e, bool with_blob)
{
    struct fp_snap *snap = fp_snap_extract(v->snap, kind, e, with_blob);
    struct fp_xds_view *x = fp_xds_view_new(snap);
    x->extract = true;
    fp_snap_unref(&snap);
    return x;
}

static bool hangs_on(enum fp_kind kind, enum fp_kind parent)
{
    const struct fp_xds_type *type = fp_xds_type_of(kind);
    return type && type->parent == parent;
}

static void extract_behind(struct fp_xds_view *x, const struct fp_xds_view *v, enum fp_kind kind,
                           const struct fp_snap_entry *e)
{
    x->behind = fp_mem_calloc((size_t)e->refs_n + 1, sizeof *x->behind);
    for (uint32_t i = 0; i < e->refs_n; i++) {
        enum fp_kind its_kind;
        struct fp_str name;
        struct fp_snap_entry found;
        fp_snap_ref_at(v->snap, e, i, &its_kind, &name);
        if (hangs_on(its_kind, kind) && fp_xds_view_find(v, its_kind, name, &found))
            x->behind[x->behind_n++] = extract(v, its_kind, &found, true);
    }
}

/* The entry by itself: while it drains, minutes, no generation stays mapped for it.  What is still
 * sent has what hangs on it with it. */
static void hold_extract(struct fp_xds_held *to, enum fp_kind kind, const struct fp_xds_held *h,
                         bool is_sent)
{
    *to = *h;
    if (h->view->extract) {
        fp_xds_view_ref(h->view);
        return;
    }
    to->view = extract(h->view, kind, &h->entry, is_sent);
    if (is_sent)
        extract_behind(to->view, h->view, kind, &h->entry);
    fp_snap_at(to->view->snap, kind, 0, &to->entry);
}

static void keep_past(struct fp_xds_state *s, const struct fp_xds_state *from,
                      const struct fp_xds_past *past)
{
    s->waits_n = past->waits_n;
    for (uint32_t i = 0; i < past->keep_n; i++) {
        struct fp_str name = past->keep[i].name;
        const struct fp_xds_held h = {.entry = past->keep[i],
                                      .view = fp_xds_state_view(from, name)};
        if (find_held(s->base, name))
            continue;
        if (past->waits_n)
            hold(s, &h.entry, h.view, false);
        else
            hold_extract(&s->held[s->held_n++], s->kind, &h, true);
        s->kept_n++;
    }
    s->draining = fp_mem_calloc((size_t)past->drain_n + 1, sizeof *s->draining);
    while (s->draining_n < past->drain_n) {
        uint32_t i = s->draining_n++;
        hold_extract(&s->draining[i], s->kind, &past->drain[i], false);
    }
}

struct fp_xds_state *fp_xds_state_get_held(struct fp_xds_state *base,
                                           const struct fp_xds_state *from,
                                           const struct fp_xds_past *past)
{
    const uint64_t key[FP_XDS_STATE_KEY_N] = {
        key_kind(base->kind, KEY_HELD) | (uint64_t)past->keep_n << 16 |
            (uint64_t)past->drain_n << 40,
        base->names->id,
        from->id,
        base->id,
        past->context[0],
        past->context[1],
        past->context[2],
        past->context[3],
    };
    struct fp_xds_state *s = fp_map_get(&base->view->states, key_of(key));
    if (s)
        return fp_xds_state_ref(s);
    s = make(base->view, base->kind, base->names, key);
    s->base = fp_xds_state_ref(base);
    s->held = fp_mem_calloc((size_t)base->held_n + past->keep_n + 1, sizeof *s->held);
    hold_all(s, base, base->names);
    keep_past(s, from, past);
    seal(s);
    return s;
}

/* What a held entry names, where that one came from; not when the state has it otherwise. */
static void hold_behind(struct fp_xds_state *s, struct fp_xds_view *from, struct fp_str name)
{
    struct fp_snap_entry e;
    if (!fp_xds_names_has(s->names, name) || find_held(s->base, name) ||
        fp_xds_view_find(s->view, s->kind, name, &e))
        return;
    if (fp_xds_view_find(from, s->kind, name, &e)) {
        hold(s, &e, from, false);
        return;
    }
    for (uint32_t i = 0; i < from->behind_n; i++)
        if (fp_xds_view_find(from->behind[i], s->kind, name, &e)) {
            hold(s, &e, from->behind[i], false);
            return;
        }
}

/* Two entries of the parent may name the same. */
static void thin(struct fp_xds_state *s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->held_n; i++)
        if (n && fp_str_eq(s->held[n - 1].entry.name, s->held[i].entry.name))
            fp_xds_view_unref(&s->held[i].view);
        else
            s->held[n++] = s->held[i];
    s->held_n = n;
}

struct fp_xds_state *fp_xds_state_get_behind(struct fp_xds_state *base,
                                             const struct fp_xds_state *parent)
{
    const uint64_t key[FP_XDS_STATE_KEY_N] = {key_kind(base->kind, KEY_BEHIND), base->names->id,
                                              base->id, parent->id};
    struct fp_xds_state *s = fp_map_get(&base->view->states, key_of(key));
    if (s)
        return fp_xds_state_ref(s);
    size_t most = base->held_n;
    for (uint32_t i = 0; i < parent->held_n; i++)
        most += parent->held[i].entry.refs_n;
    s = make(base->view, base->kind, base->names, key);
    s->base = fp_xds_state_ref(base);
    s->held = fp_mem_calloc(most + 1, sizeof *s->held);
    hold_all(s, base, base->names);
    for (uint32_t i = 0; i < parent->held_n; i++) {
        const struct fp_xds_held *h = &parent->held[i];
        for (uint32_t j = 0; j < h->entry.refs_n && !h->absent; j++) {
            enum fp_kind kind;
            struct fp_str name;
            fp_snap_ref_at(h->view->snap, &h->entry, j, &kind, &name);
            if (kind == s->kind)
                hold_behind(s, h->view, name);
        }
    }
    if (s->held_n)
        qsort(s->held, s->held_n, sizeof *s->held, by_entry_name);
    thin(s);
    seal(s);
    return s;
}

struct fp_xds_state *fp_xds_state_get_over(struct fp_xds_view *v, enum fp_kind kind,
                                           struct fp_xds_names *names,
                                           const struct fp_xds_state *acked,
                                           struct fp_xds_suspects *suspects,
                                           const struct fp_str *over, uint32_t over_n,
                                           const uint64_t sum[4])
{
    const uint64_t key[FP_XDS_STATE_KEY_N] = {
        key_kind(kind, KEY_OVER), names->id, acked ? acked->id : 0, sum[0], sum[1], sum[2], sum[3],
    };
    struct fp_xds_state *s = fp_map_get(&v->states, key_of(key));
    if (s)
        return fp_xds_state_ref(s);
    s = make(v, kind, names, key);
    s->held = fp_mem_calloc((size_t)over_n + 1, sizeof *s->held);
    s->apart = fp_xds_suspects_ref(suspects);
    for (uint32_t i = 0; i < over_n; i++) {
        struct fp_snap_entry e;
        if (acked && fp_xds_state_find(acked, over[i], &e))
            hold(s, &e, fp_xds_state_view(acked, over[i]), false);
        else
            hold(s, &(struct fp_snap_entry){.name = over[i]}, v, true);
    }
    seal(s);
    return s;
}

struct fp_xds_state *fp_xds_state_restrict(struct fp_xds_state *s, struct fp_xds_names *names)
{
    if (!s->held_n && !s->draining_n)
        return fp_xds_state_get(s->view, s->kind, names);
    const uint64_t key[FP_XDS_STATE_KEY_N] = {key_kind(s->kind, KEY_RESTRICTED), names->id, s->id};
    struct fp_xds_state *r = fp_map_get(&s->view->states, key_of(key));
    if (r)
        return fp_xds_state_ref(r);
    r = make(s->view, s->kind, names, key);
    r->held = fp_mem_calloc((size_t)s->held_n + 1, sizeof *r->held);
    r->kept_n = s->kept_n; /* about: it only says that something is kept */
    r->waits_n = s->waits_n;
    hold_all(r, s, names);
    if (!r->held_n)
        r->kept_n = r->waits_n = 0;
    r->draining = fp_mem_calloc((size_t)s->draining_n + 1, sizeof *r->draining);
    for (uint32_t i = 0; i < s->draining_n; i++)
        if (fp_xds_names_has(names, s->draining[i].entry.name))
            hold_extract(&r->draining[r->draining_n++], s->kind, &s->draining[i], false);
    seal(r);
    return r;
}

struct fp_xds_state *fp_xds_state_ref(struct fp_xds_state *s)
{
    s->refs++;
    return s;
}

static void drop_changes(struct fp_xds_state *s)
{
    struct fp_list *it;
    while ((it = fp_list_pop_front(&s->changes)))
        fp_mem_free(FP_CONTAINER(it, struct fp_xds_change, link));
}

void fp_xds_state_unref(struct fp_xds_state **sp)
{
    struct fp_xds_state *s = *sp;
    *sp = NULL;
    if (!s || --s->refs)
        return;
    fp_map_remove(&s->view->states, key_of(s->key));
    drop_changes(s);
    fp_xds_responses_drop(&s->responses);
    for (uint32_t i = 0; i < s->held_n; i++)
        fp_xds_view_unref(&s->held[i].view);
    fp_mem_free(s->held);
    for (uint32_t i = 0; i < s->draining_n; i++)
        fp_xds_view_unref(&s->draining[i].view);
    fp_mem_free(s->draining);
    fp_xds_state_unref(&s->base);
    fp_xds_suspects_unref(&s->suspects);
    fp_xds_suspects_unref(&s->apart);
    for (int k = 0; s->named && k < FP_KIND_N; k++)
        fp_map_fini(&s->named[k]);
    fp_mem_free(s->named);
    fp_xds_names_unref(&s->names);
    fp_xds_view_unref(&s->view);
    fp_mem_free(s);
}

bool fp_xds_state_find(const struct fp_xds_state *s, struct fp_str name, struct fp_snap_entry *out)
{
    if (!fp_xds_names_has(s->names, name))
        return false;
    const struct fp_xds_held *h = s->held_n ? find_held(s, name) : NULL;
    if (!h)
        return fp_xds_view_find(s->view, s->kind, name, out);
    *out = h->entry;
    return !h->absent;
}

/* The next entry that the view has, as it is in the state. */
static bool next_of_view(const struct fp_xds_state *s, uint64_t *pos, uint64_t n,
                         struct fp_snap_entry *out)
{
    while (*pos < n) {
        uint32_t i = (uint32_t)(*pos)++;
        if (s->names->wildcard)
            fp_xds_view_at(s->view, s->kind, i, out);
        else if (!fp_xds_view_find(s->view, s->kind, s->names->at[i], out))
            continue;
        const struct fp_xds_held *h = s->held_n ? find_held(s, out->name) : NULL;
        if (h && h->absent)
            continue;
        if (h)
            *out = h->entry;
        return true;
    }
    return false;
}

bool fp_xds_state_next(const struct fp_xds_state *s, uint64_t *pos, struct fp_snap_entry *out)
{
    uint64_t n = s->names->wildcard ? fp_xds_view_count(s->view, s->kind) : s->names->n;
    if (next_of_view(s, pos, n, out))
        return true;
    while (*pos - n < s->held_n) {
        const struct fp_xds_held *h = &s->held[(*pos)++ - n];
        if (h->absent || fp_xds_view_find(s->view, s->kind, h->entry.name, out))
            continue; /* it was among the view's */
        *out = h->entry;
        return true;
    }
    return false;
}

const struct fp_snap *fp_xds_state_snap(const struct fp_xds_state *s, const struct fp_snap_entry *e)
{
    const struct fp_xds_held *h = s->held_n ? find_held(s, e->name) : NULL;
    return h ? h->view->snap : s->view->snap;
}

/* ---- changes ---- */

struct collect { /* grows while a change is made */
    struct fp_snap_entry *at;
    uint32_t n, cap;
};

static void collect(struct collect *c, const struct fp_snap_entry *e)
{
    if (c->n == c->cap) {
        c->cap = c->cap ? c->cap * 2 : 16;
        c->at = fp_mem_realloc(c->at, c->cap * sizeof *c->at);
    }
    c->at[c->n++] = *e;
}

static bool same_bytes(const struct fp_snap_entry *a, const struct fp_snap_entry *b)
{
    return memcmp(a->hash, b->hash, FP_SNAP_HASH_BYTES) == 0;
}

/* One name, before and after. */
static void compare(const struct fp_xds_state *to, const struct fp_xds_state *from,
                    struct fp_str name, struct collect *changed, struct collect *removed)
{
    struct fp_snap_entry a, b;
    bool was = from && fp_xds_state_find(from, name, &a), is = fp_xds_state_find(to, name, &b);
    if (is && !(was && same_bytes(&a, &b)))
        collect(changed, &b);
    else if (was && !is)
        collect(removed, &a);
}

/* The name is not among the differences of the views. */
static bool views_agree(const struct fp_xds_state *a, const struct fp_xds_state *b,
                        struct fp_str name)
{
    struct fp_snap_entry x, y;
    if (a->view == b->view)
        return true;
    bool in_a = fp_xds_view_find(a->view, a->kind, name, &x);
    bool in_b = fp_xds_view_find(b->view, b->kind, name, &y);
    return in_a == in_b && (!in_a || same_bytes(&x, &y));
}

/* Same names: only what differs between the views, and what stands over them, can differ. */
static void compare_views(struct fp_xds_state *to, const struct fp_xds_state *from,
                          struct collect *changed, struct collect *removed)
{
    struct fp_snap_entry e;
    if (to->view != from->view) {
        const struct fp_xds_diff *d = fp_xds_view_diff(to->view, from->view, to->kind);
        for (uint32_t i = 0; i < d->changed_n; i++) {
            fp_xds_view_at(to->view, to->kind, d->changed[i], &e);
            compare(to, from, e.name, changed, removed);
        }
        for (uint32_t i = 0; i < d->removed_n; i++) {
            fp_xds_view_at(from->view, from->kind, d->removed[i], &e);
            compare(to, from, e.name, changed, removed);
        }
    }
    for (uint32_t i = 0; i < from->held_n; i++)
        if (views_agree(to, from, from->held[i].entry.name))
            compare(to, from, from->held[i].entry.name, changed, removed);
    for (uint32_t i = 0; i < to->held_n; i++) {
        struct fp_str name = to->held[i].entry.name;
        if (!find_held(from, name) && views_agree(to, from, name))
            compare(to, from, name, changed, removed);
    }
}

static void compare_all(struct fp_xds_state *to, const struct fp_xds_state *from,
                        struct collect *changed, struct collect *removed)
{
    struct fp_snap_entry e, other;
    for (uint64_t pos = 0; fp_xds_state_next(to, &pos, &e);)
        compare(to, from, e.name, changed, removed);
    for (uint64_t pos = 0; from && fp_xds_state_next(from, &pos, &e);)
        if (!fp_xds_state_find(to, e.name, &other))
            collect(removed, &e);
}

static bool same_content(const struct fp_xds_state *a, const struct fp_xds_state *b)
{
    return a == b || (a->names == b->names && !a->held_n && !b->held_n &&
                      memcmp(fp_xds_view_set_hash(a->view, a->kind),
                             fp_xds_view_set_hash(b->view, b->kind), FP_SNAP_HASH_BYTES) == 0);
}

static void trim(struct fp_list *changes)
{
    size_t n = 0;
    FP_LIST_FOREACH_SAFE (it, changes)
        if (++n > CACHE_MAX) {
            fp_list_remove(it);
            fp_mem_free(FP_CONTAINER(it, struct fp_xds_change, link));
        }
}

struct fp_xds_change *fp_xds_state_change(struct fp_xds_state *to, const struct fp_xds_state *from)
{
    static struct fp_xds_change none;
    if (from && same_content(to, from))
        return &none;
    FP_LIST_FOREACH (it, &to->changes) {
        struct fp_xds_change *c = FP_CONTAINER(it, struct fp_xds_change, link);
        if (c->from_id == (from ? from->id : 0))
            return c;
    }
    struct collect changed = {0}, removed = {0};
    if (from && from->names == to->names)
        compare_views(to, from, &changed, &removed);
    else
        compare_all(to, from, &changed, &removed);
    size_t bytes = sizeof(struct fp_snap_entry);
    struct fp_xds_change *c = fp_mem_zalloc(sizeof *c + ((size_t)changed.n + removed.n) * bytes);
    c->from_id = from ? from->id : 0;
    c->changed_n = changed.n;
    c->removed_n = removed.n;
    c->changed = (struct fp_snap_entry *)(c + 1);
    c->removed = c->changed + changed.n;
    if (changed.n)
        memcpy(c->changed, changed.at, changed.n * bytes);
    if (removed.n)
        memcpy(c->removed, removed.at, removed.n * bytes);
    fp_mem_free(changed.at);
    fp_mem_free(removed.at);
    fp_list_push_front(&to->changes, &c->link);
    trim(&to->changes);
    return c;
}

static char refers_by[] = {0, FP_XDS_REFERS_NOW, FP_XDS_REFERS_DRAINING, 3}; /* map values */

static void learn(struct fp_xds_state *s, const struct fp_snap *snap, const struct fp_snap_entry *e,
                  unsigned how)
{
    for (uint32_t i = 0; i < e->refs_n; i++) {
        enum fp_kind kind;
        struct fp_str name;
        fp_snap_ref_at(snap, e, i, &kind, &name);
        const char *known = fp_map_get(&s->named[kind], name);
        fp_map_set(&s->named[kind], name, &refers_by[(known ? *known : 0) | how]);
    }
}

static void learn_references(struct fp_xds_state *s)
{
    struct fp_snap_entry e;
    s->named = fp_mem_calloc(FP_KIND_N, sizeof *s->named);
    for (uint64_t pos = 0; fp_xds_state_next(s, &pos, &e);)
        learn(s, fp_xds_state_snap(s, &e), &e, FP_XDS_REFERS_NOW);
    for (uint32_t i = 0; i < s->draining_n; i++)
        learn(s, s->draining[i].view->snap, &s->draining[i].entry, FP_XDS_REFERS_DRAINING);
}

unsigned fp_xds_state_refers(struct fp_xds_state *s, enum fp_kind kind, struct fp_str name)
{
    if (!s->named)
        learn_references(s);
    const char *how = fp_map_get(&s->named[kind], name);
    return how ? (unsigned)*how : 0;
}
