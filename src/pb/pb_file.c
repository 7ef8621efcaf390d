/*
 * The files of a pool: which one defines a name, for gRPC server reflection in workers; what there
 * is, for ctl.  Rare, so it searches instead of keeping an index.
 */
#include "pb/pb_rules_int.h"
#include "pb/pb_wire_int.h"

bool fp_pb_pool_file(const struct fp_pb_pool *pool, struct fp_str file_name, struct fp_str *bytes)
{
    for (uint32_t i = 0; i < pool->files_n; i++) {
        if (!fp_str_eq(pool->files[i].name, file_name))
            continue;
        *bytes = pool->files[i].bytes;
        return true;
    }
    return false;
}

static struct fp_str name_of(struct fp_str descriptor)
{
    struct fp_pb_wire w = fp_pb_wire_of(descriptor);
    struct fp_pb_item it;
    while (fp_pb_wire_next(&w, &it) > 0)
        if (it.number == 1)
            return it.bytes;
    return FP_STR_NULL;
}

/* Whether the file has the service: number 6 of a FileDescriptorProto. */
static bool has_service(const struct fp_pb_file *f, struct fp_str symbol)
{
    size_t skip = f->package.len ? f->package.len + 1 : 0;
    if (symbol.len <= skip || !fp_str_starts(symbol, f->package) ||
        (skip && symbol.data[skip - 1] != '.'))
        return false;
    struct fp_str name = fp_str_n(symbol.data + skip, symbol.len - skip);
    struct fp_pb_wire w = fp_pb_wire_of(f->bytes);
    struct fp_pb_item it;
    while (fp_pb_wire_next(&w, &it) > 0)
        if (it.number == 6 && fp_str_eq(name_of(it.bytes), name))
            return true;
    return false;
}

static const struct fp_pb_file *file_of(const struct fp_pb_pool *pool, struct fp_str symbol)
{
    uint32_t t = fp_pb_pool_type(pool, symbol);
    if (t != UINT32_MAX)
        return &pool->files[t < pool->messages_n ? pool->messages[t].file
                                                 : pool->enums[t - pool->messages_n].file];
    for (uint32_t i = 0; i < pool->files_n; i++)
        if (has_service(&pool->files[i], symbol))
            return &pool->files[i];
    return NULL;
}

bool fp_pb_pool_file_of_symbol(const struct fp_pb_pool *pool, struct fp_str symbol,
                               struct fp_str *bytes)
{
    const struct fp_pb_file *f = file_of(pool, symbol);
    const char *dot = symbol.data ? memrchr(symbol.data, '.', symbol.len) : NULL;
    if (!f && dot) /* a field, method or enum value: its owner's file */
        f = file_of(pool, fp_str_n(symbol.data, (size_t)(dot - symbol.data)));
    if (f)
        *bytes = f->bytes;
    return f != NULL;
}

struct fp_pb_pool_size fp_pb_pool_size(const struct fp_pb_pool *pool)
{
    struct fp_pb_pool_size s = {.files = pool->files_n,
                                .messages = pool->messages_n,
                                .fields = pool->fields_n,
                                .enums = pool->enums_n,
                                .table_bytes = fp_arena_bytes(pool->arena)};
    for (uint32_t i = 0; i < pool->files_n; i++)
        s.set_bytes += pool->files[i].bytes.len;
    for (uint32_t i = 0; i < pool->rules_n; i++)
        s.rules += pool->rules[i].op != FP_PB_RULE_END;
    return s;
}

struct fp_str fp_pb_pool_file_at(const struct fp_pb_pool *pool, size_t i, struct fp_str *package,
                                 size_t *messages)
{
    *package = pool->files[i].package;
    *messages = 0;
    for (uint32_t m = 0; m < pool->messages_n; m++)
        *messages += pool->messages[m].file == i && !pool->messages[m].map_entry;
    return pool->files[i].name;
}
