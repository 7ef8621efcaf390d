/*
 * TLS over a non-blocking socket, in workers.  OpenSSL sees a BIO of ours that takes whole writes
 * and keeps what the socket refuses, at most one flight: so a write is never half done, and no
 * SIGPIPE can happen.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/socket.h>
#include "core/core_assert.h"
#include "core/core_buf.h"
#include "core/core_mem.h"
#include "event/event_loop.h"
#include "tls/tls_conn.h"
#include "tls/tls_int.h"

#define RECORD_BYTES 16384

struct fp_tls_conn {
    SSL *ssl;
    struct fp_tls_context *context; /* outlives a reload while it is in use */
    int fd;
    struct fp_buf stash; /* ciphertext that the socket refused */
    char *why;
    char *subject, *sans; /* NULL without a client certificate */
    int64_t not_after_ms;
    bool broken; /* no close_notify after a failure */
};

/* ---- the BIO ---- */

static int bio_write(BIO *bio, const char *p, int n)
{
    struct fp_tls_conn *t = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (t->stash.len) {
        BIO_set_retry_write(bio);
        return -1;
    }
    ssize_t sent = send(t->fd, p, (size_t)n, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR)
        return -1;
    if (sent < 0)
        sent = 0;
    fp_buf_append(&t->stash, p + sent, (size_t)(n - sent));
    return n;
}

static int bio_read(BIO *bio, char *p, int n)
{
    struct fp_tls_conn *t = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ssize_t got = recv(t->fd, p, (size_t)n, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_retry_read(bio);
    return (int)got;
}

static long bio_ctrl(BIO *bio, int cmd, long n, void *p)
{
    return cmd == BIO_CTRL_FLUSH;
}

static BIO_METHOD *method(void)
{
    static BIO_METHOD *m;
    if (!m) {
        m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "flowplane socket");
        FP_ASSERT(m);
        BIO_meth_set_write(m, bio_write);
        BIO_meth_set_read(m, bio_read);
        BIO_meth_set_ctrl(m, bio_ctrl);
    }
    return m;
}

/* ---- life ---- */

struct fp_tls_conn *fp_tls_conn_new(struct fp_tls_context *ctx, int fd)
{
    struct fp_tls_conn *t = fp_mem_zalloc(sizeof *t);
    t->fd = fd;
    t->context = fp_tls_context_ref(ctx);
    t->ssl = SSL_new(ctx->ctx);
    BIO *bio = BIO_new(method());
    FP_ASSERT(t->ssl && bio);
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    SSL_set_bio(t->ssl, bio, bio);
    SSL_set_accept_state(t->ssl);
    return t;
}

void fp_tls_conn_free(struct fp_tls_conn **tp)
{
    struct fp_tls_conn *t = *tp;
    *tp = NULL;
    if (!t)
        return;
    SSL_free(t->ssl);
    fp_tls_context_unref(&t->context);
    fp_buf_fini(&t->stash);
    fp_mem_free(t->why);
    fp_mem_free(t->subject);
    fp_mem_free(t->sans);
    fp_mem_free(t);
}

/* ---- errors ---- */

static int broke(struct fp_tls_conn *t, int ssl_error)
{
    long verify = SSL_get_verify_result(t->ssl);
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    struct fp_buf why = {0};
    if (ssl_error == SSL_ERROR_ZERO_RETURN || (ssl_error == SSL_ERROR_SYSCALL && !errno))
        reason = "the peer closed the connection";
    else if (ssl_error == SSL_ERROR_SYSCALL)
        reason = fp_err_text(-errno);
    fp_buf_append_c(&why, reason ? reason : "unknown error");
    if (verify != X509_V_OK)
        fp_buf_printf(&why, ": %s", X509_verify_cert_error_string(verify));
    fp_mem_free(t->why);
    t->why = fp_mem_strdup(fp_buf_cstr(&why));
    fp_buf_fini(&why);
    t->broken = true;
    ERR_clear_error();
    return FP_ERR_PROTOCOL;
}

static int outcome(struct fp_tls_conn *t, int rc)
{
    int e = SSL_get_error(t->ssl, rc);
    if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE)
        return -EAGAIN;
    return broke(t, e);
}

const char *fp_tls_conn_why(const struct fp_tls_conn *t)
{
    return t->why ? t->why : "no error";
}

/* ---- handshake ---- */

static void put_san(struct fp_buf *out, const char *kind, const ASN1_IA5STRING *s)
{
    struct fp_str v = fp_str_n(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
    for (size_t i = 0; i < v.len; i++)
        if ((unsigned char)v.data[i] < 0x20) /* a NUL or line break could imitate another name */
            return;
    fp_buf_printf(out, "%s%s:%.*s", out->len ? "\n" : "", kind, FP_STR_ARG(v));
}

static void learn_peer(struct fp_tls_conn *t)
{
    X509 *x = SSL_get0_peer_certificate(t->ssl);
    if (!x || SSL_get_verify_result(t->ssl) != X509_V_OK)
        return;
    t->subject = fp_tls_subject(x);
    t->not_after_ms = fp_tls_asn1_time_ms(X509_get0_notAfter(x));
    struct fp_buf sans = {0};
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);
        if (n->type == GEN_URI)
            put_san(&sans, "URI", n->d.uniformResourceIdentifier);
        else if (n->type == GEN_DNS)
            put_san(&sans, "DNS", n->d.dNSName);
    }
    GENERAL_NAMES_free(names);
    t->sans = fp_mem_strdup(fp_buf_cstr(&sans));
    fp_buf_fini(&sans);
}

int fp_tls_conn_handshake(struct fp_tls_conn *t)
{
    int rc = fp_tls_conn_flush(t);
    if (rc)
        return rc;
    ERR_clear_error();
    errno = 0;
    rc = SSL_do_handshake(t->ssl);
    if (rc != 1)
        return outcome(t, rc);
    learn_peer(t);
    return 0;
}

unsigned fp_tls_conn_wants(const struct fp_tls_conn *t)
{
    return t->stash.len ? FP_IO_READ | FP_IO_WRITE : FP_IO_READ;
}

/* ---- data ---- */

ssize_t fp_tls_conn_read(struct fp_tls_conn *t, void *out, size_t n)
{
    size_t got;
    ERR_clear_error();
    errno = 0;
    if (SSL_read_ex(t->ssl, out, n, &got) == 1)
        return (ssize_t)got;
    int e = SSL_get_error(t->ssl, 0);
    if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE)
        return -EAGAIN;
    if (e == SSL_ERROR_ZERO_RETURN || (e == SSL_ERROR_SYSCALL && !errno))
        return 0;
    return broke(t, e);
}

int fp_tls_conn_flush(struct fp_tls_conn *t)
{
    while (t->stash.len) {
        ssize_t n = send(t->fd, t->stash.data, t->stash.len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        fp_buf_consume(&t->stash, (size_t)n);
    }
    fp_buf_fini(&t->stash);
    return 0;
}

static size_t gather(char *out, const struct iovec *iov, size_t iov_n, size_t skip)
{
    size_t n = 0;
    for (size_t i = 0; i < iov_n && n < RECORD_BYTES; i++) {
        size_t here = iov[i].iov_len;
        if (skip >= here) {
            skip -= here;
            continue;
        }
        here -= skip;
        if (here > RECORD_BYTES - n)
            here = RECORD_BYTES - n;
        memcpy(out + n, (const char *)iov[i].iov_base + skip, here);
        n += here;
        skip = 0;
    }
    return n;
}

ssize_t fp_tls_conn_writev(struct fp_tls_conn *t, const struct iovec *iov, size_t iov_n)
{
    static char plain[RECORD_BYTES];
    size_t total = 0, n, done;
    for (;;) {
        int rc = fp_tls_conn_flush(t);
        if (rc)
            return rc == -EAGAIN && total ? (ssize_t)total : rc;
        if (!(n = gather(plain, iov, iov_n, total)))
            return (ssize_t)total;
        ERR_clear_error();
        errno = 0;
        if (SSL_write_ex(t->ssl, plain, n, &done) != 1) {
            rc = outcome(t, 0);
            return rc == -EAGAIN && total ? (ssize_t)total : rc;
        }
        total += done;
    }
}

void fp_tls_conn_shutdown(struct fp_tls_conn *t)
{
    if (t->broken || SSL_in_init(t->ssl))
        return;
    ERR_clear_error();
    SSL_shutdown(t->ssl);
    ERR_clear_error();
}

/* ---- the peer ---- */

struct fp_str fp_tls_conn_alpn(const struct fp_tls_conn *t)
{
    const unsigned char *p;
    unsigned n;
    SSL_get0_alpn_selected(t->ssl, &p, &n);
    return n ? fp_str_n(p, n) : FP_STR_NULL;
}

struct fp_str fp_tls_conn_subject(const struct fp_tls_conn *t)
{
    return fp_str_of(t->subject);
}

struct fp_str fp_tls_conn_sans(const struct fp_tls_conn *t)
{
    return fp_str_of(t->sans);
}

bool fp_tls_conn_still_good(const struct fp_tls_conn *t, const struct fp_tls_context *now)
{
    X509 *x = SSL_get0_peer_certificate(t->ssl);
    if (!x || SSL_CTX_get_verify_mode(now->ctx) == SSL_VERIFY_NONE)
        return true;
    X509_STORE_CTX *check = X509_STORE_CTX_new();
    FP_ASSERT(check);
    bool good = X509_STORE_CTX_init(check, SSL_CTX_get_cert_store(now->ctx), x,
                                    SSL_get_peer_cert_chain(t->ssl)) == 1 &&
                X509_STORE_CTX_set_default(check, "ssl_client") == 1 &&
                X509_verify_cert(check) == 1;
    X509_STORE_CTX_free(check);
    ERR_clear_error();
    return good;
}

int64_t fp_tls_conn_not_after_ms(const struct fp_tls_conn *t)
{
    return t->not_after_ms;
}
