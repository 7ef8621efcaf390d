/*
 * From rows to a sealed segment.  Runs in the watcher.  Rows go in by name, so that what a
 * collision leaves out is the same on every instance.
 */
#include <stdlib.h>
#include "codec/codec_json.h"
#include "core/core_log.h"
#include "core/core_mem.h"
#include "pb/pb_json.h"
#include "watch/watch_int.h"

struct build {
    struct fp_snap_builder *builder;
    const struct fp_pb_pool *pool;
    int err;
};

static int by_name(const void *a, const void *b)
{
    return fp_str_cmp((*(struct watch_row *const *)a)->name, (*(struct watch_row *const *)b)->name);
}

/* Rows of one kind in name order; free with fp_mem_free. */
static struct watch_row **sorted(const struct fp_map *m)
{
    struct watch_row **rows = fp_mem_calloc(m->n + 1, sizeof(*rows));
    size_t n = 0;
    FP_MAP_FOREACH (it, m)
        rows[n++] = it->value;
    qsort(rows, n, sizeof(*rows), by_name);
    return rows;
}

/* Rows outlive the build: nothing is copied.  true when it is in; a name that is there already is
 * left out and told (E-10). */
static bool add(struct build *b, enum fp_kind kind, const struct fp_snap_entry *e)
{
    int err = fp_snap_builder_lend(b->builder, kind, e);
    if (err < 0 && err != FP_ERR_INVALID)
        b->err = err;
    return err == FP_OK;
}

/* A generated element goes under its own name and kind, without a REST form. */
static void add_generated(struct build *b, const struct watch_row *r, struct fp_str element,
                          struct fp_str type_url, struct fp_str value)
{
    enum fp_kind kind = fp_kind_by_type_url(type_url);
    struct fp_snap_entry e = {.name = fp_pb_first_string(value), .team = r->team, .blob = element};
    if (kind == FP_KIND_N || !e.name.data)
        fp_log_error(FP_LOG_SNAPSHOT, "%s '%.*s' holds a generated element of no known kind",
                     fp_kinds[r->kind].name, FP_STR_ARG(r->name));
    else if (!add(b, kind, &e))
        fp_log_warn(
            FP_LOG_SNAPSHOT, "%s '%.*s': generated %s '%.*s' is left out, the name is taken",
            fp_kinds[r->kind].name, FP_STR_ARG(r->name), fp_kinds[kind].name, FP_STR_ARG(e.name));
}

static void add_row(struct build *b, const struct watch_row *r)
{
    struct fp_str in = r->encoded, element, type_url, value;
    struct fp_snap_entry e = {
        .name = r->name,
        .team = r->team,
        .rest = r->rest,
        .row_version = r->version,
        .refs = r->refs,
        .refs_n = (uint32_t)r->refs_n,
    };
    if (!r->encoded.data) /* bad from the start */
        return;
    if (r->kind == FP_KIND_TOKEN) {
        e.blob = r->encoded;
        add(b, r->kind, &e);
        return;
    }
    for (bool first = true; fp_pb_element_next(&in, &element, &type_url, &value) == FP_OK;
         first = false) {
        e.blob = element;
        if (!first)
            add_generated(b, r, element, type_url, value);
        else if (!add(b, r->kind, &e))
            fp_log_warn(FP_LOG_SNAPSHOT, "%s '%.*s' is left out: a cluster generates that name",
                        fp_kinds[r->kind].name, FP_STR_ARG(r->name));
    }
}

/* A cluster of type EDS without an endpoint set gets an empty one: silence would stall it (O-13).
 */
static void add_empty_sets(struct build *b, const struct watch_row *r, struct fp_arena *a)
{
    for (size_t i = 0; i < r->refs_n; i++) {
        struct fp_buf element = {0};
        struct fp_str name = r->refs[i].name;
        if (r->refs[i].kind != FP_KIND_ENDPOINT ||
            fp_snap_builder_has(b->builder, FP_KIND_ENDPOINT, name)) /* the usual case */
            continue;
        json_t *v = fp_json_own(a, json_object());
        json_object_set_new(v, "clusterName", json_stringn(name.data, name.len));
        if (fp_pb_element(b->pool, fp_kinds[FP_KIND_ENDPOINT].message, v, "", fp_problems_new(a),
                          &element) == FP_OK) {
            struct fp_snap_entry e = {
                .name = name, .team = r->team, .blob = fp_arena_str(a, fp_buf_str(&element))};
            add(b, FP_KIND_ENDPOINT, &e);
        }
        fp_buf_fini(&element);
    }
}

int watch_build(const struct watch_rows *rs, const struct fp_pb_pool *pool,
                const struct fp_snap_meta *meta, int *fd)
{
    struct build b = {.builder = fp_snap_builder_new(), .pool = pool};
    struct fp_arena *made = fp_arena_new(NULL); /* what no row holds */
    /* clusters first: the endpoint sets they generate win over rows of that name (contract §5.2.2)
     */
    for (int k = 0; k < FP_KIND_N; k++) {
        struct watch_row **rows = sorted(&rs->kinds[k]);
        for (size_t i = 0; rows[i]; i++)
            add_row(&b, rows[i]);
        fp_mem_free(rows);
    }
    FP_MAP_FOREACH (it, &rs->kinds[FP_KIND_CLUSTER])
        add_empty_sets(&b, it->value, made);
    int err = b.err ? b.err : fp_snap_builder_finish(b.builder, meta, fd);
    fp_snap_builder_free(&b.builder);
    fp_arena_free(&made);
    return err;
}
