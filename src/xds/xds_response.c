/*
 * Encoded answers, in workers: the bytes of a DiscoveryResponse without its nonce.  Field order on
 * the wire is free, so what is shared comes first and the nonce of the stream behind it.  An answer
 * must never outlive its mapping (it holds the views) nor hold a name twice (E-10).
 */
#include "xds/xds_response_int.h"
#include <stdlib.h>
#include "core/core_assert.h"
#include "core/core_mem.h"
#include "xds/xds_wire_int.h"

enum { /* DiscoveryResponse */
       RESP_VERSION = 1,
       RESP_TYPE_URL = 4,
       RESP_CONTROL_PLANE = 6,
};

#define CACHE_MAX  16           /* per state */
#define COPY_BYTES (16u << 10)  /* copied into one piece: cheaper than pieces of a mapping */
#define MANY_BYTES (256u << 10) /* the same when the pieces are many */
#define MANY_N     16

struct pieces { /* entries of an answer while it is made */
    struct fp_snap_entry *at;
    uint32_t n, cap;
};

static void add(struct pieces *p, const struct fp_snap_entry *e)
{
    if (p->n == p->cap) {
        p->cap = p->cap ? p->cap * 2 : 16;
        p->at = fp_mem_realloc(p->at, p->cap * sizeof *p->at);
    }
    p->at[p->n++] = *e;
}

static void release(struct fp_http_chunk *c)
{
    struct fp_xds_response *r = FP_CONTAINER(c, struct fp_xds_response, chunk);
    FP_ASSERT(!fp_list_linked(&r->link));
    for (uint32_t i = 0; i < r->views_n; i++)
        fp_xds_view_unref(&r->views[i]);
    fp_mem_free(r->views);
    fp_mem_free((char *)r->head.data);
    fp_mem_free(r->copy);
    fp_mem_free((void *)r->chunk.segments);
    fp_mem_free(r);
}

static void drop(struct fp_xds_response *r)
{
    fp_list_remove(&r->link);
    struct fp_http_chunk *c = &r->chunk;
    fp_http_chunk_unref(&c);
}

void fp_xds_responses_drop(struct fp_list *responses)
{
    FP_LIST_FOREACH_SAFE (it, responses)
        drop(FP_CONTAINER(it, struct fp_xds_response, link));
}

static struct fp_xds_response *find(struct fp_xds_state *to, bool whole, const uint64_t key[3])
{
    FP_LIST_FOREACH (it, &to->responses) {
        struct fp_xds_response *r = FP_CONTAINER(it, struct fp_xds_response, link);
        if (r->whole == whole && memcmp(r->key, key, sizeof r->key) == 0)
            return r;
    }
    return NULL;
}

static struct fp_str encode_head(const struct fp_xds_state *to, struct fp_str control_plane)
{
    struct fp_buf head = {0}, id = {0};
    fp_xds_wire_bytes(&head, RESP_VERSION, fp_str_of(to->version));
    fp_xds_wire_bytes(&head, RESP_TYPE_URL, fp_str_of(fp_kinds[to->kind].type_url));
    fp_xds_wire_bytes(&id, 1, control_plane);
    fp_xds_wire_bytes(&head, RESP_CONTROL_PLANE, fp_buf_str(&id));
    fp_buf_fini(&id);
    return fp_str_n(head.data, head.len);
}

/* Neighbours in the mapping become one segment; a whole set of a generation is a single one. */
static uint32_t join(struct fp_str *segments, struct fp_str head, const struct pieces *p)
{
    uint32_t n = 0;
    segments[n++] = head;
    for (uint32_t i = 0; i < p->n; i++) {
        struct fp_str blob = p->at[i].blob, *last = &segments[n - 1];
        if (n > 1 && last->data + last->len == blob.data)
            last->len += blob.len;
        else
            segments[n++] = blob;
    }
    return n;
}

static void copy_small(struct fp_xds_response *r, struct fp_str *segments)
{
    if (r->chunk.bytes > COPY_BYTES &&
        (r->chunk.segments_n < MANY_N || r->chunk.bytes > MANY_BYTES))
        return;
    r->copy = fp_mem_alloc(r->chunk.bytes);
    size_t at = 0;
    for (uint32_t i = 0; i < r->chunk.segments_n; i++) {
        memcpy(r->copy + at, segments[i].data, segments[i].len);
        at += segments[i].len;
    }
    segments[0] = fp_str_n(r->copy, at);
    r->chunk.segments_n = 1;
}

static void hold_views(struct fp_xds_response *r, const struct fp_xds_state *to)
{
    r->views = fp_mem_calloc(1 + (size_t)to->held_n, sizeof *r->views);
    r->views[r->views_n++] = fp_xds_view_ref(to->view);
    for (uint32_t i = 0; i < to->held_n; i++)
        r->views[r->views_n++] = fp_xds_view_ref(to->held[i].view);
}

static struct fp_xds_response *make(struct fp_xds_state *to, bool whole, const uint64_t key[3],
                                    const struct pieces *p, struct fp_str control_plane)
{
    struct fp_xds_response *r = fp_mem_zalloc(sizeof *r);
    r->chunk.refs = 1;
    r->chunk.release = release;
    r->whole = whole;
    memcpy(r->key, key, sizeof r->key);
    r->entries_n = p->n;
    r->head = encode_head(to, control_plane);
    struct fp_str *segments = fp_mem_calloc(1 + (size_t)p->n, sizeof *segments);
    r->chunk.segments = segments;
    r->chunk.segments_n = join(segments, r->head, p);
    for (uint32_t i = 0; i < r->chunk.segments_n; i++)
        r->chunk.bytes += segments[i].len;
    copy_small(r, segments);
    if (!r->copy)
        hold_views(r, to);
    fp_list_push_front(&to->responses, &r->link);
    size_t n = 0;
    FP_LIST_FOREACH_SAFE (it, &to->responses)
        if (++n > CACHE_MAX)
            drop(FP_CONTAINER(it, struct fp_xds_response, link));
    return r;
}

struct fp_xds_response *fp_xds_response_whole(struct fp_xds_state *to, struct fp_str control_plane)
{
    static const uint64_t key[3];
    struct fp_xds_response *r = find(to, true, key);
    if (r)
        return r;
    struct pieces p = {0};
    struct fp_snap_entry e;
    for (uint64_t pos = 0; fp_xds_state_next(to, &pos, &e);)
        add(&p, &e);
    r = make(to, true, key, &p, control_plane);
    fp_mem_free(p.at);
    return r;
}

/* The dependants of one changed parent entry that the stream subscribes to. */
static void add_dependants(struct pieces *p, const struct fp_xds_state *to,
                           const struct fp_xds_state *parent, const struct fp_snap_entry *changed)
{
    const struct fp_snap *snap = fp_xds_state_snap(parent, changed);
    for (uint32_t i = 0; i < changed->refs_n; i++) {
        enum fp_kind kind;
        struct fp_str name;
        struct fp_snap_entry e;
        fp_snap_ref_at(snap, changed, i, &kind, &name);
        if (kind == to->kind && fp_xds_state_find(to, name, &e))
            add(p, &e);
    }
}

static int by_name(const void *a, const void *b)
{
    return fp_str_cmp(((const struct fp_snap_entry *)a)->name,
                      ((const struct fp_snap_entry *)b)->name);
}

static void unique(struct pieces *p)
{
    if (p->n < 2)
        return;
    qsort(p->at, p->n, sizeof *p->at, by_name);
    uint32_t kept = 1;
    for (uint32_t i = 1; i < p->n; i++)
        if (!fp_str_eq(p->at[kept - 1].name, p->at[i].name))
            p->at[kept++] = p->at[i];
    p->n = kept;
}

struct fp_xds_response *fp_xds_response_part(struct fp_xds_state *to,
                                             const struct fp_xds_state *from,
                                             struct fp_xds_state *parent_to,
                                             const struct fp_xds_state *parent_from,
                                             struct fp_str control_plane)
{
    const uint64_t key[3] = {
        from ? from->id : 0,
        parent_from ? parent_from->id : 0,
        parent_to ? parent_to->id : 0,
    };
    struct fp_xds_response *r = find(to, false, key);
    if (r)
        return r;
    struct pieces p = {0};
    const struct fp_xds_change *c = fp_xds_state_change(to, from);
    for (uint32_t i = 0; i < c->changed_n; i++)
        add(&p, &c->changed[i]);
    if (parent_to && from) { /* without `from` everything is in already */
        const struct fp_xds_change *pc = fp_xds_state_change(parent_to, parent_from);
        for (uint32_t i = 0; i < pc->changed_n; i++)
            add_dependants(&p, to, parent_to, &pc->changed[i]);
    }
    unique(&p);
    r = make(to, false, key, &p, control_plane);
    fp_mem_free(p.at);
    return r;
}
