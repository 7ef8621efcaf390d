/*
 * Server contexts from PEM texts (contract §9.5), in workers and at the configuration check.  Reads
 * no file and asks for no pass phrase; one context is made whole or not at all, and each way to
 * fail has its own sentence with the path in it.
 */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include "core/core_assert.h"
#include "core/core_mem.h"
#include "tls/tls_int.h"

/* ECDHE and AEAD only; TLS 1.3 has nothing else anyway */
#define CIPHERS_TLS12 "ECDHE+AESGCM:ECDHE+CHACHA20"

struct making { /* state of one fp_tls_context_new */
    const struct fp_tls_files *f;
    struct fp_arena *a;
    SSL_CTX *ctx;
    X509 *leaf;
    int64_t ca_not_after_ms;
    const char *why;
};

static bool fail(struct making *m, const char *path, const char *what)
{
    m->why = fp_arena_printf(m->a, "%s: %s", path ? path : "(TLS file)", what);
    return false;
}

static const char *openssl_reason(void)
{
    const char *s = ERR_reason_error_string(ERR_peek_last_error());
    return s ? s : "unknown error";
}

static bool readable(struct making *m, struct fp_str text, const char *path)
{
    return text.data ? true : fail(m, path, "cannot be read");
}

static int no_pass_phrase(char *buf, int size, int rwflag, void *user)
{
    return -1;
}

static const char *date_text(struct making *m, const ASN1_TIME *t)
{
    struct tm tm;
    if (!ASN1_TIME_to_tm(t, &tm))
        return "an unreadable date";
    return fp_arena_printf(m->a, "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
}

static bool check_dates(struct making *m, const char *path)
{
    const ASN1_TIME *from = X509_get0_notBefore(m->leaf), *to = X509_get0_notAfter(m->leaf);
    if (X509_cmp_current_time(to) < 0)
        return fail(m, path,
                    fp_arena_printf(m->a, "the certificate expired on %s", date_text(m, to)));
    if (X509_cmp_current_time(from) > 0)
        return fail(
            m, path,
            fp_arena_printf(m->a, "the certificate is not valid before %s", date_text(m, from)));
    return true;
}

/* Calls take() for each certificate of a PEM text; the number, or -1 after an error. */
static int each_certificate(struct making *m, struct fp_str text, const char *path,
                            bool (*take)(struct making *m, X509 *x))
{
    BIO *bio = BIO_new_mem_buf(text.data, (int)text.len);
    int n = 0;
    X509 *x;
    FP_ASSERT(bio);
    ERR_clear_error();
    while ((x = PEM_read_bio_X509(bio, NULL, no_pass_phrase, NULL))) {
        bool ok = take(m, x);
        X509_free(x);
        if (!ok) {
            fail(m, path, openssl_reason());
            BIO_free(bio);
            return -1;
        }
        n++;
    }
    BIO_free(bio);
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
        fail(m, path, "holds a damaged certificate");
        return -1;
    }
    ERR_clear_error();
    return n;
}

static bool take_own(struct making *m, X509 *x)
{
    if (m->leaf)
        return SSL_CTX_add1_chain_cert(m->ctx, x) == 1;
    m->leaf = x;
    X509_up_ref(x);
    return SSL_CTX_use_certificate(m->ctx, x) == 1;
}

static bool take_chain(struct making *m, X509 *x)
{
    return SSL_CTX_add1_chain_cert(m->ctx, x) == 1;
}

static bool take_ca(struct making *m, X509 *x)
{
    int64_t end_ms = fp_tls_asn1_time_ms(X509_get0_notAfter(x));
    if (!m->ca_not_after_ms || end_ms < m->ca_not_after_ms)
        m->ca_not_after_ms = end_ms;
    return X509_STORE_add_cert(SSL_CTX_get_cert_store(m->ctx), x) == 1 &&
           SSL_CTX_add_client_CA(m->ctx, x) == 1;
}

static bool load_certificate(struct making *m)
{
    const struct fp_tls_files *f = m->f;
    if (!readable(m, f->cert, f->cert_path))
        return false;
    int n = each_certificate(m, f->cert, f->cert_path, take_own);
    if (n == 0)
        return fail(m, f->cert_path, "holds no PEM certificate");
    if (n < 0 || !check_dates(m, f->cert_path))
        return false;
    if (!f->chain_path)
        return true;
    if (!readable(m, f->chain, f->chain_path))
        return false;
    n = each_certificate(m, f->chain, f->chain_path, take_chain);
    return n > 0 || (n < 0 ? false : fail(m, f->chain_path, "holds no PEM certificate"));
}

static bool load_key(struct making *m)
{
    const struct fp_tls_files *f = m->f;
    if (!readable(m, f->key, f->key_path))
        return false;
    BIO *bio = BIO_new_mem_buf(f->key.data, (int)f->key.len);
    FP_ASSERT(bio);
    ERR_clear_error();
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_pass_phrase, NULL);
    BIO_free(bio);
    if (!key) {
        bool locked = strstr(openssl_reason(), "password") || strstr(openssl_reason(), "interrupt");
        return fail(m, f->key_path,
                    locked ? "the private key is encrypted; store it without a pass phrase"
                           : "holds no PEM private key");
    }
    bool match = X509_check_private_key(m->leaf, key) == 1;
    bool used = match && SSL_CTX_use_PrivateKey(m->ctx, key) == 1;
    EVP_PKEY_free(key);
    if (!match)
        return fail(
            m, f->key_path,
            fp_arena_printf(m->a, "the key does not match the certificate in %s", f->cert_path));
    return used ? true : fail(m, f->key_path, openssl_reason());
}

static bool load_crl(struct making *m)
{
    const struct fp_tls_files *f = m->f;
    X509_STORE *store = SSL_CTX_get_cert_store(m->ctx);
    int n = 0;
    if (!readable(m, f->crl, f->crl_path))
        return false;
    if (!f->client_ca_path)
        return fail(m, f->crl_path, "a revocation list needs client_ca_path");
    BIO *bio = BIO_new_mem_buf(f->crl.data, (int)f->crl.len);
    FP_ASSERT(bio);
    X509_CRL *crl;
    ERR_clear_error();
    while ((crl = PEM_read_bio_X509_CRL(bio, NULL, no_pass_phrase, NULL))) {
        n += X509_STORE_add_crl(store, crl) == 1;
        X509_CRL_free(crl);
    }
    BIO_free(bio);
    /* of a file cut short the lists before would be taken, and who is revoked by the rest let in */
    bool end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    if (!end)
        return fail(m, f->crl_path, "holds a damaged revocation list");
    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
    return n ? true : fail(m, f->crl_path, "holds no PEM revocation list");
}

static bool load_clients(struct making *m, const struct fp_tls_options *o)
{
    const struct fp_tls_files *f = m->f;
    if (f->client_ca_path) {
        if (!readable(m, f->client_ca, f->client_ca_path))
            return false;
        int n = each_certificate(m, f->client_ca, f->client_ca_path, take_ca);
        if (n <= 0)
            return n < 0 ? false : fail(m, f->client_ca_path, "holds no PEM certificate");
        SSL_CTX_set_verify(
            m->ctx,
            SSL_VERIFY_PEER | (o->require_client_cert ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), NULL);
    }
    return f->crl_path ? load_crl(m) : true;
}

/* Server's choice: h2 first.  A client that offers nothing we speak is told so by an alert. */
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n,
                       const unsigned char *in, unsigned in_n, void *arg)
{
    static const unsigned char ours[] = "\x02h2\x08http/1.1";
    const struct fp_tls_context *c = arg;
    unsigned n = c->h2_only ? 3 : sizeof ours - 1;
    unsigned char *picked;
    if (SSL_select_next_proto(&picked, out_n, ours, n, in, in_n) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = picked;
    return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *bare_context(const struct fp_tls_options *o)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    FP_ASSERT(ctx);
    SSL_CTX_set_min_proto_version(ctx, o->min_tls13 ? TLS1_3_VERSION : TLS1_2_VERSION);
    FP_ASSERT(SSL_CTX_set_cipher_list(ctx, CIPHERS_TLS12) == 1);
    /* No resumption: it would let a client in whose certificate has been revoked since, and its
     * tickets cost memory on every connection. */
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return ctx;
}

struct fp_tls_context *fp_tls_context_new(const struct fp_tls_files *f,
                                          const struct fp_tls_options *o, struct fp_arena *a,
                                          const char **why)
{
    struct making m = {.f = f, .a = a, .ctx = bare_context(o)};
    if (!load_certificate(&m) || !load_key(&m) || !load_clients(&m, o)) {
        *why = m.why;
        X509_free(m.leaf);
        SSL_CTX_free(m.ctx);
        ERR_clear_error();
        return NULL;
    }
    struct fp_tls_context *c = fp_mem_zalloc(sizeof *c);
    *c = (struct fp_tls_context){.refs = 1,
                                 .ctx = m.ctx,
                                 .leaf = m.leaf,
                                 .ca_not_after_ms = m.ca_not_after_ms,
                                 .h2_only = o->h2_only};
    SSL_CTX_set_alpn_select_cb(m.ctx, select_alpn, c);
    return c;
}

struct fp_tls_context *fp_tls_context_ref(struct fp_tls_context *c)
{
    c->refs++;
    return c;
}

void fp_tls_context_unref(struct fp_tls_context **cp)
{
    struct fp_tls_context *c = *cp;
    *cp = NULL;
    if (!c || --c->refs)
        return;
    X509_free(c->leaf);
    SSL_CTX_free(c->ctx);
    fp_mem_free(c);
}

int64_t fp_tls_asn1_time_ms(const ASN1_TIME *t)
{
    struct tm tm;
    return ASN1_TIME_to_tm(t, &tm) ? (int64_t)timegm(&tm) * 1000 : 0;
}

int64_t fp_tls_context_not_after_ms(const struct fp_tls_context *c)
{
    return fp_tls_asn1_time_ms(X509_get0_notAfter(c->leaf));
}

int64_t fp_tls_context_ca_not_after_ms(const struct fp_tls_context *c)
{
    return c->ca_not_after_ms;
}

char *fp_tls_subject(const X509 *x)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    FP_ASSERT(bio);
    X509_NAME_print_ex(bio, X509_get_subject_name(x), 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
    long n = BIO_get_mem_data(bio, &text);
    char *out = fp_mem_alloc((size_t)n + 1);
    memcpy(out, text, (size_t)n);
    out[n] = 0;
    BIO_free(bio);
    return out;
}

void fp_tls_context_describe(const struct fp_tls_context *c, char *out, size_t n)
{
    char when[FP_CLOCK_TEXT_BYTES], *subject = fp_tls_subject(c->leaf);
    snprintf(out, n, "subject %s, valid until %s", subject,
             fp_clock_rfc3339(when, fp_tls_context_not_after_ms(c), false));
    fp_mem_free(subject);
}
