/*
 * Relations between directives, and values whose grammar is of one directive only (contract §12).
 * Runs in the master.  Every check names the directive and where its value came from.
 */
#include <unistd.h>
#include "core/core_log.h"
#include "os/os_cidr.h"
#include "os/os_process.h"
#include "os/os_socket.h"
#include "conf/conf_int.h"

static const char *origin_of(const struct fp_conf_load *l, const char *name)
{
    return l->c->origins[fp_conf_find(fp_str_of(name))];
}

static bool is_set(const struct fp_conf_load *l, const char *name)
{
    return origin_of(l, name) != NULL;
}

/* --- process --- */

/*
 * As root, workers need a user to become.  One that was named must exist; the default gives way to
 * nobody, so that a checkout runs on a machine without the package.
 */
static void check_user(struct fp_conf_load *l)
{
    struct fp_conf *c = l->c;
    uid_t uid;
    gid_t gid;
    if (geteuid() != 0 || fp_process_user_lookup(c->process.user, c->process.group, &uid, &gid))
        return;
    if (is_set(l, "process.user") || is_set(l, "process.group")) {
        const char *o = origin_of(l, "process.user");
        fp_conf_error(l, o ? o : origin_of(l, "process.group"),
                      "process.user \"%s\" or process.group \"%s\" does not exist", c->process.user,
                      c->process.group);
        return;
    }
    if (!l->s->relaxed)
        fp_conf_warn(l, NULL, "user %s does not exist: workers run as nobody", c->process.user);
    c->process.user = "nobody";
    c->process.group =
        fp_process_user_lookup("nobody", "nogroup", &uid, &gid) ? "nogroup" : "nobody";
}

/* --- database --- */

static bool url_scheme_ok(const char *url)
{
    return strncmp(url, "postgresql://", 13) == 0 || strncmp(url, "postgres://", 11) == 0;
}

static bool percent_ok(const char *s)
{
    for (; (s = strchr(s, '%')); s++)
        if (!strchr("0123456789abcdefABCDEF", s[1]) || !s[1] ||
            !strchr("0123456789abcdefABCDEF", s[2]) || !s[2])
            return false;
    return true;
}

static void check_url(struct fp_conf_load *l, const char *name, const char *alias, const char *url)
{
    const char *o = origin_of(l, name);
    if (!url)
        return;
    if (!url_scheme_ok(url)) {
        const char *colon = strstr(url, "://");
        fp_conf_error(
            l, o, "%s: the scheme \"%.*s\" is not supported, must be postgresql:// or postgres://",
            alias, colon ? (int)(colon - url) : 0, url);
    } else if (!percent_ok(url)) {
        fp_conf_error(l, o, "%s: a %% must be followed by two hex digits", alias);
    }
}

static void check_database(struct fp_conf_load *l)
{
    struct fp_conf *c = l->c;
    const char *url = "DATABASE_URL (database.url)";
    check_url(l, "database.url", url, c->database.url);
    check_url(l, "database.listen_url", "database.listen_url", c->database.listen_url);
    if (c->database.url && c->database.url_file)
        fp_conf_error(l, origin_of(l, "database.url_file"),
                      "database.url_file and database.url (%s) exclude each other",
                      origin_of(l, "database.url"));
    if (c->database.embedded && (c->database.url || c->database.url_file))
        fp_conf_error(l, origin_of(l, "database.embedded"),
                      "database.embedded and %s (%s) exclude each other",
                      c->database.url ? "database.url" : "database.url_file",
                      origin_of(l, c->database.url ? "database.url" : "database.url_file"));
    if (!c->database.embedded && !c->database.url && !c->database.url_file && !l->s->relaxed)
        fp_conf_error(l, NULL,
                      "DATABASE_URL is not set: give database.url, database.url_file or "
                      "database.embedded = true");
    if (c->database.min_connections > c->database.max_connections)
        fp_conf_error(l, origin_of(l, "database.min_connections"),
                      "database.min_connections (%u) is greater than database.max_connections (%u)",
                      c->database.min_connections, c->database.max_connections);
    /* libpq and sun_path: 107 bytes for the whole name of the socket */
    if (c->database.embedded && strlen(c->process.runtime_dir) + sizeof "/pg/.s.PGSQL.5432" > 107)
        fp_conf_error(
            l, origin_of(l, "process.runtime_dir"),
            "process.runtime_dir %s is too long for the socket of the embedded PostgreSQL "
            "(at most %zu bytes)",
            c->process.runtime_dir, (size_t)107 - sizeof "/pg/.s.PGSQL.5432");
}

/* --- addresses and ports --- */

static void check_addresses(struct fp_conf_load *l, const char *name,
                            const struct fp_conf_list *list)
{
    if (list->n == 0)
        fp_conf_error(l, origin_of(l, name), "%s must name at least one address", name);
    for (size_t i = 0; i < list->n; i++) {
        struct fp_addr a;
        if (fp_addr_parse(&a, list->items[i], 1) < 0)
            fp_conf_error(l, origin_of(l, name), "%s: \"%s\" is not an IP address", name,
                          list->items[i]);
        for (size_t j = 0; j < i; j++)
            if (strcmp(list->items[i], list->items[j]) == 0)
                fp_conf_error(l, origin_of(l, name), "%s: \"%s\" is given twice", name,
                              list->items[i]);
    }
}

static void check_ports(struct fp_conf_load *l)
{
    const struct {
        const char *name;
        uint16_t port;
    } p[] = {{"api.port", l->c->api.port},
             {"xds.port", l->c->xds.port},
             {"observability.metrics_port", l->c->observability.metrics_port}};
    for (size_t i = 1; i < 3; i++)
        for (size_t j = 0; j < i; j++)
            if (p[i].port && p[i].port == p[j].port) {
                const char *o = origin_of(l, p[i].name);
                fp_conf_error(l, o ? o : origin_of(l, p[j].name), "%s and %s are both %u",
                              p[i].name, p[j].name, p[i].port);
            }
}

/* --- TLS --- */

/* `name` lacks what `because` needs; both as directive and as variable, since either may be used */
static void check_needs(struct fp_conf_load *l, bool need, const char *have, const char *name,
                        const char *because)
{
    char env[80];
    if (!need || have)
        return;
    fp_conf_env_name(env, name);
    const char *o = origin_of(l, because);
    fp_conf_error(l, o, "%s (%s) is required with %s", name, env, because);
}

static void check_tls(struct fp_conf_load *l)
{
    const struct fp_conf_tls *a = &l->c->api.tls, *x = &l->c->xds.tls;
    check_needs(l, a->enabled, a->cert_path, "api.tls.cert_path", "api.tls.enabled");
    check_needs(l, a->enabled, a->key_path, "api.tls.key_path", "api.tls.enabled");
    check_needs(l, x->cert_path, x->key_path, "xds.tls.key_path", "xds.tls.cert_path");
    check_needs(l, x->key_path, x->cert_path, "xds.tls.cert_path", "xds.tls.key_path");
    check_needs(l, x->client_ca_path, x->cert_path, "xds.tls.cert_path", "xds.tls.client_ca_path");
    check_needs(l, x->crl_path, x->client_ca_path, "xds.tls.client_ca_path", "xds.tls.crl_path");
    check_needs(l, x->require_client_cert, x->client_ca_path, "xds.tls.client_ca_path",
                "xds.tls.require_client_cert");
    check_needs(l, l->c->xds.require_client_identity, x->client_ca_path, "xds.tls.client_ca_path",
                "xds.require_client_identity");
    bool patterned = l->c->xds.team_from_san && *l->c->xds.team_from_san;
    check_needs(l, patterned, x->client_ca_path, "xds.tls.client_ca_path", "xds.team_from_san");
    if (patterned && !strstr(l->c->xds.team_from_san, "{team}"))
        fp_conf_error(l, origin_of(l, "xds.team_from_san"),
                      "xds.team_from_san: \"%s\" does not hold {team}", l->c->xds.team_from_san);
}

/* --- logs, tracing --- */

static void check_endpoint(struct fp_conf_load *l, const char *name, const char *url)
{
    if (url && strncmp(url, "http://", 7) != 0)
        fp_conf_error(l, origin_of(l, name), "%s must be an http:// URL", name);
}

static void check_observability(struct fp_conf_load *l)
{
    const struct fp_conf *c = l->c;
    const char *why =
        c->observability.log_filter ? fp_log_filter_check(c->observability.log_filter) : NULL;
    if (why)
        fp_conf_error(l, origin_of(l, "observability.log_filter"), "observability.log_filter: %s",
                      why);
    const char *t = c->observability.log_target;
    bool file = strncmp(t, "file:", 5) == 0;
    if (file ? t[5] != '/' : strcmp(t, "stdout") && strcmp(t, "stderr") && strcmp(t, "syslog"))
        fp_conf_error(
            l, origin_of(l, "observability.log_target"),
            "observability.log_target must be stdout, stderr, syslog or file:<absolute path>");
    if (c->process.daemon && strncmp(t, "std", 3) == 0)
        fp_conf_warn(l, origin_of(l, "process.daemon"),
                     "process.daemon: nobody reads observability.log_target = %s in the background",
                     t);
    check_endpoint(l, "observability.jaeger_endpoint", c->observability.jaeger_endpoint);
    check_endpoint(l, "observability.otlp_endpoint", c->observability.otlp_endpoint);
    if (c->observability.enable_tracing && !c->observability.jaeger_endpoint &&
        !c->observability.otlp_endpoint)
        fp_conf_warn(l, origin_of(l, "observability.enable_tracing"),
                     "tracing is on, but neither observability.jaeger_endpoint nor "
                     "observability.otlp_endpoint is set");
}

static void check_later(struct fp_conf_load *l)
{
    for (size_t i = 0; i < fp_conf_table_n; i++)
        if ((fp_conf_table[i].flags & FP_CONF_LATER) && l->c->origins[i])
            fp_conf_warn(l, l->c->origins[i],
                         "%s is accepted, but its feature is not in this version",
                         fp_conf_table[i].name);
}

void fp_conf_check(struct fp_conf_load *l)
{
    struct fp_conf *c = l->c;
    struct fp_cidr range;
    check_user(l);
    check_database(l);
    check_addresses(l, "api.bind_address", &c->api.bind_address);
    check_addresses(l, "xds.bind_address", &c->xds.bind_address);
    check_addresses(
        l, "observability.metrics_bind_address",
        &(struct fp_conf_list){.items = &c->observability.metrics_bind_address, .n = 1});
    check_ports(l);
    check_tls(l);
    check_observability(l);
    for (size_t i = 0; i < c->api.trusted_proxies.n; i++)
        if (fp_cidr_parse(&range, c->api.trusted_proxies.items[i]) < 0)
            fp_conf_error(l, origin_of(l, "api.trusted_proxies"),
                          "api.trusted_proxies: \"%s\" is not a network such as 10.0.0.0/8",
                          c->api.trusted_proxies.items[i]);
    if (c->xds.debounce_min_ms > c->xds.debounce_max_ms)
        fp_conf_error(
            l,
            origin_of(l, is_set(l, "xds.debounce_min") ? "xds.debounce_min" : "xds.debounce_max"),
            "xds.debounce_min is greater than xds.debounce_max");
    check_later(l);
}
