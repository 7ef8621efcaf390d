/*
 * TLS contexts of a worker: made from the descriptors that the master passes, at start and when the
 * files have changed (contract §9.5).  All or nothing: a set that does not fit together is refused
 * whole, and what was before stays.
 */
#include <unistd.h>
#include "core/core_log.h"
#include "os/os_file.h"
#include "worker/worker_int.h"

#define PEM_MAX_BYTES (1u << 20)

struct worker_file { /* that came in, in files_arena */
    struct worker_file *next;
    struct fp_str directive, text;
};

/* Where texts come from: the files of the start, or those that came in. */
static struct fp_str text_of(struct fp_worker *w, const char *directive, struct fp_arena *a)
{
    int err;
    for (struct worker_file *f = w->files; f; f = f->next)
        if (fp_str_eq_c(f->directive, directive))
            return f->text;
    if (w->files)
        return FP_STR_NULL;
    struct fp_str text =
        fp_child_file_text(w->child->files, w->child->files_n, directive, PEM_MAX_BYTES, a, &err);
    if (err < 0)
        fp_log_error(FP_LOG_CONFIG, "%s: %s", directive, fp_err_text(err));
    return text;
}

static struct fp_tls_context *context_of(struct fp_worker *w, const char *group,
                                         const struct fp_conf_tls *t, bool h2_only,
                                         struct fp_arena *a, const char **why)
{
    struct fp_tls_files f = {0};
    const struct {
        struct fp_str *text;
        const char **path, *key, *configured;
    } files[] = {
        {&f.cert, &f.cert_path, "cert_path", t->cert_path},
        {&f.key, &f.key_path, "key_path", t->key_path},
        {&f.chain, &f.chain_path, "chain_path", t->chain_path},
        {&f.client_ca, &f.client_ca_path, "client_ca_path", t->client_ca_path},
        {&f.crl, &f.crl_path, "crl_path", t->crl_path},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const char *name = fp_arena_printf(a, "%s.tls.%s", group, files[i].key);
        if (!files[i].configured && !w->files)
            continue;
        *files[i].text = text_of(w, name, a);
        /* a newer configuration may have files that this process's has not */
        if (files[i].configured || files[i].text->data)
            *files[i].path = files[i].configured ? files[i].configured : name;
    }
    struct fp_tls_options o = {.min_tls13 = t->min_tls13,
                               .require_client_cert = t->require_client_cert,
                               .h2_only = h2_only};
    return fp_tls_context_new(&f, &o, a, why);
}

/* For flowplane_certificate_expiry_timestamp_seconds; all workers have the same files. */
static void tell_ends(struct fp_worker *w)
{
    _Atomic uint64_t *ends = w->child->page->certificate_end_s;
    const struct fp_tls_context *api = w->api_tls, *xds = w->xds_tls;
    atomic_store(&ends[FP_PAGE_CERT_API],
                 api ? (uint64_t)fp_tls_context_not_after_ms(api) / 1000 : 0);
    atomic_store(&ends[FP_PAGE_CERT_XDS],
                 xds ? (uint64_t)fp_tls_context_not_after_ms(xds) / 1000 : 0);
    atomic_store(&ends[FP_PAGE_CERT_XDS_CA],
                 xds ? (uint64_t)fp_tls_context_ca_not_after_ms(xds) / 1000 : 0);
}

bool worker_tls_open(struct fp_worker *w, const char **why)
{
    const struct fp_conf *c = w->child->conf;
    if (c->api.tls.enabled &&
        !(w->api_tls = context_of(w, "api", &c->api.tls, false, w->arena, why)))
        return false;
    if (c->xds.tls.cert_path &&
        !(w->xds_tls = context_of(w, "xds", &c->xds.tls, true, w->arena, why)))
        return false;
    tell_ends(w);
    return true;
}

void worker_tls_file(struct fp_worker *w, struct fp_str directive, int fd)
{
    struct fp_buf text = {0};
    if (!w->files_arena)
        w->files_arena = fp_arena_new(NULL);
    int err = fp_file_read_fd(fd, PEM_MAX_BYTES, &text);
    close(fd);
    if (err < 0) {
        fp_log_error(FP_LOG_CONFIG, "%.*s: %s", FP_STR_ARG(directive), fp_err_text(err));
    } else {
        struct worker_file *f = FP_ARENA_NEW(w->files_arena, struct worker_file);
        f->directive = fp_arena_str(w->files_arena, directive);
        f->text = fp_arena_str(w->files_arena, fp_buf_str(&text));
        f->next = w->files;
        w->files = f;
    }
    fp_buf_fini(&text);
}

static void replace(struct fp_worker *w, const char *group, const struct fp_conf_tls *t,
                    bool h2_only, struct fp_tls_context **at, struct fp_http_server *server)
{
    const char *why = "";
    char text[256];
    struct fp_tls_context *now = context_of(w, group, t, h2_only, w->files_arena, &why);
    if (!now) {
        fp_log_error(FP_LOG_CONFIG, "%s.tls: the new files are refused, those before stay: %s",
                     group, why);
        return;
    }
    fp_tls_context_unref(at);
    *at = now;
    size_t closed = fp_http_server_tls_set(server, now);
    fp_tls_context_describe(now, text, sizeof text);
    fp_log_info(FP_LOG_CONFIG, "%s.tls: new files are in use, %s; %zu connections revoked", group,
                text, closed);
}

void worker_tls_reload(struct fp_worker *w)
{
    const struct fp_conf *c = w->child->conf;
    if (w->files && w->api_tls)
        replace(w, "api", &c->api.tls, false, &w->api_tls, w->api_server);
    if (w->files && w->xds_tls)
        replace(w, "xds", &c->xds.tls, true, &w->xds_tls, w->xds_server);
    w->files = NULL;
    fp_arena_free(&w->files_arena);
    tell_ends(w);
}

void worker_tls_free(struct fp_worker *w)
{
    fp_tls_context_unref(&w->api_tls);
    fp_tls_context_unref(&w->xds_tls);
    fp_arena_free(&w->files_arena);
}
