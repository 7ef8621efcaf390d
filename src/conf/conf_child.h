/* What a child process finds after the fork.  Everything is inherited memory; the child owns it. */
#pragma once
#include "conf/conf.h"

struct fp_page;
struct fp_pb_pool;
struct fp_child_file { /* opened by the master as root, passed unread */
    const char *name;  /* directive, "xds.tls.key_path" */
    int fd;
};
enum fp_listen { FP_LISTEN_API, FP_LISTEN_XDS, FP_LISTEN_METRICS, FP_LISTEN_N };
/* What messages look like, made before the fork: all processes of a generation share the pages. */
struct fp_child_pools {
    struct fp_pb_pool *builtin; /* linked into the program */
    struct fp_pb_pool *set;     /* that of xds.descriptor_set, or NULL */
};
struct fp_child {
    const struct fp_conf *conf;
    struct fp_page *page;
    const struct fp_pb_pool *pool, *builtin_pool; /* the one in use; equal without a set */
    int channel_fd;                               /* to the master */
    int master_pidfd;                             /* readable when the master is gone */
    unsigned slot;                                /* workers: 0 … workers-1 */
    uint32_t seat;                                /* workers: in page->status (obs_status.h) */
    struct {
        const int *fds;
        size_t n;
    } listen[FP_LISTEN_N]; /* workers: this slot's listening sockets */
    const struct fp_child_file *files;
    size_t files_n;
    const char *pg_url; /* URL of the embedded PostgreSQL, or NULL: conf's */
    bool foreground;
};

/* The table's files, opened by the master as root.  Children inherit the descriptors. */
#define FP_CONF_FILES_MAX 16
struct fp_conf_stamp { /* tells whether a path leads to other bytes */
    uint64_t device, inode, bytes;
    int64_t modified_ns, changed_ns;
};
struct fp_conf_files {
    struct fp_child_file items[FP_CONF_FILES_MAX];
    struct fp_conf_stamp stamps[FP_CONF_FILES_MAX]; /* as of the opening */
    size_t n;
};
/* false after one line per file that cannot be opened (or is readable by others) went to err. */
bool fp_conf_files_open(const struct fp_conf *c, struct fp_conf_files *out, FILE *err);
void fp_conf_files_close(struct fp_conf_files *f);
/* Certificates, keys, CAs and revocation lists: those that are taken up without a reload. */
bool fp_conf_file_is_tls(const char *directive);
/* Does a path of such a file lead to something else now?  One that leads nowhere does not. */
bool fp_conf_files_changed(const struct fp_conf *c, const struct fp_conf_files *f);
/* In a child: the file's text, data == NULL when it is not configured or unreadable (*error). */
struct fp_str fp_child_file_text(const struct fp_child_file *files, size_t n, const char *directive,
                                 size_t max_bytes, struct fp_arena *a, int *error);
/* In a child: pg_url, else the file's, else the directive's; NULL after *why was set. */
const char *fp_child_database_url(const struct fp_child *c, struct fp_arena *a, const char **why);
