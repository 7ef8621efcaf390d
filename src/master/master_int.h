/* Private to master: the spawn table and what hangs on it. */
#pragma once
#include <sys/types.h>
#include "core/core_list.h"
#include "master/master.h"
#include "os/os_channel.h"
#include "os/os_socket.h"

struct master;
struct generation;

enum role { ROLE_WORKER, ROLE_WATCHER };
struct child { /* one row of the spawn table; pid 0 while nothing runs */
    struct generation *gen;
    enum role role;
    unsigned slot;
    uint32_t seat; /* while it runs, in the status of nodes */
    pid_t pid;
    struct fp_channel *channel; /* NULL when closed */
    bool ready;                 /* this process said READY */
    bool accepts;               /* a worker that did not say DRAINING */
    bool exited;                /* reaped; what it said last is still being read */
    int status;
    uint64_t started_ms;
    uint64_t backoff_ms; /* before the next respawn; 0: at once */
    struct fp_timer respawn;
};

struct sockets { /* one per slot and address: fds[slot * addrs_n + i] */
    struct fp_addr *addrs;
    size_t addrs_n;
    unsigned slots_n;
    int *fds;
};

/*
 * One configuration and the processes that run it.  A reload makes a new one beside the live one;
 * the old one drains once every process of the new one is ready.
 */
struct generation {
    struct fp_list link;
    struct master *m;
    unsigned id;
    struct fp_conf *conf;
    struct fp_conf_files files;
    struct fp_child_pools pools; /* the master itself never looks into them */
    struct sockets sockets[FP_LISTEN_N];
    int log_fd;             /* own, or 1, 2; -1 when not opened */
    struct child *children; /* workers by slot, then the watcher */
    size_t children_n;
    bool draining;            /* was told to end; its children are not respawned */
    unsigned end_step;        /* 0 told, 1 STOP sent, 2 killed */
    struct fp_timer deadline; /* start of a new, end of an old generation */
};

struct snapshot {     /* the latest of a watcher */
    int fd;           /* -1: none yet */
    uint64_t head[2]; /* generation, revision */
};

struct master {
    const struct fp_master_options *o;
    struct fp_loop *loop;
    struct fp_signals *signals;
    struct fp_page *page;
    struct fp_list generations;     /* all that have processes, oldest first */
    struct generation *live, *next; /* next: while a reload waits for READY */
    struct generation *handing;     /* while a reload waits for the old one's DRAINING, or NULL */
    unsigned generations_made;
    struct snapshot latest;  /* what new workers get */
    struct snapshot pending; /* of next's watcher, until the switch */
    unsigned reloads_queued;
    bool orphans;   /* the pid file of a master that was killed was there */
    bool announced; /* readiness was told */
    bool stopping;
    int exit_status;
    struct fp_timer announce; /* at the latest then */
    struct fp_timer handover; /* of `handing`, at the latest then */
    struct fp_timer tls_check;
    struct master_pg *pg;           /* embedded PostgreSQL, or NULL */
    int lock_fd, pid_fd, status_fd; /* status_fd: the parent of a daemon waits here */
};

/* master_files.c: what the master holds outside of processes.  All complain and return < 0. */
int master_directories(struct master *m);
int master_directory_own(const struct master *m, const char *path, unsigned mode);
int master_lock(struct master *m);
int master_pid_write(struct master *m);
void master_pid_remove(struct master *m);
int master_daemonize(struct master *m); /* in the parent it does not return */
void master_daemon_ready(struct master *m, int status);
void master_detach(void);              /* 0, 1, 2 become /dev/null */
void master_notify(const char *state); /* sd_notify(3) */
void master_remove_tree(const char *path);

/* master_log.c */
int master_log_open(const struct fp_conf *c);           /* fd, or -errno */
int master_log_dup(int fd);                             /* 1 and 2 stay what they are */
void master_log_apply(const struct fp_conf *c, int fd); /* takes fd over */
void master_log_reopen(struct master *m);
void master_log_lines(const char *text, bool failed); /* of fp_conf_load */
/* A start that failed: to the log and, `flowplane: …`, to the caller's terminal. */
void master_complain(struct master *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* master_listen.c: sockets of `prev` (may be NULL) are shared where the address is the same.  All
 * or an error; close either way. */
int master_sockets_open(struct generation *g, unsigned slots_n, const struct generation *prev);
void master_sockets_close(struct generation *g);

/* master_child.c: the spawn table */
struct generation *master_generation_new(struct master *m, struct fp_conf *conf,
                                         const struct generation *prev, FILE *err);
void master_generation_spawn(struct generation *g);
void master_generation_end(struct generation *g, bool fast); /* DRAIN or STOP, then SIGKILL */
void master_generation_free(struct generation **g);
size_t master_generation_alive(const struct generation *g);
bool master_generation_ready(const struct generation *g);
bool master_generation_accepts(const struct generation *g); /* takes new connections, maybe */
void master_reap(struct master *m);

/* master.c: what the spawn table reports */
void master_on_ready(struct generation *g);
void master_on_fatal(struct child *c, const char *why);
void master_on_died(struct child *c); /* before it is ready, in a generation that is not live */
void master_on_empty(struct generation *g); /* its last process is gone, and it was told to end */

/* master_reload.c */
void master_reload(struct master *m);
void master_reload_done(struct master *m, bool ok);
/* A worker of g accepts no more, or g has ended: a reload may be complete. */
void master_reload_handed(struct generation *g);

/* master_tls.c: files of certificates, without a reload */
void master_tls_watch(struct master *m); /* every 10 s from now on */
/* To all workers but those of the live generation, which have them from their start. */
void master_tls_tell_old(struct master *m);

/* master_relay.c */
void master_relay_snapshot(struct child *from, const void *payload, size_t n, int fd);
void master_relay_latest(struct child *to);
void master_relay_adopt(struct master *m); /* pending becomes latest */
void master_relay_drop(struct snapshot *s);

/* master_postgres.c */
struct master_pg *master_pg_new(struct master *m);
const char *master_pg_url(const struct master_pg *pg);
void master_pg_start(struct master_pg *pg);
bool master_pg_exited(struct master_pg *pg, pid_t pid, int status); /* true: it was ours */
void master_pg_stop(struct master_pg *pg);                          /* master_stopped() follows */
void master_pg_free(struct master_pg **pg);
void master_stopped(struct master *m); /* PostgreSQL is gone too */
void master_start_failed(struct master *m, const char *why);
