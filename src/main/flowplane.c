/*
 * flowplane(8): the command line, and the table of roles.  Everything else is in the rooms.
 */
#include <getopt.h>
#include <stdlib.h>
#include <unistd.h>
#include "core/core_clock.h"
#include "fp_config.h"
#include "master/master.h"
#include "obs/obs_commit.h"
#include "obs/obs_status.h"
#include "obs/obs_limit.h"
#include "obs/obs_metric.h"
#include "os/os_memfd.h"
#include "os/os_process.h"
#include "store/store_sql.h"
#include "tls/tls_memory.h"
#include "worker/worker.h"
#include "main/main_int.h"

static const struct fp_master_roles roles = {.worker = fp_worker_run,
                                             .watcher = main_watcher_run,
                                             .pools_open = main_pools_open,
                                             .pools_close = main_pools_close};

static const char help[] =
    "Usage: flowplane [-c FILE] [-g 'DIRECTIVE = VALUE']... [-t|-tt] [-T] [-s SIGNAL]\n"
    "  -c FILE      configuration file instead of " FP_CONF_PATH "\n"
    "  -g TEXT      a directive, e.g. -g 'api.port = 18080'; repeatable, wins over files\n"
    "  -t, -tt      test the configuration; -tt also connects to the database\n"
    "  -T           test, and print every effective value with its origin\n"
    "  -s SIGNAL    stop, quit, reload or reopen: tell the running server\n"
    "  --dev        try it: embedded PostgreSQL and all files in ./run, loopback only\n"
    "  --ephemeral  with --dev: remove the data at exit\n"
    "  -v, -V       version; version and build\n"
    "  -h           this text\n";

static int usage(void)
{
    fputs("flowplane: see flowplane -h or flowplane(8)\n", stderr);
    return 2;
}

static int version(bool all)
{
    printf("flowplane %s\n", FP_VERSION);
    if (all)
        printf("compiler: %s\nconfigure: %s\nsanitizer: %s\nlibraries: %s\nschema: %d\n"
               "configuration: %s\nruntime: %s\nstate: %s\n",
               FP_COMPILER, *FP_CONFIGURE_ARGS ? FP_CONFIGURE_ARGS : "(no options)",
               *FP_SANITIZER ? FP_SANITIZER : "none", FP_LIBRARIES,
               fp_sql_migrations_n ? fp_sql_migrations[fp_sql_migrations_n - 1].version : 0,
               FP_CONF_PATH, FP_RUNTIME_DIR, FP_STATE_DIR);
    return 0;
}

const char *main_conf_name(const struct main_options *o)
{
    return o->sources.file ? o->sources.file : FP_CONF_PATH;
}

/* Exit status, or -1: go on. */
static int parse(int argc, char **argv, struct main_options *o)
{
    enum { DEV = 256, EPHEMERAL };
    static const struct option longs[] = {{"dev", no_argument, NULL, DEV},
                                          {"ephemeral", no_argument, NULL, EPHEMERAL},
                                          {"help", no_argument, NULL, 'h'},
                                          {"version", no_argument, NULL, 'v'},
                                          {NULL, 0, NULL, 0}};
    int c;
    while ((c = getopt_long(argc, argv, "c:g:tTvVs:h", longs, NULL)) != -1) {
        switch (c) {
        case 'c':
            o->sources.file = optarg;
            break;
        case 'g':
            if (o->sources.overrides_n == sizeof o->overrides / sizeof *o->overrides)
                return usage();
            o->overrides[o->sources.overrides_n++] = optarg;
            break;
        case 't':
            o->test++;
            break;
        case 'T':
            o->dump = true;
            break;
        case 'v':
        case 'V':
            return version(c == 'V');
        case 's':
            o->signal = optarg;
            break;
        case DEV:
            o->sources.dev = true;
            break;
        case EPHEMERAL:
            o->ephemeral = o->sources.dev = true;
            break;
        case 'h':
            fputs(help, stdout);
            return 0;
        default:
            return usage();
        }
    }
    if (optind < argc) {
        fprintf(stderr, "flowplane: unexpected argument \"%s\"\n", argv[optind]);
        return usage();
    }
    return -1;
}

static int test(const struct main_options *o)
{
    struct fp_conf *c = fp_conf_load(&o->sources, stderr);
    bool ok = c && main_check(c, o->test > 1, stderr);
    if (ok && o->dump)
        fp_conf_print(c, stdout);
    fprintf(stderr, "flowplane: configuration %s test %s\n", main_conf_name(o),
            ok ? "is successful" : "failed");
    fp_conf_free(&c);
    return ok ? 0 : 1;
}

static int run(struct main_options *o)
{
    static char report[MAIN_REPORT_BYTES];
    FILE *err = fmemopen(report, sizeof report - 1, "w");
    struct fp_conf *c = err ? fp_conf_load(&o->sources, err) : NULL;
    if (err)
        fclose(err);
    if (!c) {
        fputs(report, stderr);
        return 1;
    }
    if (o->sources.dev && geteuid() == 0) {
        fputs("flowplane: --dev does not run as root: its PostgreSQL must not\n", stderr);
        fp_conf_free(&c);
        return 1;
    }
    struct fp_page *page = fp_shared_pages_new(sizeof(*page));
    page->limits = fp_limits_new();
    page->metrics = fp_metrics_new();
    page->commits = fp_commits_new();
    atomic_store(&page->started_ms, fp_clock_mono_ms());
    atomic_store(&page->started_wall_s, (uint64_t)fp_clock_wall_ms() / 1000);
    page->status = fp_status_new(c->process.workers, c->xds.max_streams);
    if (o->sources.dev)
        main_dev_certificates(c, stderr);
    struct fp_master_options m = {.conf = c,
                                  .sources = &o->sources,
                                  .roles = &roles,
                                  .page = page,
                                  .dev = o->sources.dev,
                                  .ephemeral = o->ephemeral,
                                  .err = stderr,
                                  .report = report};
    int status = fp_master_run(&m);
    fp_conf_free(&c);
    return status;
}

int main(int argc, char **argv)
{
    struct main_options o = {
        .sources = {.prefix_share = FP_PREFIX_SHARE, .prefix_etc = FP_PREFIX_ETC}};
    o.sources.overrides = o.overrides;
    fp_process_title_init(argc, argv); /* first: it moves the strings of argv */
    fp_tls_memory_init();
    int status = parse(argc, argv, &o);
    if (status >= 0)
        return status;
    if (o.signal)
        return main_signal(&o);
    if (o.test || o.dump)
        return test(&o);
    return run(&o);
}
