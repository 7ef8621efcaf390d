/*
 * -t and -tt: what a start would find wrong, without starting (contract §13.1).  Opens the files as
 * the master would, checks certificates as a worker would.  Changes nothing.
 */
#include <unistd.h>
#include "store/store.h"
#include "tls/tls_context.h"
#include "main/main_int.h"

#define PEM_MAX_BYTES (1u << 20)

static bool check_tls(const struct fp_conf_files *files, const char *group,
                      const struct fp_conf_tls *t, bool h2_only, struct fp_arena *a, FILE *err)
{
    struct fp_tls_files f = {.cert_path = t->cert_path,
                             .key_path = t->key_path,
                             .chain_path = t->chain_path,
                             .client_ca_path = t->client_ca_path,
                             .crl_path = t->crl_path};
    const struct {
        struct fp_str *text;
        const char *key;
    } parts[] = {{&f.cert, "cert_path"},
                 {&f.key, "key_path"},
                 {&f.chain, "chain_path"},
                 {&f.client_ca, "client_ca_path"},
                 {&f.crl, "crl_path"}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        int error;
        const char *name = fp_arena_printf(a, "%s.tls.%s", group, parts[i].key);
        *parts[i].text = fp_child_file_text(files->items, files->n, name, PEM_MAX_BYTES, a, &error);
        if (error < 0) {
            fprintf(err, "%s: %s\n", name, fp_err_text(error));
            return false;
        }
    }
    struct fp_tls_options o = {.min_tls13 = t->min_tls13,
                               .require_client_cert = t->require_client_cert,
                               .h2_only = h2_only};
    const char *why = "cannot be used";
    struct fp_tls_context *c = fp_tls_context_new(&f, &o, a, &why);
    if (!c) {
        fprintf(err, "%s.tls: %s\n", group, why);
        return false;
    }
    fp_tls_context_unref(&c);
    return true;
}

/* --- the database --- */

struct probe {
    struct fp_loop *loop;
    struct fp_store *store;
    struct fp_timer poll, end;
};

static void probe_poll(struct fp_timer *t)
{
    struct probe *p = t->arg;
    if (fp_store_up(p->store))
        fp_loop_stop(p->loop);
    else
        fp_timer_start(p->loop, t, 20);
}

static void probe_end(struct fp_timer *t)
{
    fp_loop_stop(((struct probe *)t->arg)->loop);
}

static bool check_database(const struct fp_conf *c, const char *url, FILE *err)
{
    struct probe p = {.loop = fp_loop_new()};
    struct fp_store_options o = {.url = url,
                                 .application_name = "flowplane",
                                 .pool_size = 1,
                                 .min_connections = 1,
                                 .connect_timeout_ms = c->database.connect_timeout_ms,
                                 .statement_timeout_ms = c->database.statement_timeout_ms,
                                 .queue_max = 1};
    p.store = fp_store_new(p.loop, &o);
    p.poll = (struct fp_timer){.cb = probe_poll, .arg = &p};
    p.end = (struct fp_timer){.cb = probe_end, .arg = &p};
    fp_timer_start(p.loop, &p.poll, 20);
    fp_timer_start(p.loop, &p.end, c->database.connect_timeout_ms);
    fp_loop_run(p.loop);
    bool up = fp_store_up(p.store);
    if (!up)
        fprintf(err, "database.url: cannot connect to the database: %s\n",
                *fp_store_last_error() ? fp_store_last_error() : "no answer");
    fp_timer_stop(&p.poll);
    fp_timer_stop(&p.end);
    fp_store_free(&p.store);
    fp_loop_free(&p.loop);
    return up;
}

bool main_check(const struct fp_conf *c, bool connect, FILE *err)
{
    struct fp_conf_files files;
    if (!fp_conf_files_open(c, &files, err))
        return false;
    struct fp_arena *a = fp_arena_new(NULL);
    bool ok = true;
    if (c->api.tls.enabled)
        ok = check_tls(&files, "api", &c->api.tls, false, a, err);
    if (c->xds.tls.enabled)
        ok = check_tls(&files, "xds", &c->xds.tls, true, a, err) && ok;
    struct fp_child_pools pools;
    ok = main_pools_open(c, &files, &pools, err) && ok;
    main_pools_close(&pools);
    struct fp_child child = {.conf = c, .files = files.items, .files_n = files.n};
    const char *why = NULL, *url = fp_child_database_url(&child, a, &why);
    if (!url && why) { /* without one at all, the load has judged */
        fprintf(err, "%s\n", why);
        ok = false;
    } else if (connect && url) {
        ok = check_database(c, url, err) && ok;
    }
    fp_arena_free(&a);
    fp_conf_files_close(&files);
    return ok;
}
