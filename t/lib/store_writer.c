/*
 * A client of the pool for the tests of t/20-store: each line of stdin is a cluster to create,
 * with "=" in front one to replace by other content; prints "<name> <outcome> <revision> <ms>" when
 * the store answers.  Ends with stdin.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "core/core_buf.h"
#include "core/core_clock.h"
#include "core/core_log.h"
#include "core/core_mem.h"
#include "store/store.h"

static struct fp_loop *loop;
static struct fp_store *store;
static struct fp_buf input;
static bool ended;
static int pending;

struct write {
    char name[64];
    uint64_t start_ms;
};

static const char *const outcomes[] = {
    [FP_STORE_DONE] = "done",
    [FP_STORE_UNCHANGED] = "unchanged",
    [FP_STORE_NOT_FOUND] = "not_found",
    [FP_STORE_NAME_TAKEN] = "name_taken",
    [FP_STORE_ADDRESS_TAKEN] = "address_taken",
    [FP_STORE_SET_TAKEN] = "set_taken",
    [FP_STORE_TEAM] = "team",
    [FP_STORE_STALE] = "stale",
    [FP_STORE_MISSING_REFS] = "missing_refs",
    [FP_STORE_REFERENCED] = "referenced",
    [FP_STORE_PROTECTED] = "protected",
    [FP_STORE_REFUSED] = "refused",
    [FP_STORE_UNAVAILABLE] = "unavailable",
};

static void on_answer(const struct fp_store_result *r, void *arg)
{
    struct write *w = arg;
    printf("%s %s %llu %llu\n", w->name, outcomes[r->outcome], (unsigned long long)r->revision,
           (unsigned long long)(fp_clock_mono_ms() - w->start_ms));
    fflush(stdout);
    fp_mem_free(w);
    if (--pending == 0 && ended)
        fp_loop_stop(loop);
}

static void write_one(struct fp_str name)
{
    static int n;
    char configuration[32];
    bool replace = name.len > 1 && name.data[0] == '=';
    struct write *w = fp_mem_zalloc(sizeof(*w));
    struct fp_store_write row = {.kind = FP_KIND_CLUSTER,
                                 .name = name,
                                 .source = FP_STR("native_api"),
                                 .form = FP_STR("model"),
                                 .configuration = FP_STR("{}"),
                                 .service_name = name,
                                 .port = -1,
                                 .if_version = -1};
    snprintf(w->name, sizeof(w->name), "%.*s", FP_STR_ARG(name));
    w->start_ms = fp_clock_mono_ms();
    pending++;
    if (!replace) {
        fp_store_create(store, &row, on_answer, w);
        return;
    }
    snprintf(configuration, sizeof(configuration), "{\"r\":%d}", ++n);
    row.configuration = fp_str_of(configuration);
    row.name = row.service_name = fp_str_n(name.data + 1, name.len - 1);
    fp_store_replace(store, &row, on_answer, w);
}

static void on_stdin(struct fp_io *io, unsigned events)
{
    char chunk[4096], *end;
    ssize_t n = read(io->fd, chunk, sizeof(chunk));
    (void)events;
    if (n <= 0) {
        ended = true;
        fp_io_stop(io);
        if (pending == 0)
            fp_loop_stop(loop);
        return;
    }
    fp_buf_append(&input, chunk, (size_t)n);
    while (input.len && (end = memchr(input.data, '\n', input.len)) != NULL) {
        struct fp_str name = fp_str_n(input.data, (size_t)(end - input.data));
        if (fp_str_eq_c(name, "?"))
            printf("up %d\n", fp_store_up(store));
        else
            write_one(name);
        fflush(stdout);
        fp_buf_consume(&input, name.len + 1);
    }
}

static unsigned option(const char *name, unsigned otherwise)
{
    const char *s = getenv(name);
    return s ? (unsigned)strtoul(s, NULL, 10) : otherwise;
}

int main(void)
{
    struct fp_io in = {.fd = 0, .cb = on_stdin};
    struct fp_store_options o = {.url = getenv("FP_TEST_DATABASE"),
                                 .application_name = "flowplane",
                                 .pool_size = option("FP_TEST_POOL", 4),
                                 .min_connections = option("FP_TEST_MIN", 0),
                                 .connect_timeout_ms = option("FP_TEST_CONNECT_MS", 30000),
                                 .idle_timeout_ms = option("FP_TEST_IDLE_MS", 600000),
                                 .statement_timeout_ms = option("FP_TEST_STATEMENT_MS", 60000),
                                 .queue_max = option("FP_TEST_QUEUE", 100)};
    if (!o.url)
        return 1;
    fp_log_fd_set(dup(2));
    fp_log_filter_set(getenv("FP_TEST_LOG") ? getenv("FP_TEST_LOG") : "info");
    loop = fp_loop_new();
    store = fp_store_new(loop, &o);
    fp_io_watch(loop, &in, FP_IO_READ);
    fp_loop_run(loop);
    fp_store_free(&store);
    fp_io_stop(&in);
    fp_buf_fini(&input);
    fp_loop_free(&loop);
    return 0;
}
