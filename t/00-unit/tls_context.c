/* TLS contexts: each way to fail has its own sentence with the path; nothing half made leaks. */
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include "../../src/tls/tls_context.c"
#include "tap.h"

struct pair {
    struct fp_str cert, key;
};

static struct fp_str text_of(BIO *bio)
{
    char *p;
    long n = BIO_get_mem_data(bio, &p);
    struct fp_str s = fp_str_n(fp_mem_dup(p, (size_t)n), (size_t)n);
    BIO_free(bio);
    return s;
}

static struct pair make(const char *name, long from_s, long to_s, const char *pass)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 7);
    X509_gmtime_adj(X509_getm_notBefore(x), from_s);
    X509_gmtime_adj(X509_getm_notAfter(x), to_s);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    X509_sign(x, key, EVP_sha256());
    BIO *c = BIO_new(BIO_s_mem()), *k = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(c, x);
    PEM_write_bio_PrivateKey(k, key, pass ? EVP_aes_128_cbc() : NULL, NULL, 0, NULL, (void *)pass);
    X509_free(x);
    EVP_PKEY_free(key);
    return (struct pair){text_of(c), text_of(k)};
}

/* A revocation list of the pair's, with nobody on it. */
static struct fp_str crl_of(const struct pair *ca)
{
    BIO *c = BIO_new_mem_buf(ca->cert.data, (int)ca->cert.len),
        *k = BIO_new_mem_buf(ca->key.data, (int)ca->key.len), *out = BIO_new(BIO_s_mem());
    X509 *x = PEM_read_bio_X509(c, NULL, NULL, NULL);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(k, NULL, NULL, NULL);
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *now = X509_gmtime_adj(NULL, 0);
    X509_CRL_set_issuer_name(crl, X509_get_subject_name(x));
    X509_CRL_set1_lastUpdate(crl, now);
    X509_CRL_sign(crl, key, EVP_sha256());
    PEM_write_bio_X509_CRL(out, crl);
    ASN1_TIME_free(now);
    X509_CRL_free(crl);
    EVP_PKEY_free(key);
    X509_free(x);
    BIO_free(c);
    BIO_free(k);
    return text_of(out);
}

static void fails(const char *what, struct fp_tls_files f, const char *want)
{
    struct fp_arena *a = fp_arena_new(NULL);
    const struct fp_tls_options o = {.require_client_cert = true};
    const char *why = "(no error)";
    struct fp_tls_context *c = fp_tls_context_new(&f, &o, a, &why);
    ok(!c, "%s: refused", what);
    ok(strstr(why, want) == why, "%s: %s", what, why);
    fp_tls_context_unref(&c);
    fp_arena_free(&a);
}

int main(void)
{
    struct pair good = make("good", -10, 86400 * 400, NULL), other = make("other", -10, 1000, NULL);
    struct pair old = make("old", -1000, -10, NULL), early = make("early", 1000, 2000, NULL);
    struct pair locked = make("locked", -10, 1000, "secret");
    struct fp_tls_files f = {
        .cert = good.cert, .key = good.key, .cert_path = "/c", .key_path = "/k"};
    struct fp_tls_files g;

#define WITH(...) (g = f, (void)(__VA_ARGS__), g)
    fails("no file", WITH(g.cert.data = NULL), "/c: cannot be read");
    fails("not PEM", WITH(g.cert = FP_STR("hello")), "/c: holds no PEM certificate");
    fails("a key for a certificate", WITH(g.cert = good.key), "/c: holds no PEM certificate");
    fails("damaged",
          WITH(g.cert = FP_STR("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")),
          "/c: holds a damaged certificate");
    fails("expired", WITH(g.cert = old.cert, g.key = old.key), "/c: the certificate expired on 20");
    fails("too early", WITH(g.cert = early.cert, g.key = early.key),
          "/c: the certificate is not valid before 20");
    fails("no key file", WITH(g.key.data = NULL), "/k: cannot be read");
    fails("no key", WITH(g.key = good.cert), "/k: holds no PEM private key");
    fails("another key", WITH(g.key = other.key),
          "/k: the key does not match the certificate in /c");
    fails("an encrypted key", WITH(g.cert = locked.cert, g.key = locked.key),
          "/k: the private key is encrypted");
    fails("no chain", WITH(g.chain = FP_STR("x"), g.chain_path = "/n"),
          "/n: holds no PEM certificate");
    fails("unreadable chain", WITH(g.chain_path = "/n"), "/n: cannot be read");
    fails("no CA", WITH(g.client_ca = FP_STR("x"), g.client_ca_path = "/a"),
          "/a: holds no PEM certificate");
    fails("CRL without CA", WITH(g.crl = FP_STR("x"), g.crl_path = "/r"),
          "/r: a revocation list needs");
    fails("no CRL",
          WITH(g.client_ca = good.cert, g.client_ca_path = "/a", g.crl = FP_STR("x"),
               g.crl_path = "/r"),
          "/r: holds no PEM revocation list");
    struct fp_str crl = crl_of(&good);
    char *cut = fp_mem_calloc(2, crl.len);
    memcpy(cut, crl.data, crl.len);
    memcpy(cut + crl.len, crl.data, crl.len - 40);
    fails("a second CRL that is cut short",
          WITH(g.client_ca = good.cert, g.client_ca_path = "/a",
               g.crl = fp_str_n(cut, 2 * crl.len - 40), g.crl_path = "/r"),
          "/r: holds a damaged revocation list");
    fp_mem_free(cut);

    struct fp_arena *a = fp_arena_new(NULL);
    const struct fp_tls_options o = {.require_client_cert = true};
    const char *why = NULL;
    g = f;
    g.chain = other.cert;
    g.chain_path = "/n";
    g.client_ca = other.cert;
    g.client_ca_path = "/a";
    struct fp_tls_context *c = fp_tls_context_new(&g, &o, a, &why), *again;
    ok(c && !why, "a whole context");
    char text[200];
    fp_tls_context_describe(c, text, sizeof text);
    ok(strstr(text, "subject CN=good, valid until 20") == text, "described: %s", text);
    int64_t left_s = (fp_tls_context_not_after_ms(c) - fp_clock_wall_ms()) / 1000;
    ok(left_s > 86400 * 399 && left_s <= 86400 * 400, "its end is known");
    again = fp_tls_context_ref(c);
    fp_tls_context_unref(&c);
    ok(!c && again, "counted");
    fp_tls_context_unref(&again);
    g.client_ca = good.cert;
    g.crl = crl;
    g.crl_path = "/r";
    c = fp_tls_context_new(&g, &o, a, &why);
    ok(c && !why, "with a revocation list");
    fp_tls_context_unref(&c);
    fp_arena_free(&a);
    fp_mem_free((void *)crl.data);
    struct pair all[] = {good, other, old, early, locked};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        fp_mem_free((void *)all[i].cert.data);
        fp_mem_free((void *)all[i].key.data);
    }
    return done_testing();
}
