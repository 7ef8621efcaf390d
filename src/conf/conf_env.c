/*
 * The environment (contract §12.1, §16): FLOWPLANE_<GROUP>_<KEY>, the further names of the table,
 * and what else begins with FLOWPLANE_.  Runs in the master.  Values of secret directives are kept
 * here for later reloads and wiped from the environment, so that no child and no
 * /proc/<pid>/environ shows them.
 */
#include <ctype.h>
#include <stdlib.h>
#include "core/core_mem.h"
#include "conf/conf_int.h"

extern char **environ;

static struct kept { /* secrets, for the next load */
    const char *name;
    char *value;
} kept[16];
static size_t kept_n;

static const char *kept_get(const char *name)
{
    for (size_t i = 0; i < kept_n; i++)
        if (strcmp(kept[i].name, name) == 0)
            return kept[i].value;
    return NULL;
}

static const char *value_of(const struct fp_conf_directive *d, const char *name)
{
    char *v = getenv(name);
    if (!(d->flags & FP_CONF_SECRET))
        return v && *v ? v : NULL;
    if (v && *v && kept_n < sizeof kept / sizeof *kept && !kept_get(name)) {
        kept[kept_n++] = (struct kept){fp_mem_strdup(name), fp_mem_strdup(v)};
        explicit_bzero(v, strlen(v));
        unsetenv(name);
    }
    return kept_get(name);
}

/* FLOWPLANE_API_PORT=tcp://10.0.0.1:8080: Kubernetes' link to a Service named flowplane-api. */
static bool link_value(const char *v)
{
    return strncmp(v, "tcp://", 6) == 0 || strncmp(v, "udp://", 6) == 0 ||
           strncmp(v, "sctp://", 7) == 0;
}

static bool link_name(struct fp_str name, const char *value)
{
    static const char *const ends[] = {"_SERVICE_HOST", "_SERVICE_PORT"};
    for (size_t i = 0; i < 2; i++)
        if (fp_str_ends(name, fp_str_of(ends[i])))
            return true;
    if (memmem(name.data, name.len, "_SERVICE_PORT_", 14))
        return true;
    const char *port = memmem(name.data, name.len, "_PORT_", 6);
    if (port && isdigit((unsigned char)port[6]))
        return true; /* …_PORT_8080_TCP, …_PORT_8080_TCP_ADDR */
    return link_value(value);
}

struct links { /* for the one line */
    char names[256];
    unsigned n;
};

static void link_seen(struct links *k, const char *name)
{
    size_t at = strlen(k->names);
    if (k->n++ < 3)
        snprintf(k->names + at, sizeof k->names - at, "%s%s", at ? ", " : "", name);
}

static void apply(struct fp_conf_load *l, size_t index, const char *name, struct links *links)
{
    const struct fp_conf_directive *d = &fp_conf_table[index];
    const char *v = value_of(d, name);
    if (!v)
        return;
    if (d->type == FP_CONF_T_INT && link_value(v)) {
        link_seen(links, name);
        return;
    }
    struct fp_conf_raw raw = {.kind = FP_RAW_TEXT, .s = v};
    fp_conf_set(l, index, &raw, fp_arena_printf(l->c->arena, "env %s", name));
}

/* One name with a meaning of its own: true is log_format = "json", false says nothing. */
static void apply_json_logging(struct fp_conf_load *l)
{
    static const char *const yes[] = {"1", "true", "yes", "on"}, *const no[] = {"0", "false", "no",
                                                                                "off"};
    const char *v = getenv("FLOWPLANE_JSON_LOGGING");
    if (!v || !*v)
        return;
    struct fp_conf_raw raw = {.kind = FP_RAW_TEXT, .s = "json"};
    for (size_t i = 0; i < 4; i++) {
        if (fp_str_case_eq(fp_str_of(v), fp_str_of(yes[i]))) {
            fp_conf_set(l, fp_conf_find(FP_STR("observability.log_format")), &raw,
                        "env FLOWPLANE_JSON_LOGGING");
            return;
        }
        if (fp_str_case_eq(fp_str_of(v), fp_str_of(no[i])))
            return;
    }
    fp_conf_error(l, "FLOWPLANE_JSON_LOGGING", "must be one of 1 true yes on, 0 false no off");
}

static bool ours(const char *name)
{
    /* flowplanectl's, and ours without a directive */
    static const char *const known[] = {"FLOWPLANE_TOKEN", "FLOWPLANE_BASE_URL",
                                        "FLOWPLANE_TIMEOUT", "FLOWPLANE_JSON_LOGGING"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(name, known[i]) == 0)
            return true;
    char env[80];
    for (size_t i = 0; i < fp_conf_table_n; i++) {
        const struct fp_conf_directive *d = &fp_conf_table[i];
        fp_conf_env_name(env, d->name);
        if (strcmp(env, name) == 0 || (d->env[0] && strcmp(d->env[0], name) == 0))
            return true;
    }
    return false;
}

static const char *near_env(struct fp_arena *a, const char *name)
{
    char env[80];
    const char *best = NULL;
    unsigned best_d = 4;
    for (size_t i = 0; i < fp_conf_table_n; i++) {
        fp_conf_env_name(env, fp_conf_table[i].name);
        unsigned d = fp_str_distance(fp_str_of(name), fp_str_of(env), best_d - 1);
        if (d < best_d && d > 0) {
            best = fp_arena_strdup(a, env);
            best_d = d;
        }
    }
    return best;
}

static void strays(struct fp_conf_load *l, struct links *links)
{
    static const char *const ignored[] = {"FLOWPLANE_CLUSTER_NAME",  "FLOWPLANE_ROUTE_NAME",
                                          "FLOWPLANE_LISTENER_NAME", "FLOWPLANE_BACKEND_ADDRESS",
                                          "FLOWPLANE_BACKEND_PORT",  "FLOWPLANE_LISTENER_PORT"};
    for (char **e = environ; e && *e; e++) {
        const char *eq = strchr(*e, '=');
        if (!eq || strncmp(*e, "FLOWPLANE_", 10) != 0 || !eq[1])
            continue;
        const char *name = fp_arena_printf(l->c->arena, "%.*s", (int)(eq - *e), *e);
        bool skip = false;
        for (size_t i = 0; i < sizeof ignored / sizeof *ignored && !skip; i++)
            skip = strcmp(name, ignored[i]) == 0;
        if (skip) {
            if (!link_value(eq + 1))
                fp_conf_warn(l, NULL, "%s is read no more and ignored", name);
        } else if (!ours(name) && link_name(fp_str_of(name), eq + 1)) {
            link_seen(links, name);
        } else if (!ours(name)) {
            const char *near = near_env(l->c->arena, name);
            fp_conf_warn(l, NULL,
                         near ? "unknown variable %s; did you mean %s?" : "unknown variable %s",
                         name, near);
        }
    }
}

void fp_conf_env_load(struct fp_conf_load *l)
{
    struct links links = {0};
    for (size_t i = 0; i < fp_conf_table_n; i++) {
        char env[80];
        fp_conf_env_name(env, fp_conf_table[i].name);
        apply(l, i, env, &links);
        if (fp_conf_table[i].env[0] && strcmp(fp_conf_table[i].env[0], env) != 0)
            apply(l, i, fp_conf_table[i].env[0], &links);
    }
    apply_json_logging(l);
    strays(l, &links);
    if (links.n)
        fp_conf_note(l, NULL, "%u variables of Kubernetes service links ignored (%s%s)", links.n,
                     links.names, links.n > 3 ? ", …" : "");
}
