/*
 * The descriptor pool: opening, look-ups by name and number.  Built by the master before it forks
 * (and by ctl); read by all.  Never changes after opening: workers share its pages.
 */
#include "core/core_assert.h"
#include "core/core_mem.h"
#include "pb/pb_load_int.h"

extern const unsigned char fp_pb_builtin_set[];
extern const size_t fp_pb_builtin_set_size;

static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
}

size_t fp_pb_camel(char out[FP_PB_NAME_MAX], const char *name, size_t len)
{
    size_t n = 0;
    bool up = false;
    for (size_t i = 0; i < len && n < FP_PB_NAME_MAX; i++) {
        if (name[i] == '_') {
            up = true;
            continue;
        }
        out[n++] = up ? upper(name[i]) : name[i];
        up = false;
    }
    return n;
}

struct fp_str fp_pb_field_json_name(const struct fp_pb_field *f, char buf[FP_PB_NAME_MAX])
{
    if (f->json)
        return fp_str_n(f->json, f->json_len);
    return fp_str_n(buf, fp_pb_camel(buf, f->name, f->name_len));
}

/* Both spellings of a field fold to the same hash: letters in lower case, no underscores. */
static uint32_t hash_field(uint32_t message, struct fp_str name)
{
    uint32_t h = 2166136261u ^ (message * 2654435761u);
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.data[i];
        if (c == '_')
            continue;
        h = (h ^ (c >= 'A' && c <= 'Z' ? c + 32u : c)) * 16777619u;
    }
    return h ^ h >> 15;
}

static uint32_t hash_type(struct fp_str name)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < name.len; i++)
        h = (h ^ (unsigned char)name.data[i]) * 16777619u;
    return h ^ h >> 15;
}

static struct fp_str type_name(const struct fp_pb_pool *p, uint32_t type)
{
    return type < p->messages_n ? p->messages[type].full_name
                                : p->enums[type - p->messages_n].full_name;
}

uint32_t fp_pb_pool_type(const struct fp_pb_pool *p, struct fp_str full_name)
{
    for (uint32_t i = hash_type(full_name) & p->type_mask; p->type_slots[i];
         i = (i + 1) & p->type_mask)
        if (fp_str_eq(type_name(p, p->type_slots[i] - 1), full_name))
            return p->type_slots[i] - 1;
    return UINT32_MAX;
}

const struct fp_pb_message *fp_pb_pool_message(const struct fp_pb_pool *pool,
                                               struct fp_str full_name)
{
    uint32_t t = fp_pb_pool_type(pool, full_name);
    return t < pool->messages_n ? &pool->messages[t] : NULL;
}

static bool is_named(const struct fp_pb_field *f, struct fp_str name)
{
    char buf[FP_PB_NAME_MAX];
    return fp_str_eq(fp_str_n(f->name, f->name_len), name) ||
           fp_str_eq(fp_pb_field_json_name(f, buf), name);
}

const struct fp_pb_field *fp_pb_field_by_name(const struct fp_pb_pool *p,
                                              const struct fp_pb_message *m, struct fp_str name)
{
    if (name.len > FP_PB_NAME_MAX)
        return NULL;
    uint32_t i = hash_field((uint32_t)(m - p->messages), name) & p->field_mask;
    for (; p->field_slots[i]; i = (i + 1) & p->field_mask) {
        uint32_t f = p->field_slots[i] - 1;
        if (f - m->first < m->fields_n && is_named(&p->fields[f], name))
            return &p->fields[f];
    }
    return NULL;
}

const struct fp_pb_field *fp_pb_field_by_number(const struct fp_pb_message *m, uint32_t number)
{
    if (number - 1 < m->fields_n && m->fields[number - 1].number == number)
        return &m->fields[number - 1]; /* most messages have no gaps */
    size_t lo = 0, hi = m->fields_n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (m->fields[mid].number < number)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < m->fields_n && m->fields[lo].number == number ? &m->fields[lo] : NULL;
}

static uint32_t *slots(struct fp_arena *a, uint32_t n, uint32_t *mask)
{
    uint32_t cap = 16;
    while (cap < n + n / 2)
        cap *= 2;
    *mask = cap - 1;
    return fp_arena_alloc(a, (size_t)cap * sizeof(uint32_t));
}

static void insert(uint32_t *table, uint32_t mask, uint32_t hash, uint32_t value)
{
    uint32_t i = hash & mask;
    while (table[i])
        i = (i + 1) & mask;
    table[i] = value + 1;
}

struct fp_str fp_pb_pool_index(struct fp_pb_pool *p)
{
    uint32_t types_n = p->messages_n + p->enums_n;
    p->type_slots = slots(p->arena, types_n, &p->type_mask);
    for (uint32_t t = 0; t < types_n; t++) {
        struct fp_str name = type_name(p, t);
        if (fp_pb_pool_type(p, name) != UINT32_MAX)
            return name;
        insert(p->type_slots, p->type_mask, hash_type(name), t);
    }
    uint32_t names_n = p->fields_n;
    for (uint32_t f = 0; f < p->fields_n; f++)
        names_n += p->fields[f].json != NULL;
    p->field_slots = slots(p->arena, names_n, &p->field_mask);
    for (uint32_t m = 0; m < p->messages_n; m++)
        for (uint32_t f = 0; f < p->messages[m].fields_n; f++) {
            const struct fp_pb_field *d = &p->messages[m].fields[f];
            insert(p->field_slots, p->field_mask, hash_field(m, fp_str_n(d->name, d->name_len)),
                   p->messages[m].first + f);
            if (d->json)
                insert(p->field_slots, p->field_mask, hash_field(m, fp_str_n(d->json, d->json_len)),
                       p->messages[m].first + f);
        }
    return FP_STR_NULL;
}

static int open_set(struct fp_pb_pool **out, struct fp_str set, bool copy, struct fp_arena *a,
                    const char **why)
{
    struct fp_arena *own = fp_arena_new(NULL);
    struct fp_pb_pool *p = FP_ARENA_NEW(own, struct fp_pb_pool);
    p->arena = own;
    if (copy)
        set = fp_arena_str(own, set);
    int err = fp_pb_pool_load(p, set, a, why);
    if (err) {
        fp_arena_free(&own);
        return err;
    }
    *out = p;
    return 0;
}

int fp_pb_pool_open(struct fp_pb_pool **out, struct fp_str file_descriptor_set, struct fp_arena *a,
                    const char **why)
{
    return open_set(out, file_descriptor_set, true, a, why);
}

int fp_pb_pool_builtin(struct fp_pb_pool **out)
{
    struct fp_arena *a = fp_arena_new(NULL);
    const char *why = NULL;
    int err = open_set(out, fp_str_n(fp_pb_builtin_set, fp_pb_builtin_set_size), false, a, &why);
    FP_ASSERT(err == 0); /* our own proto/, compiled with the program */
    fp_arena_free(&a);
    return 0;
}

void fp_pb_pool_free(struct fp_pb_pool **pool)
{
    if (!*pool)
        return;
    struct fp_arena *own = (*pool)->arena; /* the pool itself lives in it */
    *pool = NULL;
    fp_arena_free(&own);
}
