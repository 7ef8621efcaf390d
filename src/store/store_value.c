/*
 * Parameters and cells in PostgreSQL's binary formats.  Runs in workers and the watcher.  Cells
 * come from our own database, yet no length in them is trusted.
 */
#include <endian.h>
#include <inttypes.h>
#include "core/core_assert.h"
#include "store/store_int.h"

#define PG_EPOCH_MS 946684800000 /* 2000-01-01T00:00:00Z, what timestamptz counts from */

static void add(struct store_params *p, const char *data, size_t len, int format)
{
    FP_ASSERT(p->n < STORE_PARAMS_MAX && len <= INT32_MAX);
    p->values[p->n] = data;
    p->lengths[p->n] = (int)len;
    p->formats[p->n++] = format;
}

void store_param_text(struct store_params *p, struct fp_str s)
{
    add(p, s.data, s.len, 1);
}

void store_param_bytes(struct store_params *p, struct fp_str s)
{
    add(p, s.data, s.len, 1);
}

/* As text: jsonb's binary format would need a version byte in front. */
void store_param_json(struct store_params *p, struct fp_arena *a, struct fp_str s)
{
    add(p, s.data ? fp_arena_str(a, s).data : NULL, s.len, 0);
}

void store_param_i64(struct store_params *p, struct fp_arena *a, int64_t v)
{
    add(p, fp_arena_printf(a, "%" PRId64, v), 0, 0);
}

void store_param_uuid(struct store_params *p, const uint8_t uuid[16])
{
    add(p, (const char *)uuid, 16, 1);
}

struct fp_str store_cell(const PGresult *r, int row, int col)
{
    if (PQgetisnull(r, row, col))
        return FP_STR_NULL;
    return fp_str_n(PQgetvalue(r, row, col), (size_t)PQgetlength(r, row, col));
}

static int32_t be32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return (int32_t)be32toh(v);
}

int64_t store_cell_i64(const PGresult *r, int row, int col)
{
    struct fp_str s = store_cell(r, row, col);
    uint64_t v;
    if (s.len == 4)
        return be32((const uint8_t *)s.data);
    if (s.len != 8)
        return 0;
    memcpy(&v, s.data, sizeof(v));
    return (int64_t)be64toh(v);
}

bool store_cell_bool(const PGresult *r, int row, int col)
{
    struct fp_str s = store_cell(r, row, col);
    return s.len == 1 && s.data[0];
}

int64_t store_cell_wall_ms(const PGresult *r, int row, int col)
{
    struct fp_str s = store_cell(r, row, col);
    if (s.len != 8)
        return 0;
    int64_t us = store_cell_i64(r, row, col); /* "infinity" is far beyond any text we print */
    return us / 1000 - (us % 1000 < 0) + PG_EPOCH_MS;
}

/* int32 dimensions, flags, element type; per dimension int32 length, lower bound; elements as int32
 * length (-1: null) and bytes. */
struct store_array store_array_open(struct fp_str cell)
{
    struct store_array a = {0};
    if (cell.len < 20 || be32((const uint8_t *)cell.data) != 1)
        return a; /* an empty array has no dimensions */
    int32_t n = be32((const uint8_t *)cell.data + 12);
    a.p = (const uint8_t *)cell.data + 20;
    a.end = (const uint8_t *)cell.data + cell.len;
    a.left = n > 0 ? (size_t)n : 0;
    return a;
}

bool store_array_next(struct store_array *a, struct fp_str *out)
{
    while (a->left > 0 && a->end - a->p >= 4) {
        int32_t len = be32(a->p);
        a->p += 4;
        a->left--;
        if (len < 0)
            continue; /* null */
        if (len > a->end - a->p)
            break;
        *out = fp_str_n(a->p, (size_t)len);
        a->p += len;
        return true;
    }
    a->left = 0;
    return false;
}

/* Class 57P, 08, 53: the server goes, comes or is full.  42P01, 42883: it has no schema yet. */
enum store_verdict store_verdict(const char *state)
{
    static const struct {
        const char *prefix;
        enum store_verdict verdict;
    } table[] = {
        {"40001", STORE_RETRY}, {"40P01", STORE_RETRY}, {"25006", STORE_READ_ONLY},
        {"55P03", STORE_AWAY},  {"57014", STORE_AWAY},  {"57P", STORE_AWAY},
        {"08", STORE_AWAY},     {"53", STORE_AWAY},     {"42P01", STORE_AWAY},
        {"42883", STORE_AWAY},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (strncmp(state, table[i].prefix, strlen(table[i].prefix)) == 0)
            return table[i].verdict;
    return STORE_REFUSE;
}
