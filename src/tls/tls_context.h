/* Server TLS contexts from files opened by the master (contract §9.5, §12.2).  All or nothing. */
#pragma once
#include "core/core_arena.h"
#include "core/core_err.h"

struct fp_tls_context;
struct fp_tls_files { /* PEM texts; data == NULL: not configured.  `*_name` are directive names for
                         messages */
    struct fp_str cert, key, chain, client_ca, crl;
    const char *cert_path, *key_path, *chain_path, *client_ca_path, *crl_path;
};
struct fp_tls_options {
    bool min_tls13;
    bool require_client_cert; /* with client_ca */
    bool h2_only;             /* ALPN h2 required (xDS) */
};
/* NULL on error; *why is one line in the arena that names the path: not readable, not PEM, expired,
 * key does not match … */
struct fp_tls_context *fp_tls_context_new(const struct fp_tls_files *f,
                                          const struct fp_tls_options *o, struct fp_arena *a,
                                          const char **why);
struct fp_tls_context *fp_tls_context_ref(struct fp_tls_context *c);
void fp_tls_context_unref(struct fp_tls_context **c);
/* Subject and notAfter of the leaf, for the start-up log line. */
void fp_tls_context_describe(const struct fp_tls_context *c, char *out, size_t n);
int64_t fp_tls_context_not_after_ms(const struct fp_tls_context *c);    /* of the leaf */
int64_t fp_tls_context_ca_not_after_ms(const struct fp_tls_context *c); /* the earliest; 0: no CA */
