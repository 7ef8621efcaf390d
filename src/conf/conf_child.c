/*
 * The files that only root may read (design.md §2): opened by the master, at start and at each
 * reload, and found by children under their directive's name.  The master reads none of them.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "os/os_file.h"
#include "conf/conf_child.h"
#include "conf/conf_int.h"

#define URL_MAX_BYTES 4096

static struct fp_conf_stamp stamp_of(const struct stat *st)
{
    return (struct fp_conf_stamp){
        .device = st->st_dev,
        .inode = st->st_ino,
        .bytes = (uint64_t)st->st_size,
        .modified_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec,
        .changed_ns = (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec,
    };
}

static int open_one(const struct fp_conf_directive *d, const char *path, FILE *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0) {
        fprintf(err, "%s: cannot open %s: %s\n", d->name, path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        fprintf(err, "%s: %s is not a regular file\n", d->name, path);
    } else if ((d->flags & FP_CONF_FILE_0600) && (st.st_mode & 077)) {
        fprintf(err, "%s: %s has mode %04o, must be 0600 or stricter\n", d->name, path,
                st.st_mode & 07777);
    } else {
        return fd;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

bool fp_conf_files_open(const struct fp_conf *c, struct fp_conf_files *out, FILE *err)
{
    bool ok = true;
    out->n = 0;
    for (size_t i = 0; i < fp_conf_table_n; i++) {
        const struct fp_conf_directive *d = &fp_conf_table[i];
        const char *path = d->flags & FP_CONF_FILE ? *(const char **)fp_conf_field(c, d) : NULL;
        if (!path || out->n == FP_CONF_FILES_MAX)
            continue;
        int fd = open_one(d, path, err);
        struct stat st;
        if (fd < 0 || fstat(fd, &st) < 0) {
            ok = false;
            continue;
        }
        out->stamps[out->n] = stamp_of(&st);
        out->items[out->n++] = (struct fp_child_file){d->name, fd};
    }
    if (!ok)
        fp_conf_files_close(out);
    return ok;
}

void fp_conf_files_close(struct fp_conf_files *f)
{
    for (size_t i = 0; i < f->n; i++)
        close(f->items[i].fd);
    f->n = 0;
}

bool fp_conf_file_is_tls(const char *directive)
{
    return strncmp(directive, "api.tls.", 8) == 0 || strncmp(directive, "xds.tls.", 8) == 0;
}

bool fp_conf_files_changed(const struct fp_conf *c, const struct fp_conf_files *f)
{
    for (size_t i = 0; i < f->n; i++) {
        struct stat st;
        const struct fp_conf_directive *d =
            &fp_conf_table[fp_conf_find(fp_str_of(f->items[i].name))];
        const char *path = *(const char **)fp_conf_field(c, d);
        if (!path || !fp_conf_file_is_tls(f->items[i].name) || stat(path, &st) < 0)
            continue;
        struct fp_conf_stamp now = stamp_of(&st);
        if (memcmp(&now, &f->stamps[i], sizeof now) != 0)
            return true;
    }
    return false;
}

struct fp_str fp_child_file_text(const struct fp_child_file *files, size_t n, const char *directive,
                                 size_t max_bytes, struct fp_arena *a, int *error)
{
    struct fp_buf b = {0};
    struct fp_str text = FP_STR_NULL;
    *error = 0;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(files[i].name, directive) != 0)
            continue;
        *error = fp_file_read_fd(files[i].fd, max_bytes, &b);
        if (*error >= 0)
            text = fp_arena_str(a, fp_buf_str(&b));
    }
    fp_buf_fini(&b);
    return text;
}

const char *fp_child_database_url(const struct fp_child *c, struct fp_arena *a, const char **why)
{
    int error;
    if (c->pg_url)
        return c->pg_url;
    if (!c->conf->database.url_file)
        return c->conf->database.url;
    struct fp_str s = fp_str_trim(
        fp_child_file_text(c->files, c->files_n, "database.url_file", URL_MAX_BYTES, a, &error));
    const char *url = s.len ? fp_arena_printf(a, "%.*s", FP_STR_ARG(s)) : NULL;
    if (!url)
        *why = error < 0 ? "database.url_file cannot be read" : "database.url_file is empty";
    else if (strncmp(url, "postgresql://", 13) != 0 && strncmp(url, "postgres://", 11) != 0)
        *why = "database.url_file holds no postgresql:// URL";
    else
        return url;
    return NULL;
}
