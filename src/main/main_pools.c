/*
 * The descriptor pools of a generation, made by the master before it forks: watcher and workers
 * share the pages, and a set that is no good fails the start or the reload, not a process.  Also
 * -t.
 */
#include "core/core_kind.h"
#include "os/os_file.h"
#include "pb/pb_pool.h"
#include "main/main_int.h"

#define DIRECTIVE     "xds.descriptor_set"
#define SET_MAX_BYTES (64u << 20) /* a hundred times Envoy's */

static struct fp_pb_pool *parse(struct fp_str set, struct fp_arena *a, const char **why)
{
    struct fp_pb_pool *pool = NULL;
    if (fp_pb_pool_open(&pool, set, a, why) != 0)
        return NULL;
    for (size_t i = 0; i < FP_KIND_N; i++) {
        if (fp_kinds[i].message && !fp_pb_pool_message(pool, fp_str_of(fp_kinds[i].message))) {
            *why = fp_arena_printf(a, "%s is not in it", fp_kinds[i].message);
            fp_pb_pool_free(&pool);
            return NULL;
        }
    }
    return pool;
}

static struct fp_pb_pool *open_set(const char *path, int fd, FILE *err)
{
    struct fp_arena *a = fp_arena_new(NULL);
    struct fp_buf set = {0};
    struct fp_pb_pool *pool = NULL;
    const char *why = NULL;
    int error = fp_file_read_fd(fd, SET_MAX_BYTES, &set);
    if (error == FP_ERR_LIMIT)
        why = "larger than 64 MiB";
    else if (error < 0)
        why = fp_err_text(error);
    else
        pool = parse(fp_buf_str(&set), a, &why);
    if (!pool)
        fprintf(err, DIRECTIVE ": %s: %s\n", path, why);
    fp_buf_fini(&set);
    fp_arena_free(&a);
    return pool;
}

bool main_pools_open(const struct fp_conf *c, const struct fp_conf_files *f,
                     struct fp_child_pools *out, FILE *err)
{
    *out = (struct fp_child_pools){0};
    (void)fp_pb_pool_builtin(&out->builtin);
    for (size_t i = 0; i < f->n; i++)
        if (strcmp(f->items[i].name, DIRECTIVE) == 0)
            out->set = open_set(c->xds.descriptor_set, f->items[i].fd, err);
    return !c->xds.descriptor_set || out->set;
}

void main_pools_close(struct fp_child_pools *p)
{
    fp_pb_pool_free(&p->set);
    fp_pb_pool_free(&p->builtin);
}
