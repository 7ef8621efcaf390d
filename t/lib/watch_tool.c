/*
 * A watcher for the tests of t/20-store: follows FP_TEST_DATABASE and prints a line for each
 * snapshot it publishes, as FP_TEST_STATE (the state directory) and the clock allow.  Ends with
 * stdin; a line there prints the control page.
 */
#include <stdlib.h>
#include <unistd.h>
#include "codec/codec_hash.h"
#include "codec/codec_json.h"
#include "core/core_log.h"
#include "os/os_memfd.h"
#include "snap/snap_reader.h"
#include "watch/watch.h"

static struct fp_loop *loop;
static struct fp_page *page;

static void print_kind(const struct fp_snap *s, enum fp_kind kind)
{
    struct fp_snap_entry e;
    for (uint32_t i = 0; i < fp_snap_count(s, kind); i++) {
        char hash[17];
        fp_snap_at(s, kind, i, &e);
        fp_hex(hash, e.hash, 8);
        printf("entry %s %.*s v%lld %s refs=%u %s\n", fp_kinds[kind].name, FP_STR_ARG(e.name),
               (long long)e.row_version, hash, (unsigned)e.refs_n,
               e.rest.data ? "rest" : "generated");
    }
}

static void on_publish(int fd, uint64_t generation, uint64_t revision, void *arg)
{
    struct fp_snap *s;
    (void)arg;
    if (fp_snap_open(fd, &s) < 0) {
        puts("broken");
        return;
    }
    for (int k = 0; k < FP_KIND_N; k++)
        print_kind(s, (enum fp_kind)k);
    printf("published %llu %llu\n", (unsigned long long)revision, (unsigned long long)generation);
    fflush(stdout);
    fp_snap_unref(&s);
    close(fd);
}

static void on_fatal(const char *why, void *arg)
{
    (void)arg;
    printf("fatal %s\n", why);
    fflush(stdout);
    fp_loop_stop(loop);
}

static void on_stdin(struct fp_io *io, unsigned events)
{
    char buf[256];
    (void)events;
    if (read(io->fd, buf, sizeof(buf)) <= 0) {
        fp_loop_stop(loop);
        return;
    }
    int unbuildable = 0;
    for (int k = 0; k < FP_KIND_N; k++)
        unbuildable += (int)page->unbuildable[k];
    printf("page up=%d listen=%d database=%llu published=%llu cache=%d unbuildable=%d\n",
           (int)page->database_up, (int)page->listen_up,
           (unsigned long long)page->database_revision,
           (unsigned long long)page->published_revision, (int)page->source_cache, unbuildable);
    fflush(stdout);
}

static bool prepare(const char *token, void *arg)
{
    (void)token, (void)arg;
    return true;
}

static void settle(const char *token, bool made, void *arg)
{
    (void)token, (void)made, (void)arg;
}

int main(void)
{
    struct fp_io in = {.fd = 0, .cb = on_stdin};
    struct fp_store_seed seed = {.prepare = prepare, .settle = settle};
    struct fp_pb_pool *pool;
    const char *url = getenv("FP_TEST_DATABASE");
    if (!url || fp_pb_pool_builtin(&pool) < 0)
        return 1;
    fp_log_fd_set(dup(2));
    fp_log_filter_set(getenv("FP_TEST_LOG") ? getenv("FP_TEST_LOG") : "info");
    fp_json_init();
    page = fp_shared_pages_new(sizeof(*page));
    loop = fp_loop_new();
    struct fp_watch_options o = {
        .follow = {.url = url,
                   .listen_url = getenv("FP_TEST_LISTEN"),
                   .connect_timeout_ms = 30000,
                   .statement_timeout_ms = 60000,
                   .poll_interval_ms = 5000,
                   .auto_migrate = true,
                   .default_gateway = getenv("FP_TEST_GATEWAY") != NULL,
                   .seed = &seed},
        .pool = pool,
        .debounce_min_ms = 10,
        .debounce_max_ms = 200,
        .state_dir = getenv("FP_TEST_STATE"),
        .page = page,
        .publish = on_publish,
        .fatal = on_fatal,
    };
    struct fp_watch *w = fp_watch_new(loop, &o);
    fp_io_watch(loop, &in, FP_IO_READ);
    fp_loop_run(loop);
    fp_watch_free(&w);
    fp_io_stop(&in);
    fp_loop_free(&loop);
    fp_pb_pool_free(&pool);
    return 0;
}
