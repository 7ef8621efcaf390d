/*
 * The master: binds, spawns, relays, supervises, reloads (design.md §2).  Parses no network input,
 * maps no snapshot, opens no database connection, parses no key.
 */
#pragma once
#include "conf/conf_child.h"
#include "event/event_loop.h"
#include "obs/obs_page.h"

struct fp_master_roles { /* each runs its own loop and returns the exit status */
    int (*worker)(struct fp_child *c);
    int (*watcher)(struct fp_child *c);
    /* Before the first fork of a generation, in the master; false after a line in err. */
    bool (*pools_open)(const struct fp_conf *c, const struct fp_conf_files *f,
                       struct fp_child_pools *out, FILE *err);
    void (*pools_close)(struct fp_child_pools *p);
};
struct fp_master_options {
    struct fp_conf *conf;            /* checked; taken over */
    struct fp_conf_sources *sources; /* to load it again at a reload; borrowed */
    const struct fp_master_roles *roles;
    struct fp_page *page;
    bool dev, ephemeral;
    FILE *err;          /* where a failed start is told, besides the log */
    const char *report; /* warnings of the load, to be logged once there is a log */
};
/* Runs until stopped; returns the exit status of the program. */
int fp_master_run(const struct fp_master_options *o);
