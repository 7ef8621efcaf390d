/* Signals as loop events.  Nothing runs in signal context. */
#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include "core/core_assert.h"
#include "core/core_mem.h"
#include "os/os_signal.h"

struct fp_signals {
    struct fp_io io;
    void (*cb)(int sig, void *arg);
    void *arg;
    bool *freed; /* set while a callback runs */
};

static void on_readable(struct fp_io *io, unsigned events)
{
    struct fp_signals *s = io->arg;
    struct signalfd_siginfo info;
    bool freed = false;
    (void)events;
    s->freed = &freed;
    while (read(io->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        s->cb((int)info.ssi_signo, s->arg);
        if (freed)
            return;
    }
    s->freed = NULL;
}

struct fp_signals *fp_signals_new(struct fp_loop *loop, const int *signals,
                                  void (*cb)(int sig, void *arg), void *arg)
{
    struct fp_signals *s = fp_mem_zalloc(sizeof(*s));
    sigset_t set;
    sigemptyset(&set);
    for (; *signals; signals++) {
        /* an ignored signal never gets to a signalfd, and "ignored" survives exec (nohup) */
        FP_ASSERT(signal(*signals, SIG_DFL) != SIG_ERR && sigaddset(&set, *signals) == 0);
    }
    FP_ASSERT(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    s->cb = cb;
    s->arg = arg;
    s->io = (struct fp_io){.cb = on_readable, .arg = s};
    s->io.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    FP_ASSERT(s->io.fd >= 0);
    fp_io_watch(loop, &s->io, FP_IO_READ);
    return s;
}

void fp_signals_free(struct fp_signals **sp)
{
    struct fp_signals *s = *sp;
    *sp = NULL;
    if (!s)
        return;
    if (s->freed)
        *s->freed = true;
    fp_io_stop(&s->io);
    close(s->io.fd);
    fp_mem_free(s);
}
