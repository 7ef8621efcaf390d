/* Inside of the tls room. */
#pragma once
#include <openssl/ssl.h>
#include "core/core_clock.h"
#include "tls/tls_context.h"

struct fp_tls_context {
    unsigned refs;
    SSL_CTX *ctx;
    X509 *leaf;
    int64_t ca_not_after_ms; /* of the client CAs the first to end; 0: none */
    bool h2_only;
};

int64_t fp_tls_asn1_time_ms(const ASN1_TIME *t); /* wall clock; 0 when unreadable */
char *fp_tls_subject(const X509 *x);             /* RFC 2253 text, fp_mem_free */
