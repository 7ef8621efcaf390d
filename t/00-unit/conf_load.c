/*
 * Layers and their order, what a reload compares, secrets of the environment (contract §12.1).
 * What a person sees of the configuration is tested in t/10-conf.
 */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core/core_buf.h"
#include "conf/conf.h"
#include "conf/conf_child.h"
#include "tap.h"

static char top[] = "/tmp/fp-conf-XXXXXX";
static char report[8192];

static void put(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", top, name);
    FILE *f = fopen(path, "w");
    fputs(text, f);
    fclose(f);
}

static struct fp_conf *load(const struct fp_conf_sources *s)
{
    memset(report, 0, sizeof report);
    FILE *err = fmemopen(report, sizeof report - 1, "w");
    struct fp_conf *c = fp_conf_load(s, err);
    fclose(err);
    return c;
}

static void layers(void)
{
    char share[64], etc[64];
    snprintf(share, sizeof share, "%s/share", top);
    snprintf(etc, sizeof etc, "%s/etc", top);
    struct fp_conf_sources s = {.prefix_share = share, .prefix_etc = etc};
    put("share/flowplane.conf.default", "database : { url = \"postgresql:///packaged\"; };\n"
                                        "api : { port = 1001; idle_timeout = 11; };\n"
                                        "xds : { port = 1002; };\n");
    struct fp_conf *c = load(&s);
    ok(c != NULL, "the packaged layer alone: %s", report);
    is_int(c->api.port, 1001, "share wins over the default");
    is_int(c->database.embedded, 0, "not embedded");
    fp_conf_free(&c);
    ok(c == NULL, "free forgets");

    put("etc/flowplane.conf", "database : { embedded = true; };\napi : { port = 1003; };\n");
    put("etc/conf.d/20-b.conf", "xds : { port = 1020; };\n");
    put("etc/conf.d/10-a.conf", "xds : { port = 1010; }; api : { max_connections = 5; };\n");
    put("etc/conf.d/30-c.conf.dpkg-old", "xds : { port = 1030; };\n");
    put("etc/conf.d/.hidden.conf", "xds : { port = 1040; };\n");
    c = load(&s);
    ok(c != NULL, "all file layers: %s", report);
    is_int(c->api.port, 1003, "etc wins over share");
    is_int(c->api.idle_timeout_ms, 11000, "key by key: share's other keys stay");
    is_int(c->xds.port, 1020, "conf.d by name, only *.conf");
    is_int(c->api.max_connections, 5, "an earlier file of conf.d counts too");
    ok(c->database.embedded && !c->database.url, "embedded in etc replaces the packaged url");
    fp_conf_free(&c);

    put("etc/conf.d/40-url.conf", "database : { url_file = \"/x\"; };\n");
    c = load(&s);
    ok(c == NULL, "embedded and url_file in the file layers exclude each other");
    ok(strstr(report, "40-url.conf") || strstr(report, "flowplane.conf"), "with a file: %s",
       report);
    put("etc/conf.d/40-url.conf", "");

    setenv("FLOWPLANE_XDS_PORT", "1050", 1);
    const char *over[] = {"api.port = 1060"};
    s.overrides = over;
    s.overrides_n = 1;
    c = load(&s);
    is_int(c->xds.port, 1050, "the environment wins over files");
    is_int(c->api.port, 1060, "the command line wins over all");
    fp_conf_free(&c);
    char file[64];
    snprintf(file, sizeof file, "%s/one.conf", top);
    put("one.conf", "database : { embedded = true; };\n");
    s.file = file;
    s.overrides_n = 0;
    c = load(&s);
    is_int(c->api.port, 8080, "-c replaces the three file layers");
    is_int(c->xds.port, 1050, "but not the environment");
    fp_conf_free(&c);
    unsetenv("FLOWPLANE_XDS_PORT");
}

static void defaults(void)
{
    char file[64];
    snprintf(file, sizeof file, "%s/one.conf", top);
    struct fp_conf_sources s = {.file = file};
    put("one.conf", "database : { embedded = true; };\n"
                    "process : { state_dir = \"/s\"; runtime_dir = \"/r\"; };\n");
    struct fp_conf *c = load(&s);
    is_str(c->process.pid_file, "/r/flowplane.pid", "pid_file follows runtime_dir");
    is_str(c->database.data_dir, "/s/pg", "data_dir follows state_dir");
    is_str(c->bootstrap.token_file, "/s/bootstrap-token", "token_file follows state_dir");
    ok(c->process.workers >= 1 && c->process.workers <= 256, "workers: as many as CPUs");
    ok(c->process.instance_id && *c->process.instance_id, "instance_id: the host name");
    is_int(c->bootstrap.print, FP_CONF_AUTO, "bootstrap.print auto");
    is_int(c->xds.bind_address.n, 1, "xds on one address");
    is_str(c->xds.bind_address.items[0], "0.0.0.0", "which is all");
    ok(!c->xds.tls.enabled && !c->xds.tls.require_client_cert, "no TLS, no client certificate");
    fp_conf_free(&c);
    put("one.conf",
        "database : { embedded = true; };\n"
        "xds : { tls : { cert_path = \"/c\"; key_path = \"/k\"; client_ca_path = \"/a\"; }; };");
    c = load(&s);
    ok(c->xds.tls.enabled, "cert_path turns xDS TLS on");
    ok(c->xds.tls.require_client_cert, "a CA makes client certificates required");
    fp_conf_free(&c);
    put("one.conf",
        "database : { embedded = true; };\n"
        "xds : { tls : { cert_path = \"/c\"; key_path = \"/k\"; client_ca_path = \"/a\";"
        " require_client_cert = false; }; };");
    c = load(&s);
    ok(!c->xds.tls.require_client_cert, "unless it says no");
    fp_conf_free(&c);
}

static void restart(void)
{
    char a_file[64], b_file[64];
    snprintf(a_file, sizeof a_file, "%s/a.conf", top);
    snprintf(b_file, sizeof b_file, "%s/b.conf", top);
    put("a.conf", "database : { embedded = true; }; process : { state_dir = \"/a\"; };");
    put("b.conf", "database : { url = \"postgresql:///x\"; }; process : { state_dir = \"/b\"; };"
                  " api : { port = 9; bind_address = [\"::1\"]; };");
    struct fp_conf *a = load(&(struct fp_conf_sources){.file = a_file});
    struct fp_conf *b = load(&(struct fp_conf_sources){.file = b_file});
    struct fp_conf_changes ch;
    fp_conf_diff_restart(a, a, &ch);
    is_int(ch.n, 0, "equal configurations differ in nothing");
    fp_conf_diff_restart(a, b, &ch);
    char names[512] = "";
    for (size_t i = 0; i < ch.n; i++)
        strcat(strcat(names, ch.names[i]), " ");
    ok(strstr(names, "process.state_dir") && strstr(names, "database.embedded"), "R changes: %s",
       names);
    ok(!strstr(names, "api."), "W and L changes are not among them");
    fp_conf_keep_restart(a, b);
    fp_conf_free(&a);
    is_str(b->process.state_dir, "/a", "a reload keeps the old state_dir, as a copy");
    ok(b->database.embedded, "and the old mode");
    is_int(b->api.port, 9, "and takes up the rest");
    fp_conf_free(&b);
}

static void secrets(void)
{
    char file[64];
    snprintf(file, sizeof file, "%s/one.conf", top);
    put("one.conf", "");
    setenv("DATABASE_URL", "postgresql://u:geheim@h/d", 1);
    setenv("BOOTSTRAP_TOKEN", "abcdefghijklmnopqrstuvwxyz0123456789", 1);
    char *raw = getenv("DATABASE_URL");
    struct fp_conf_sources s = {.file = file};
    struct fp_conf *c = load(&s);
    is_str(c->database.url, "postgresql://u:geheim@h/d", "the URL is read");
    is_str(c->bootstrap.secret, "abcdefghijklmnopqrstuvwxyz0123456789", "the secret too");
    ok(!getenv("DATABASE_URL") && !getenv("BOOTSTRAP_TOKEN"), "and gone from the environment");
    is_int(raw[0], 0, "its bytes are wiped");
    fp_conf_free(&c);
    c = load(&s);
    ok(c && c->database.url && strcmp(c->database.url, "postgresql://u:geheim@h/d") == 0,
       "a reload still has it");
    struct fp_buf out = {0};
    fp_buf_reserve(&out, 65536);
    FILE *f = fmemopen(out.data, 65535, "w");
    fp_conf_print(c, f);
    fclose(f);
    ok(!strstr(out.data, "geheim") && !strstr(out.data, "abcdefghijkl"), "-T masks both");
    fp_buf_fini(&out);
    fp_conf_free(&c);
}

static void files(void)
{
    char text[256], path[128];
    put("url", "postgresql:///from-file\n");
    snprintf(path, sizeof path, "%s/url", top);
    chmod(path, 0600);
    snprintf(text, sizeof text, "database : { url_file = \"%s\"; };", path);
    put("one.conf", text);
    char file[64];
    snprintf(file, sizeof file, "%s/one.conf", top);
    /* secrets() left a DATABASE_URL for reloads; -g wins over it */
    char over[160];
    snprintf(over, sizeof over, "database.url_file = %s", path);
    const char *overs[] = {over};
    struct fp_conf *c =
        load(&(struct fp_conf_sources){.file = file, .overrides = overs, .overrides_n = 1});
    struct fp_conf_files fs;
    ok(c && !c->database.url, "a later url_file replaces the url: %s", report);
    memset(report, 0, sizeof report);
    FILE *err = fmemopen(report, sizeof report - 1, "w");
    ok(fp_conf_files_open(c, &fs, err), "files open: %s", report);
    is_int(fs.n, 1, "one file");
    is_str(fs.items[0].name, "database.url_file", "by the directive's name");
    const char *why = NULL;
    struct fp_child child = {.conf = c, .files = fs.items, .files_n = fs.n};
    is_str(fp_child_database_url(&child, c->arena, &why), "postgresql:///from-file",
           "a child finds the URL in it");
    is_str(fp_child_database_url(&child, c->arena, &why), "postgresql:///from-file",
           "and again after a restart");
    child.pg_url = "postgresql:///embedded";
    is_str(fp_child_database_url(&child, c->arena, &why), "postgresql:///embedded",
           "the embedded one wins");
    fp_conf_files_close(&fs);
    chmod(path, 0644);
    ok(!fp_conf_files_open(c, &fs, err), "readable by others: refused");
    is_int(fs.n, 0, "and nothing stays open");
    fclose(err);
    fp_conf_free(&c);
}

int main(void)
{
    char command[64];
    ok(mkdtemp(top) != NULL, "a directory");
    static const char *const dirs[] = {"share", "etc", "etc/conf.d"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(command, sizeof command, "%s/%s", top, dirs[i]);
        mkdir(command, 0755);
    }
    unsetenv("DATABASE_URL");
    layers();
    defaults();
    restart();
    secrets();
    files();
    static const char *const left[] = {"url",
                                       "a.conf",
                                       "b.conf",
                                       "one.conf",
                                       "etc/conf.d/.hidden.conf",
                                       "etc/conf.d/10-a.conf",
                                       "etc/conf.d/20-b.conf",
                                       "etc/conf.d/30-c.conf.dpkg-old",
                                       "etc/conf.d/40-url.conf",
                                       "etc/conf.d",
                                       "etc/flowplane.conf",
                                       "etc",
                                       "share/flowplane.conf.default",
                                       "share",
                                       ""};
    for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", top, left[i]);
        remove(path);
    }
    return done_testing();
}
