/* JSON difference.  Runs in any process; no I/O.  Values are shared by reference, never changed. */
#include "codec/codec_diff.h"
#include "core/core_arena.h"
#include "core/core_problem.h"

struct diff {
    struct fp_arena *arena; /* pointers while walking */
    json_t *out;
};

static void walk(struct diff *d, const char *path, const json_t *from, const json_t *to);

static void tell(struct diff *d, const char *op, const char *path, const json_t *from,
                 const json_t *to)
{
    json_t *item = json_object();
    json_object_set_new(item, "op", json_string(op));
    json_object_set_new(item, "path", json_string(path));
    if (from)
        json_object_set(item, "from", (json_t *)from);
    if (to)
        json_object_set(item, "value", (json_t *)to);
    json_array_append_new(d->out, item);
}

static void walk_object(struct diff *d, const char *path, const json_t *from, const json_t *to)
{
    json_t *all = json_copy((json_t *)from); /* the union of the keys, in insertion order */
    const char *key;
    json_t *v;
    json_object_update_missing(all, (json_t *)to);
    json_object_foreach (all, key, v)
        walk(d, fp_pointer_push(d->arena, path, fp_str_of(key)), json_object_get(from, key),
             json_object_get(to, key));
    json_decref(all);
}

static void walk_array(struct diff *d, const char *path, const json_t *from, const json_t *to)
{
    size_t a = json_array_size(from), b = json_array_size(to);
    for (size_t i = 0; i < a && i < b; i++)
        walk(d, fp_pointer_push_index(d->arena, path, i), json_array_get(from, i),
             json_array_get(to, i));
    for (size_t i = a; i < b; i++)
        tell(d, "add", fp_pointer_push_index(d->arena, path, i), NULL, json_array_get(to, i));
    for (size_t i = a; i > b; i--) /* from the end, so that each pointer still holds */
        tell(d, "remove", fp_pointer_push_index(d->arena, path, i - 1), json_array_get(from, i - 1),
             NULL);
}

static void walk(struct diff *d, const char *path, const json_t *from, const json_t *to)
{
    if (!from || !to) {
        if (from || to)
            tell(d, from ? "remove" : "add", path, from, to);
    } else if (json_is_object(from) && json_is_object(to)) {
        walk_object(d, path, from, to);
    } else if (json_is_array(from) && json_is_array(to)) {
        walk_array(d, path, from, to);
    } else if (!json_equal(from, to)) {
        tell(d, "replace", path, from, to);
    }
}

json_t *fp_json_diff(const json_t *from, const json_t *to)
{
    struct diff d = {.arena = fp_arena_new(NULL), .out = json_array()};
    walk(&d, "", from, to);
    fp_arena_free(&d.arena);
    return d.out;
}
