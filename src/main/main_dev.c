/*
 * --dev: a CA, a server and a client certificate below ./run/certs (contract §13.1), made once by
 * openssl(1).  Runs before the master, as an ordinary user.  They are there for who wants to try
 * TLS; without openssl everything else works.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "os/os_exec.h"
#include "os/os_file.h"
#include "main/main_int.h"

static const struct certificate {
    const char *name, *extensions;
} certificates[] = {
    {"ca", "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"},
    {"server", "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
               "extendedKeyUsage=serverAuth\n"
               "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1\n"},
    {"client", "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
               "extendedKeyUsage=clientAuth\nsubjectAltName=URI:spiffe://flowplane.dev/envoy\n"},
};

static const char *find_openssl(struct fp_arena *a)
{
    struct fp_str rest = fp_str_of(getenv("PATH"));
    while (rest.data) {
        struct fp_str dir = fp_str_split(rest, ':', &rest);
        const char *path = fp_arena_printf(a, "%.*s/openssl", FP_STR_ARG(dir));
        if (dir.len && access(path, X_OK) == 0)
            return path;
    }
    return NULL;
}

static int make_one(struct fp_arena *a, const char *openssl, const char *dir,
                    const struct certificate *c, int out)
{
    static const char *const env[] = {"LC_ALL=C", NULL};
    const char *argv[] = {openssl, "req", "-x509", "-config", "/dev/stdin", "-days", "3650",
                          "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                          "-keyout", fp_arena_printf(a, "%s/%s.key", dir, c->name), "-out",
                          fp_arena_printf(a, "%s/%s.pem", dir, c->name),
                          /* the CA signs itself: the list ends here for it */
                          c == certificates ? NULL : "-CA", fp_arena_printf(a, "%s/ca.pem", dir),
                          "-CAkey", fp_arena_printf(a, "%s/ca.key", dir), NULL};
    return fp_exec_run(&(struct fp_exec){
        .argv = argv,
        .env = env,
        .out_fd = out,
        .input = fp_arena_printf(a,
                                 "[req]\ndistinguished_name=dn\nx509_extensions=ext\nprompt=no\n"
                                 "[dn]\nCN=flowplane dev %s\n[ext]\n%s",
                                 c->name, c->extensions)});
}

void main_dev_certificates(const struct fp_conf *conf, FILE *err)
{
    struct fp_arena *a = fp_arena_new(NULL);
    const char *dir = fp_arena_printf(a, "%s/certs", conf->process.runtime_dir);
    const char *openssl = find_openssl(a);
    int status = access(dir, F_OK) == 0 ? 1 : fp_file_mkdirs(dir, 0700);
    int out = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (status == 0 && !openssl) {
        fprintf(err, "flowplane: no openssl(1): %s stays empty\n", dir);
        status = 1;
    }
    mode_t mask = umask(077);
    for (size_t i = 0; i < sizeof certificates / sizeof *certificates && status == 0; i++) {
        status = make_one(a, openssl, dir, &certificates[i], out);
        if (status)
            fprintf(err, "flowplane: openssl cannot make %s/%s.pem\n", dir, certificates[i].name);
    }
    umask(mask);
    if (status == 0)
        fprintf(err,
                "flowplane: certificates to try TLS with are in %s; for xDS:\n"
                "  -g xds.tls.cert_path=%s/server.pem -g xds.tls.key_path=%s/server.key "
                "-g xds.tls.client_ca_path=%s/ca.pem\n",
                dir, dir, dir, dir);
    if (out >= 0)
        close(out);
    fp_arena_free(&a);
}
