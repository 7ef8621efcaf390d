/*
 * A follower for the tests of t/20-store: prints what it is told, a line each, and loads whenever
 * it is behind.  FP_TEST_DATABASE names the database; FP_TEST_* further options.  Takes the lines
 * `rest` and `load`; ends with stdin.
 */
#include <stdlib.h>
#include <unistd.h>
#include "core/core_log.h"
#include "store/store_follow.h"
#include "tap.h"

static struct fp_loop *loop;
static struct fp_follow *follow;
static struct fp_follow_revision at;
static bool at_set, loading, again;

static void load(void);

static void on_row(const struct fp_follow_row *r, void *arg)
{
    (void)arg;
    printf("row %s %.*s %s version=%lld encoded=%zu refs=%zu", fp_kinds[r->kind].name,
           FP_STR_ARG(r->name), r->deleted ? "deleted" : "there", (long long)r->version,
           r->encoded.len, r->refs_n);
    if (r->kind == FP_KIND_TOKEN && !r->deleted)
        printf(" name=%.*s scopes=%zu hash=%zu", FP_STR_ARG(r->token_name), r->scopes.len,
               r->secret_hash.len);
    putchar('\n');
}

static void on_done(bool ok, bool full, const struct fp_follow_revision *now, void *arg)
{
    (void)arg;
    loading = false;
    printf("loaded %s %s %llu\n", ok ? "ok" : "failed", full ? "full" : "changes",
           (unsigned long long)now->revision);
    fflush(stdout);
    if (!ok)
        return;
    at = *now;
    at_set = true;
    if (again)
        load();
}

static void load(void)
{
    again = loading;
    if (loading)
        return;
    loading = true;
    fp_follow_load(follow, at_set ? &at : NULL, on_row, on_done, NULL);
}

static void on_state(bool up, bool listen, void *arg)
{
    (void)arg;
    printf("state %s %s\n", up ? "up" : "down", listen ? "listening" : "deaf");
    fflush(stdout);
}

static void on_behind(uint64_t revision, void *arg)
{
    (void)arg;
    printf("behind %llu\n", (unsigned long long)revision);
    fflush(stdout);
    load();
}

static void on_fatal(const char *why, void *arg)
{
    (void)arg;
    printf("fatal %s\n", why);
    fflush(stdout);
    fp_loop_stop(loop);
}

static bool prepare(const char *token, void *arg)
{
    (void)token;
    (void)arg;
    puts("prepared");
    fflush(stdout);
    return getenv("FP_TEST_REFUSE") == NULL;
}

static void settle(const char *token, bool made, void *arg)
{
    (void)arg;
    if (made)
        printf("token %s\n", token);
    else
        puts("no token");
    fflush(stdout);
}

static void on_stdin(struct fp_io *io, unsigned events)
{
    char buf[256];
    (void)events;
    ssize_t n = read(io->fd, buf, sizeof(buf));
    if (n <= 0)
        fp_loop_stop(loop);
    else if (n == 5 && memcmp(buf, "rest\n", 5) == 0)
        fp_follow_rest(follow);
    else
        load();
}

int main(void)
{
    const char *url = getenv("FP_TEST_DATABASE"), *poll = getenv("FP_TEST_POLL_MS");
    const char *statement = getenv("FP_TEST_STATEMENT_MS");
    struct fp_store_seed seed = {
        .secret = getenv("FP_TEST_SECRET"), .prepare = prepare, .settle = settle};
    struct fp_follow_handlers h = {
        .on_state = on_state, .on_behind = on_behind, .on_fatal = on_fatal};
    struct fp_io in = {.fd = 0, .cb = on_stdin};
    if (!url) {
        puts("1..0 # SKIP run by the tests of t/20-store");
        return 0;
    }
    struct fp_follow_options o = {.url = url,
                                  .listen_url = getenv("FP_TEST_LISTEN"),
                                  .connect_timeout_ms = 30000,
                                  .statement_timeout_ms =
                                      statement ? strtoull(statement, NULL, 10) : 60000,
                                  .poll_interval_ms = poll ? strtoull(poll, NULL, 10) : 5000,
                                  .auto_migrate = getenv("FP_TEST_NO_MIGRATE") == NULL,
                                  .sql_dir = getenv("FP_TEST_SQL"),
                                  .default_gateway = getenv("FP_TEST_GATEWAY") != NULL,
                                  .seed = getenv("FP_TEST_NO_SEED") ? NULL : &seed};
    fp_log_fd_set(dup(2));
    fp_log_filter_set(getenv("FP_TEST_LOG") ? getenv("FP_TEST_LOG") : "info");
    loop = fp_loop_new();
    follow = fp_follow_new(loop, &o, &h);
    fp_io_watch(loop, &in, FP_IO_READ);
    fp_loop_run(loop);
    fp_follow_free(&follow);
    fp_io_stop(&in);
    fp_loop_free(&loop);
    return 0;
}
