/*
 * The log target and the lines of a load.  Runs in the master; children inherit the descriptor.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "core/core_log.h"
#include "master/master_int.h"

static int syslog_open(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
        return fd;
    int err = -errno;
    if (fd >= 0)
        close(fd);
    return err;
}

/* A pipe or socket that nobody reads must not hold the server up (contract §16): what it does not
 * take is counted.  Terminals and files stay as they are; a terminal is the shell's too. */
static int standard(int fd)
{
    struct stat st;
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && fstat(fd, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)))
        (void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    return fd;
}

int master_log_open(const struct fp_conf *c)
{
    const char *t = c->observability.log_target;
    if (strcmp(t, "stdout") == 0)
        return standard(STDOUT_FILENO);
    if (strcmp(t, "stderr") == 0)
        return standard(STDERR_FILENO);
    if (strcmp(t, "syslog") == 0)
        return syslog_open();
    int fd = open(t + 5, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
    return fd < 0 ? -errno : fd;
}

/* For whom the log belongs to: a generation's own descriptor stays good for its next child. */
int master_log_dup(int fd)
{
    return fd > STDERR_FILENO ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : fd;
}

void master_log_apply(const struct fp_conf *c, int fd)
{
    const char *format = c->observability.log_format;
    bool text = strcmp(format, "text") == 0 ||
                (strcmp(format, "auto") == 0 && isatty(fd) && !getenv("RUST_LOG"));
    if (fd >= 0)
        fp_log_fd_set(fd);
    fp_log_format_set(text ? FP_LOG_TEXT : FP_LOG_JSON);
    fp_log_filter_set(c->observability.log_filter ? c->observability.log_filter
                                                  : c->observability.log_level);
}

/* USR1: every generation writes to the newly opened file, the draining ones too. */
void master_log_reopen(struct master *m)
{
    FP_LIST_FOREACH (it, &m->generations) {
        struct generation *g = FP_CONTAINER(it, struct generation, link);
        if (g->log_fd <= STDERR_FILENO)
            continue;
        int fd = master_log_open(g->conf);
        if (fd < 0) {
            fp_log_error(FP_LOG_MASTER, "cannot reopen %s: %s", g->conf->observability.log_target,
                         fp_err_text(fd));
            continue;
        }
        close(g->log_fd);
        g->log_fd = fd;
        if (g == m->live)
            master_log_apply(g->conf, master_log_dup(fd));
        for (size_t i = 0; i < g->children_n; i++)
            if (g->children[i].channel)
                fp_channel_send(g->children[i].channel, FP_FRAME_LOG, NULL, 0, master_log_dup(fd));
    }
    fp_log_info(FP_LOG_MASTER, "log files reopened");
}

void master_log_lines(const char *text, bool failed)
{
    struct fp_str rest = fp_str_of(text);
    while (rest.data) {
        struct fp_str line = fp_str_split(rest, '\n', &rest);
        if (fp_str_starts(line, FP_STR("warning: ")))
            fp_log_warn(FP_LOG_CONFIG, "%.*s", (int)line.len - 9, line.data + 9);
        else if (fp_str_starts(line, FP_STR("note: ")))
            fp_log_info(FP_LOG_CONFIG, "%.*s", (int)line.len - 6, line.data + 6);
        else if (line.len && failed)
            fp_log_error(FP_LOG_CONFIG, "%.*s", FP_STR_ARG(line));
    }
}

void master_complain(struct master *m, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    fp_log_error(FP_LOG_MASTER, "%s", text);
    if (!m->announced && m->o->err)
        fprintf(m->o->err, "flowplane: %s\n", text);
}
