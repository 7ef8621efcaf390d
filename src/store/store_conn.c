/*
 * One libpq connection on the event loop: open, send one statement at a time, take its result,
 * report notifications.  Runs in workers and the watcher.  Must never block (libpq's own DNS
 * look-up excepted, README) and never log a parameter value.
 */
#include <fcntl.h>
#include <unistd.h>
#include "core/core_assert.h"
#include "core/core_clock.h"
#include "core/core_log.h"
#include "core/core_mem.h"
#include "store/store_int.h"

struct store_conn {
    struct fp_loop *loop;
    struct store_conn_handlers h;
    PGconn *pg; /* NULL exactly when CLOSED */
    enum store_conn_state state;
    /* A duplicate of libpq's socket: libpq closes its own whenever it likes, and a closed
     * descriptor cannot be taken out of an epoll set. */
    struct fp_io io;
    struct fp_timer timer; /* opening, or the statement */
    struct store_query q;  /* while BUSY */
    PGresult *last;        /* while BUSY: the last finished result */
    bool failed;           /* while BUSY: `last` is the error to report */
    uint64_t started_ns;
    long long rows;
};

static void on_io(struct fp_io *io, unsigned events);
static void on_timer(struct fp_timer *t);

struct store_conn *store_conn_new(struct fp_loop *loop, const struct store_conn_handlers *h)
{
    struct store_conn *c = fp_mem_zalloc(sizeof(*c));
    c->loop = loop;
    c->h = *h;
    c->io = (struct fp_io){.fd = -1, .cb = on_io, .arg = c};
    c->timer = (struct fp_timer){.cb = on_timer, .arg = c};
    return c;
}

static void unwatch(struct store_conn *c)
{
    fp_io_stop(&c->io);
    if (c->io.fd >= 0)
        close(c->io.fd);
    c->io.fd = -1;
}

void store_conn_close(struct store_conn *c)
{
    fp_timer_stop(&c->timer);
    unwatch(c);
    PQclear(c->last);
    c->last = NULL;
    if (c->pg)
        PQfinish(c->pg);
    c->pg = NULL;
    c->state = STORE_CONN_CLOSED;
}

void store_conn_free(struct store_conn **c)
{
    if (!*c)
        return;
    store_conn_close(*c);
    fp_mem_free(*c);
    *c = NULL;
}

enum store_conn_state store_conn_state(const struct store_conn *c)
{
    return c->state;
}

int store_conn_backend_pid(const struct store_conn *c)
{
    return PQbackendPID(c->pg);
}

/* One line, without the trailing newline that libpq's messages have. */
static void message_line(char *out, size_t n, const char *text)
{
    size_t len = strcspn(text, "\n");
    snprintf(out, n, "%.*s", (int)(len < n ? len : n - 1), text);
}

static char last_error[256]; /* of any connection of this process */

const char *fp_store_last_error(void)
{
    return last_error;
}

/* Closes, tells the statement, then the owner. */
static void lost(struct store_conn *c, const char *reason)
{
    char why[256];
    struct store_query q = c->q;
    bool busy = c->state == STORE_CONN_BUSY;
    void (*down)(const char *, void *) = c->h.down;
    void *arg = c->h.arg;

    message_line(why, sizeof(why), reason && *reason ? reason : "connection lost");
    memcpy(last_error, why, sizeof(why));
    store_conn_close(c);
    if (busy)
        q.done(
            &(struct store_answer){
                .end = STORE_END_LOST, .sqlstate = "", .constraint = "", .message = why},
            q.arg);
    down(why, arg); /* the owner outlives its statements */
}

static void on_notice(void *arg, const char *message)
{
    char line[256];
    (void)arg;
    message_line(line, sizeof(line), message);
    fp_log_debug(FP_LOG_STORE, "server: %s", line);
}

static bool watch(struct store_conn *c, unsigned events)
{
    if (c->io.fd < 0)
        c->io.fd = fcntl(PQsocket(c->pg), F_DUPFD_CLOEXEC, 3);
    if (c->io.fd < 0)
        return false;
    fp_io_watch(c->loop, &c->io, events);
    return true;
}

static void opening(struct store_conn *c)
{
    unwatch(c); /* the next address has another socket, maybe of the same number */
    switch (PQconnectPoll(c->pg)) {
    case PGRES_POLLING_READING:
        if (!watch(c, FP_IO_READ))
            lost(c, "out of file descriptors");
        return;
    case PGRES_POLLING_WRITING:
        if (!watch(c, FP_IO_WRITE))
            lost(c, "out of file descriptors");
        return;
    case PGRES_POLLING_OK:
        break;
    default:
        lost(c, PQerrorMessage(c->pg));
        return;
    }
    fp_timer_stop(&c->timer);
    if (PQsetnonblocking(c->pg, 1) != 0 || !watch(c, FP_IO_READ)) {
        lost(c, "out of file descriptors");
        return;
    }
    c->state = STORE_CONN_IDLE;
    c->h.up(c->h.arg);
}

/* How many hosts the URL lists; *said: it has target_session_attrs itself. */
static unsigned hosts(const char *url, bool *said)
{
    unsigned n = 1;
    PQconninfoOption *all = PQconninfoParse(url, NULL);
    *said = false;
    for (PQconninfoOption *o = all; o && o->keyword; o++) {
        unsigned commas = 0;
        if (!o->val)
            continue;
        for (const char *p = o->val; (p = strchr(p, ',')) != NULL; p++)
            commas++;
        if (strcmp(o->keyword, "host") == 0 || strcmp(o->keyword, "hostaddr") == 0)
            n = commas + 1 > n ? commas + 1 : n;
        *said = *said || strcmp(o->keyword, "target_session_attrs") == 0;
    }
    PQconninfoFree(all);
    return n;
}

void store_conn_open(struct store_conn *c, const char *url, const char *application_name,
                     uint64_t timeout_ms)
{
    bool said;
    unsigned n = hosts(url, &said);
    char user_timeout[24];
    /* What stands before dbname gives way to the URL.  A host that answers nothing costs one
     * timeout, then libpq tries the next.  A list means a primary and its standbys: writes and
     * LISTEN need the primary (contract §16). */
    const char *keys[] = {"fallback_application_name",
                          "keepalives_idle",
                          "tcp_user_timeout",
                          "target_session_attrs",
                          "dbname",
                          "client_encoding",
                          NULL};
    const char *values[] = {
        application_name, "30", user_timeout, n > 1 && !said ? "read-write" : "any", url,
        "UTF8",           NULL};

    FP_ASSERT(c->state == STORE_CONN_CLOSED);
    snprintf(user_timeout, sizeof(user_timeout), "%llu", (unsigned long long)timeout_ms);
    c->pg = PQconnectStartParams(keys, values, 1);
    FP_ASSERT(c->pg); /* only memory */
    c->state = STORE_CONN_OPENING;
    PQsetNoticeProcessor(c->pg, on_notice, NULL);
    fp_timer_start(c->loop, &c->timer, timeout_ms * n);
    /* The first step is taken from the loop: no callback before this returns. */
    if (PQstatus(c->pg) == CONNECTION_BAD || !watch(c, FP_IO_WRITE))
        fp_timer_start(c->loop, &c->timer, 0);
}

static void on_timer(struct fp_timer *t)
{
    struct store_conn *c = t->arg;
    if (PQstatus(c->pg) == CONNECTION_BAD)
        lost(c, PQerrorMessage(c->pg));
    else
        lost(c, c->state == STORE_CONN_BUSY ? "statement timed out" : "connecting timed out");
}

void store_conn_send(struct store_conn *c, const struct store_query *q)
{
    const struct store_params *p = q->params;
    FP_ASSERT(c->state == STORE_CONN_IDLE);
    c->q = *q;
    c->q.params = NULL; /* libpq copies them into its buffer */
    c->state = STORE_CONN_BUSY;
    c->failed = false;
    c->rows = 0;
    c->started_ns = fp_clock_mono_ns();
    int sent =
        p ? PQsendQueryParams(c->pg, q->sql, p->n, NULL, p->values, p->lengths, p->formats, 1)
          : PQsendQuery(c->pg, q->sql);
    if (sent && q->row)
        PQsetSingleRowMode(c->pg);
    /* A failure shows as a dead connection; it is told from the loop. */
    fp_timer_start(c->loop, &c->timer, sent ? q->timeout_ms : 0);
    if (sent)
        fp_io_watch(c->loop, &c->io, FP_IO_READ | (PQflush(c->pg) == 1 ? FP_IO_WRITE : 0));
}

static void log_statement(const struct store_conn *c, uint64_t us)
{
    if (!fp_log_on(FP_LOG_DEBUG, FP_LOG_SQL))
        return;
    const struct fp_log_field fields[] = {
        FP_LOG_S("statement", fp_str_of(c->q.sql)),
        FP_LOG_I("usec", (int64_t)us),
        FP_LOG_I("rows", c->rows),
    };
    fp_log_write(FP_LOG_DEBUG, FP_LOG_SQL, fields, 3, "%s%s", c->q.name,
                 c->failed ? ": refused" : "");
}

static void finished(struct store_conn *c)
{
    struct store_query q = c->q;
    PGresult *last = c->last;
    char message[256] = "";
    struct store_answer a = {.end = STORE_END_OK, .result = last, .sqlstate = "", .constraint = ""};

    uint64_t ns = fp_clock_mono_ns() - c->started_ns;
    store_metric_done(&q, ns, c->failed);
    log_statement(c, ns / 1000);
    if (c->failed) {
        const char *state = PQresultErrorField(last, PG_DIAG_SQLSTATE);
        const char *constraint = PQresultErrorField(last, PG_DIAG_CONSTRAINT_NAME);
        const char *primary = PQresultErrorField(last, PG_DIAG_MESSAGE_PRIMARY);
        a.end = STORE_END_SQL;
        a.result = NULL;
        a.sqlstate = state ? state : "XX000";
        a.constraint = constraint ? constraint : "";
        message_line(message, sizeof(message), primary ? primary : PQresultErrorMessage(last));
    }
    a.message = message;
    c->last = NULL;
    c->state = STORE_CONN_IDLE;
    fp_timer_stop(&c->timer);
    q.done(&a, q.arg); /* may free the connection */
    PQclear(last);
}

static void take(struct store_conn *c, PGresult *r)
{
    switch (PQresultStatus(r)) {
    case PGRES_SINGLE_TUPLE:
        c->rows++;
        c->q.row(r, c->q.arg);
        PQclear(r);
        return;
    case PGRES_TUPLES_OK:
        c->rows += PQntuples(r);
        break;
    case PGRES_COMMAND_OK:
    case PGRES_EMPTY_QUERY:
        break;
    default: /* the first error counts; COPY is none of our statements */
        if (c->failed) {
            PQclear(r);
            return;
        }
        c->failed = true;
        PQclear(c->last);
        c->last = r;
        return;
    }
    if (c->failed) {
        PQclear(r);
        return;
    }
    PQclear(c->last);
    c->last = r;
}

static void notifications(struct store_conn *c)
{
    for (PGnotify *n; (n = PQnotifies(c->pg)) != NULL; PQfreemem(n))
        if (c->h.notify)
            c->h.notify(n->relname, n->extra, c->h.arg);
}

static void on_io(struct fp_io *io, unsigned events)
{
    struct store_conn *c = io->arg;
    if (c->state == STORE_CONN_OPENING) {
        opening(c);
        return;
    }
    if (events & FP_IO_WRITE && PQflush(c->pg) == 0)
        fp_io_watch(c->loop, &c->io, FP_IO_READ);
    if (!(events & (FP_IO_READ | FP_IO_ERROR)))
        return;
    if (!PQconsumeInput(c->pg)) {
        lost(c, PQerrorMessage(c->pg));
        return;
    }
    while (c->state == STORE_CONN_BUSY && !PQisBusy(c->pg)) {
        PGresult *r = PQgetResult(c->pg);
        if (r) {
            take(c, r);
            continue;
        }
        if (PQstatus(c->pg) == CONNECTION_BAD) {
            lost(c, c->last ? PQresultErrorMessage(c->last) : PQerrorMessage(c->pg));
            return;
        }
        notifications(c); /* those of the statement itself are told before its answer */
        finished(c);
        return; /* c may be gone */
    }
    if (PQstatus(c->pg) == CONNECTION_BAD)
        lost(c, PQerrorMessage(c->pg));
    else
        notifications(c);
}
