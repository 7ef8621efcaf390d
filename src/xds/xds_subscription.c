/*
 * Interned sets of names, in workers.  Order and duplicates of a request are without meaning (S-9);
 * a set must never be changed after it is made.
 */
#include "xds/xds_subscription_int.h"
#include <stdlib.h>
#include "core/core_assert.h"
#include "core/core_mem.h"

void fp_xds_names_pool_fini(struct fp_xds_names_pool *p)
{
    FP_ASSERT(p->by_key.n == 0);
    fp_map_fini(&p->by_key);
    fp_buf_fini(&p->key);
    fp_mem_free(p->scratch);
    p->scratch = NULL;
}

static int by_name(const void *a, const void *b)
{
    return fp_str_cmp(*(const struct fp_str *)a, *(const struct fp_str *)b);
}

static struct fp_str *scratch(struct fp_xds_names_pool *p, size_t n)
{
    if (n > p->scratch_cap) {
        p->scratch = fp_mem_realloc(p->scratch, n * sizeof *p->scratch);
        p->scratch_cap = n;
    }
    return p->scratch;
}

static void make_key(struct fp_buf *key, bool wildcard, const struct fp_str *names, size_t n)
{
    fp_buf_clear(key);
    fp_buf_append_byte(key, wildcard);
    for (size_t i = 0; i < n; i++) {
        uint32_t len = (uint32_t)names[i].len;
        fp_buf_append(key, &len, sizeof len);
        fp_buf_append_str(key, names[i]);
    }
}

static struct fp_xds_names *make(struct fp_xds_names_pool *p, bool wildcard, size_t n)
{
    struct fp_xds_names *s = fp_mem_zalloc(sizeof *s + n * sizeof(struct fp_str) + p->key.len);
    struct fp_str *at = (struct fp_str *)(s + 1);
    char *bytes = (char *)(at + n);
    memcpy(bytes, p->key.data, p->key.len);
    *s = (struct fp_xds_names){
        .wildcard = wildcard,
        .n = (uint32_t)n,
        .id = ++p->last_id,
        .key = fp_str_n(bytes, p->key.len),
        .at = at,
        .pool = p,
    };
    const char *b = bytes + 1;
    for (size_t i = 0; i < n; i++) {
        uint32_t len;
        memcpy(&len, b, sizeof len);
        at[i] = fp_str_n(b + sizeof len, len);
        s->sum += fp_str_hash(at[i]);
        b += sizeof len + len;
    }
    fp_map_set(&p->by_key, s->key, s);
    return s;
}

/* names[] may be sorted and thinned here. */
static struct fp_xds_names *intern(struct fp_xds_names_pool *p, bool wildcard, struct fp_str *names,
                                   size_t n)
{
    if (n > 1)
        qsort(names, n, sizeof *names, by_name);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (!kept || !fp_str_eq(names[kept - 1], names[i]))
            names[kept++] = names[i];
    make_key(&p->key, wildcard, names, kept);
    struct fp_xds_names *s = fp_map_get(&p->by_key, fp_buf_str(&p->key));
    return fp_xds_names_ref(s ? s : make(p, wildcard, kept));
}

/* Most requests are ACKs that repeat the names: a sum of hashes tells so without sorting. */
static bool same(const struct fp_xds_names *s, const struct fp_xds_request *r, bool wildcard,
                 bool legacy)
{
    struct fp_str cursor = r->message, name;
    bool star = legacy && wildcard && !r->names_n;
    uint32_t n = 0;
    uint64_t sum = 0;
    while (fp_xds_request_name(&cursor, &name)) {
        if (wildcard && fp_str_eq_c(name, "*")) {
            star = true;
            continue;
        }
        n++;
        sum += fp_str_hash(name);
    }
    return s->n == n && s->sum == sum && s->wildcard == star;
}

struct fp_xds_names *fp_xds_names_of(struct fp_xds_names_pool *p, const struct fp_xds_request *r,
                                     bool wildcard, bool legacy, struct fp_xds_names *current)
{
    if (current && same(current, r, wildcard, legacy))
        return fp_xds_names_ref(current);
    struct fp_str cursor = r->message, name;
    struct fp_str *names = scratch(p, r->names_n);
    bool star = legacy && wildcard && !r->names_n;
    size_t n = 0;
    while (fp_xds_request_name(&cursor, &name))
        if (wildcard && fp_str_eq_c(name, "*"))
            star = true;
        else
            names[n++] = name;
    return intern(p, star, names, n);
}

struct fp_xds_names *fp_xds_names_intersect(struct fp_xds_names *a, struct fp_xds_names *b)
{
    struct fp_str *names = scratch(a->pool, a->n);
    size_t n = 0;
    for (uint32_t i = 0, j = 0; i < a->n && j < b->n;) {
        int c = fp_str_cmp(a->at[i], b->at[j]);
        if (c == 0)
            names[n++] = a->at[i];
        i += c <= 0;
        j += c >= 0;
    }
    return intern(a->pool, a->wildcard && b->wildcard, names, n);
}

struct fp_xds_names *fp_xds_names_ref(struct fp_xds_names *n)
{
    n->refs++;
    return n;
}

void fp_xds_names_unref(struct fp_xds_names **np)
{
    struct fp_xds_names *n = *np;
    *np = NULL;
    if (!n || --n->refs)
        return;
    fp_map_remove(&n->pool->by_key, n->key);
    fp_mem_free(n);
}

static bool named(const struct fp_xds_names *n, struct fp_str name)
{
    return n->n && bsearch(&name, n->at, n->n, sizeof *n->at, by_name);
}

bool fp_xds_names_has(const struct fp_xds_names *n, struct fp_str name)
{
    return n->wildcard || named(n, name);
}

bool fp_xds_names_gains(const struct fp_xds_names *a, const struct fp_xds_names *b)
{
    if (a == b)
        return false;
    if (b->wildcard && !a->wildcard)
        return true;
    for (uint32_t i = 0, j = 0; j < b->n;) {
        int c = i < a->n ? fp_str_cmp(a->at[i], b->at[j]) : 1;
        if (c > 0)
            return true;
        i++;
        j += c == 0;
    }
    return false;
}
