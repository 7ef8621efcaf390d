/*
 * Hash map: open addressing, linear probing, at most three quarters full, removal by shifting back
 * (no tombstones, so a long-lived map does not rot).
 */
#include "core/core_assert.h"
#include "core/core_map.h"
#include "core/core_mem.h"

enum { FIRST_SLOTS = 8 };

void fp_map_fini(struct fp_map *m)
{
    fp_mem_free(m->slots);
    *m = (struct fp_map){0};
}

/* The slot of key, or the empty one where it would go.  cap > n. */
static struct fp_map_slot *find(const struct fp_map *m, struct fp_str key)
{
    size_t i = fp_str_hash(key) & (m->cap - 1);
    while (m->slots[i].key.data && !fp_str_eq(m->slots[i].key, key))
        i = (i + 1) & (m->cap - 1);
    return &m->slots[i];
}

static void grow(struct fp_map *m)
{
    struct fp_map old = *m;
    m->cap = old.cap ? old.cap * 2 : FIRST_SLOTS;
    m->slots = fp_mem_calloc(m->cap, sizeof(*m->slots));
    FP_MAP_FOREACH (it, &old)
        *find(m, it->key) = *it;
    fp_mem_free(old.slots);
}

void *fp_map_get(const struct fp_map *m, struct fp_str key)
{
    return m->n && key.data ? find(m, key)->value : NULL; /* an empty slot has value NULL */
}

void *fp_map_set(struct fp_map *m, struct fp_str key, void *value)
{
    FP_ASSERT(key.data);
    if (m->n + 1 > m->cap / 4 * 3)
        grow(m);
    struct fp_map_slot *s = find(m, key);
    void *old = s->value;
    if (!s->key.data)
        m->n++;
    *s = (struct fp_map_slot){key, value};
    return old;
}

void *fp_map_remove(struct fp_map *m, struct fp_str key)
{
    if (!m->n || !key.data)
        return NULL;
    struct fp_map_slot *s = find(m, key);
    if (!s->key.data)
        return NULL;
    void *old = s->value;
    size_t mask = m->cap - 1, hole = (size_t)(s - m->slots);
    for (size_t i = (hole + 1) & mask; m->slots[i].key.data; i = (i + 1) & mask) {
        size_t home = fp_str_hash(m->slots[i].key) & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) { /* its probe path crosses the hole */
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole] = (struct fp_map_slot){0};
    m->n--;
    return old;
}
