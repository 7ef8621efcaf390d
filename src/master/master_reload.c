/*
 * HUP (contract §13.1): check and open everything new, start a new generation, switch when all of
 * it is ready, and say so when the old one accepts no more; on any failure everything stays as it
 * was.  HUPs meanwhile are queued.  Runs in the master.
 */
#include <unistd.h>
#include "core/core_clock.h"
#include "core/core_log.h"
#include "master/master_int.h"

#define READY_TIMEOUT_MS 60000
#define HANDOVER_MS      30000 /* an old worker that does not answer is not waited for any longer */
#define REPORT_BYTES     65536

static void failed(struct master *m, const char *why)
{
    fp_log_error(FP_LOG_CONFIG, "reload failed, the configuration stays as it was: %s", why);
    atomic_store(&m->page->reload_ok, 0);
}

static void restart_needed(const struct fp_conf *old, struct fp_conf *new)
{
    struct fp_conf_changes changes;
    fp_conf_diff_restart(old, new, &changes);
    for (size_t i = 0; i < changes.n; i++)
        fp_log_warn(FP_LOG_CONFIG, "%s has changed and takes effect at the next restart",
                    changes.names[i]);
    fp_conf_keep_restart(old, new);
}

static void ready_overdue(struct fp_timer *t)
{
    struct generation *g = t->arg;
    failed(g->m, "the new processes did not become ready in time");
    master_reload_done(g->m, false);
}

/* The old configuration stays loaded until the last process that inherited it is gone. */
static void begin(struct master *m, FILE *err)
{
    struct fp_conf *conf = fp_conf_load(m->o->sources, err);
    if (!conf)
        return;
    restart_needed(m->live->conf, conf);
    struct generation *g = master_generation_new(m, conf, m->live, err);
    if (!g) {
        fp_conf_free(&conf);
        return;
    }
    m->next = g;
    g->deadline.cb = ready_overdue;
    g->deadline.arg = g;
    fp_timer_start(m->loop, &g->deadline, READY_TIMEOUT_MS);
    master_generation_spawn(g);
}

void master_reload(struct master *m)
{
    static char report[REPORT_BYTES];
    if (m->next || m->handing || m->stopping) {
        m->reloads_queued++;
        return;
    }
    fp_log_info(FP_LOG_MASTER, "reloading the configuration");
    char state[64]; /* systemd's notify-reload wants to know when */
    snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%llu",
             (unsigned long long)(fp_clock_mono_ns() / 1000));
    master_notify(state);
    memset(report, 0, sizeof report);
    FILE *err = fmemopen(report, sizeof report - 1, "w");
    if (err) {
        begin(m, err);
        fclose(err);
    }
    master_log_lines(report, m->next == NULL);
    if (!m->next) {
        failed(m, "see above");
        master_notify("READY=1");
    }
}

static unsigned draining_n(const struct master *m, struct generation **oldest)
{
    unsigned n = 0;
    *oldest = NULL;
    FP_LIST_FOREACH (it, (struct fp_list *)(uintptr_t)&m->generations) {
        struct generation *g = FP_CONTAINER(it, struct generation, link);
        if (!g->draining)
            continue;
        n++;
        if (!*oldest && g->end_step == 0)
            *oldest = g;
    }
    return n;
}

/* The reload is over, well or not: the next one may begin. */
static void over(struct master *m)
{
    master_notify("READY=1");
    if (m->reloads_queued && !m->stopping) {
        m->reloads_queued = 0; /* the file as it is now covers all of them */
        master_reload(m);
    }
}

static void handed(struct master *m)
{
    fp_timer_stop(&m->handover);
    m->handing = NULL;
    if (m->stopping)
        return;
    atomic_store(&m->page->reload_ok, 1);
    fp_log_info(FP_LOG_CONFIG, "configuration reloaded, generation %u serves", m->live->id);
    if (master_generation_ready(m->live))
        master_on_ready(m->live); /* a HUP in the middle of the start */
    over(m);
}

static void handover_due(struct fp_timer *t)
{
    struct master *m = t->arg;
    fp_log_warn(FP_LOG_MASTER, "a worker of generation %u does not say that it drains",
                m->handing->id);
    handed(m);
}

static void switch_over(struct master *m)
{
    struct generation *old = m->live, *oldest;
    m->live = m->next;
    m->next = NULL;
    fp_timer_stop(&m->live->deadline);
    master_relay_adopt(m);
    master_log_apply(m->live->conf, master_log_dup(m->live->log_fd));
    /* the listening sockets of slots and addresses that are no more close with their last worker */
    master_sockets_close(old);
    master_tls_tell_old(m); /* revoked identities lose what they still have there, too */
    m->handing = old;
    m->handover = (struct fp_timer){.cb = handover_due, .arg = m};
    fp_timer_start(m->loop, &m->handover, HANDOVER_MS);
    master_generation_end(old, false);
    if (draining_n(m, &oldest) > m->live->conf->process.max_old_generations && oldest)
        master_generation_end(oldest, true);
}

void master_reload_handed(struct generation *g)
{
    if (g == g->m->handing && !master_generation_accepts(g))
        handed(g->m);
}

void master_reload_done(struct master *m, bool ok)
{
    if (ok) {
        switch_over(m);
        return;
    }
    struct generation *g = m->next;
    m->next = NULL;
    master_relay_drop(&m->pending);
    master_generation_end(g, true);
    over(m);
}
