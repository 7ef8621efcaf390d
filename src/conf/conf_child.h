/* What a child process finds after the fork.  Everything is inherited memory; the child owns it. */
#pragma once
#include "conf/conf.h"

struct fp_page;
struct fp_child_file { /* opened by the master as root, passed unread */
    const char *name;  /* directive, "xds.tls.key_path" */
    int fd;
};
struct fp_child {
    const struct fp_conf *conf;
    struct fp_page *page;
    int channel_fd;               /* to the master */
    int master_pidfd;             /* readable when the master is gone */
    unsigned slot;                /* workers: 0 … workers-1 */
    const int *api_fds, *xds_fds; /* workers: this slot's listening sockets */
    size_t api_fds_n, xds_fds_n;
    const struct fp_child_file *files;
    size_t files_n;
    const char *pg_url; /* URL of the embedded PostgreSQL, or NULL: conf's */
    bool foreground;
};
