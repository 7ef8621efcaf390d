/*
 * Certificates, keys, CAs and revocation lists that change on disk (contract §9.5): opened anew and
 * passed, unread, to the workers, who take them up without a reload.  Runs in the master, which
 * must never parse one.
 */
#include <fcntl.h>
#include "core/core_log.h"
#include "master/master_int.h"

#define CHECK_MS     10000
#define REPORT_BYTES 4096

static void tell(const struct generation *g, const struct fp_conf_files *files)
{
    for (size_t i = 0; i < g->children_n; i++) {
        struct child *c = &g->children[i];
        if (c->role != ROLE_WORKER || !c->channel)
            continue;
        for (size_t j = 0; j < files->n; j++) {
            const struct fp_child_file *f = &files->items[j];
            int fd = fp_conf_file_is_tls(f->name) ? fcntl(f->fd, F_DUPFD_CLOEXEC, 3) : -1;
            if (fd >= 0)
                fp_channel_send(c->channel, FP_FRAME_FILE, f->name, strlen(f->name), fd);
        }
        fp_channel_send(c->channel, FP_FRAME_FILES_END, NULL, 0, -1);
    }
}

void master_tls_tell_old(struct master *m)
{
    FP_LIST_FOREACH (it, &m->generations) {
        struct generation *g = FP_CONTAINER(it, struct generation, link);
        if (g != m->live && g != m->next)
            tell(g, &m->live->files);
    }
}

static void take_up(struct master *m)
{
    static char report[REPORT_BYTES];
    struct generation *g = m->live;
    struct fp_conf_files now;
    memset(report, 0, sizeof report);
    FILE *err = fmemopen(report, sizeof report - 1, "w");
    if (!err)
        return;
    bool ok = fp_conf_files_open(g->conf, &now, err);
    fclose(err);
    if (!ok) { /* half replaced: again at the next look */
        master_log_lines(report, false);
        return;
    }
    fp_conf_files_close(&g->files);
    g->files = now;
    fp_log_info(FP_LOG_MASTER, "TLS files have changed: workers take them up");
    tell(g, &g->files);
    master_tls_tell_old(m);
}

static void check(struct fp_timer *t)
{
    struct master *m = t->arg;
    if (m->live && !m->stopping && fp_conf_files_changed(m->live->conf, &m->live->files))
        take_up(m);
    fp_timer_start(m->loop, t, CHECK_MS);
}

void master_tls_watch(struct master *m)
{
    m->tls_check = (struct fp_timer){.cb = check, .arg = m};
    fp_timer_start(m->loop, &m->tls_check, CHECK_MS);
}
