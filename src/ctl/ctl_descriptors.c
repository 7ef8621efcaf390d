/* `flowplanectl descriptors`: the sets that xds.descriptor_set names (contract §5.8). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "conf/conf.h"
#include "ctl/ctl_int.h"
#include "fp_config.h"
#include "os/os_file.h"
#include "pb/pb_extract.h"
#include "pb/pb_pool.h"

#define PROGRAM_MAX_BYTES (4ull << 30)
#define SET_MAX_BYTES     (64u << 20) /* as the server's */
#define MESSAGE           "envoy.config.listener.v3.Listener"

/* Maps a program; the mapping is kept to the end. */
static int map_program(const char *path, struct fp_str *out)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int err = fd < 0 || fstat(fd, &st) != 0 ? -errno : 0;
    if (!err && (!S_ISREG(st.st_mode) || st.st_size == 0))
        err = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
    if (!err && (uint64_t)st.st_size > PROGRAM_MAX_BYTES)
        err = FP_ERR_LIMIT;
    if (!err) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        err = p == MAP_FAILED ? -errno : 0;
        *out = fp_str_n(p, (size_t)st.st_size);
    }
    if (fd >= 0)
        close(fd);
    return err;
}

int ctl_descriptors_extract(struct ctl_call *c)
{
    struct fp_str program;
    struct fp_buf set = {0};
    struct fp_pb_extracted found;
    struct fp_pb_pool *pool = NULL;
    const char *why = NULL;
    int err = map_program(c->envoy, &program);
    if (err)
        return ctl_fail(c, ctl_exit_of(err), "%s: %s", c->envoy, fp_err_text(err));
    err = fp_pb_extract(program, c->arena, &set, &found);
    if (err) {
        fp_buf_fini(&set);
        return ctl_fail(c, CTL_FAILED,
                        err == FP_ERR_LIMIT ? "%s: too much that looks like descriptors"
                                            : "%s: no descriptors in it; it may be a script "
                                              "that starts the program",
                        c->envoy);
    }
    /* What the server would say of it is said now. */
    err = fp_pb_pool_open(&pool, fp_buf_str(&set), c->arena, &why);
    int status = CTL_DONE;
    if (err)
        status = ctl_fail(c, CTL_FAILED, "%s: %s", c->envoy, why);
    else if (!fp_pb_pool_message(pool, FP_STR(MESSAGE)))
        status = ctl_fail(c, CTL_FAILED, "%s: no " MESSAGE " in it: not an Envoy", c->envoy);
    else if ((err = fp_file_replace(c->output, set.data, set.len, 0644)) < 0)
        status = ctl_fail(c, ctl_exit_of(err), "%s: %s", c->output, fp_err_text(err));
    if (status == CTL_DONE && found.missing_n)
        fprintf(stderr, "flowplanectl: warning: %zu files left out: %s, which is not there\n",
                found.missing_n, found.missing);
    if (status == CTL_DONE && !c->quiet)
        fprintf(stderr, "flowplanectl: %s: %zu files, %zu messages, %zu bytes\n", c->output,
                found.files_n, fp_pb_pool_size(pool).messages, set.len);
    fp_pb_pool_free(&pool);
    fp_buf_fini(&set);
    return status;
}

/* The file to show: the argument, or what the configuration names; *path NULL: the built-in set. */
static int choose(struct ctl_call *c, const char **path)
{
    struct fp_conf_sources s = {.file = c->conf,
                                .prefix_share = FP_PREFIX_SHARE,
                                .prefix_etc = FP_PREFIX_ETC,
                                .relaxed = true};
    *path = c->argument;
    if (*path)
        return c->conf ? ctl_fail(c, CTL_USAGE, "a file or -c, not both") : CTL_DONE;
    struct fp_conf *conf = fp_conf_load(&s, stderr);
    if (!conf)
        return ctl_fail(c, CTL_FAILED, "the configuration is not valid");
    if (conf->xds.descriptor_set)
        *path = fp_arena_strdup(c->arena, conf->xds.descriptor_set);
    fp_conf_free(&conf);
    return CTL_DONE;
}

static int open_set(struct ctl_call *c, const char *path, struct fp_pb_pool **pool)
{
    struct fp_buf set = {0};
    const char *why = NULL;
    if (!path) {
        fp_pb_pool_builtin(pool);
        return CTL_DONE;
    }
    int status = CTL_DONE, err = fp_file_read(path, SET_MAX_BYTES, &set);
    if (err < 0)
        status = ctl_fail(c, ctl_exit_of(err), "%s: %s", path, fp_err_text(err));
    else if (fp_pb_pool_open(pool, fp_buf_str(&set), c->arena, &why) != 0)
        status = ctl_fail(c, CTL_FAILED, "%s: %s", path, why);
    fp_buf_fini(&set);
    return status;
}

static json_t *string_of(struct fp_str s)
{
    return json_stringn(s.data ? s.data : "", s.len);
}

static json_t *describe(const struct fp_pb_pool *pool, const char *path)
{
    struct fp_pb_pool_size n = fp_pb_pool_size(pool);
    const struct {
        const char *name;
        size_t value;
    } counts[] = {{"messages", n.messages},  {"fields", n.fields},
                  {"enums", n.enums},        {"rules", n.rules},
                  {"setBytes", n.set_bytes}, {"tableBytes", n.table_bytes}};
    json_t *v = json_object(), *files = json_array();
    json_object_set_new(v, "source", json_string(path ? path : "built-in"));
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        json_object_set_new(v, counts[i].name, json_integer((json_int_t)counts[i].value));
    for (size_t i = 0; i < n.files; i++) {
        struct fp_str package;
        size_t messages;
        json_t *f = json_object();
        json_object_set_new(f, "name", string_of(fp_pb_pool_file_at(pool, i, &package, &messages)));
        json_object_set_new(f, "package", string_of(package));
        json_object_set_new(f, "messages", json_integer((json_int_t)messages));
        json_array_append_new(files, f);
    }
    json_object_set_new(v, "files", files);
    return v;
}

static void table(const struct fp_pb_pool *pool, const char *path)
{
    struct fp_pb_pool_size n = fp_pb_pool_size(pool);
    puts("MESSAGES  FILE");
    for (size_t i = 0; i < n.files; i++) {
        struct fp_str package;
        size_t messages;
        struct fp_str name = fp_pb_pool_file_at(pool, i, &package, &messages);
        printf("%8zu  %.*s\n", messages, FP_STR_ARG(name));
    }
    printf(
        "%s: %zu files, %zu messages, %zu fields, %zu validate rules, %zu KiB; in memory %zu KiB\n",
        path ? path : "built-in", n.files, n.messages, n.fields, n.rules,
        (n.set_bytes + 1023) / 1024, (n.table_bytes + 1023) / 1024);
}

int ctl_descriptors_show(struct ctl_call *c)
{
    const char *path;
    struct fp_pb_pool *pool = NULL;
    int status = choose(c, &path);
    if (status == CTL_DONE)
        status = open_set(c, path, &pool);
    if (status != CTL_DONE)
        return status;
    if (c->format == CTL_TABLE) {
        table(pool, path);
    } else {
        json_t *v = describe(pool, path);
        ctl_print(c, v);
        json_decref(v);
    }
    fp_pb_pool_free(&pool);
    return CTL_DONE;
}
