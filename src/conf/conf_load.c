/*
 * Loads the layers of contract §12.1 into one struct fp_conf.  Runs in the master, and in the
 * command line before it.  Later layers win key by key; every error is reported, not the first
 * only.
 */
#include <dirent.h>
#include <errno.h>
#include <libconfig.h>
#include <stdlib.h>
#include <unistd.h>
#include "fp_config.h"
#include "core/core_assert.h"
#include "core/core_buf.h"
#include "core/core_mem.h"
#include "conf/conf_int.h"

static void say(struct fp_conf_load *l, const char *kind, const char *origin, const char *fmt,
                va_list ap)
{
    fputs(kind, l->err);
    if (origin)
        fprintf(l->err, "%s: ", strncmp(origin, "env ", 4) == 0 ? origin + 4 : origin);
    vfprintf(l->err, fmt, ap);
    fputc('\n', l->err);
}

void fp_conf_error(struct fp_conf_load *l, const char *origin, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    say(l, "", origin, fmt, ap);
    va_end(ap);
    l->errors++;
}

void fp_conf_warn(struct fp_conf_load *l, const char *origin, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    say(l, "warning: ", origin, fmt, ap);
    va_end(ap);
}

void fp_conf_note(struct fp_conf_load *l, const char *origin, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    say(l, "note: ", origin, fmt, ap);
    va_end(ap);
}

void fp_conf_set(struct fp_conf_load *l, size_t index, const struct fp_conf_raw *raw,
                 const char *origin)
{
    const struct fp_conf_directive *d = &fp_conf_table[index];
    const char *why = fp_conf_store(l->c, d, raw);
    if (why)
        fp_conf_error(l, origin, "%s %s", d->name, why);
    else {
        l->c->origins[index] = origin;
        l->layers[index] = (unsigned char)l->layer;
    }
}

/* libconfig's parser leaks the string it was reading at a syntax error: not ours to report. */
#ifdef __has_feature
#define CONF_ASAN __has_feature(address_sanitizer)
#elif defined(__SANITIZE_ADDRESS__)
#define CONF_ASAN 1
#else
#define CONF_ASAN 0
#endif
#if CONF_ASAN
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libconfig.so\n";
}
#endif

/* --- one file ------------------------------------------------------------------------------- */

struct walk {
    struct fp_conf_load *l;
    const struct fp_conf_text *text;
};

static const char *line_of(const struct walk *w, unsigned line)
{
    const struct fp_conf_text *t = w->text;
    size_t i = line > 0 && line <= t->lines_n ? line - 1 : 0;
    return t->lines_n ? fp_arena_printf(w->l->c->arena, "%s:%d", t->lines[i].file, t->lines[i].line)
                      : NULL;
}

static void raw_of(struct fp_arena *a, const config_setting_t *s, struct fp_conf_raw *raw)
{
    *raw = (struct fp_conf_raw){.kind = FP_RAW_LIST};
    switch (config_setting_type(s)) {
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        raw->kind = FP_RAW_INT;
        raw->i = config_setting_get_int64(s);
        break;
    case CONFIG_TYPE_FLOAT:
        raw->kind = FP_RAW_FLOAT;
        raw->f = config_setting_get_float(s);
        break;
    case CONFIG_TYPE_BOOL:
        raw->kind = FP_RAW_BOOL;
        raw->b = config_setting_get_bool(s);
        break;
    case CONFIG_TYPE_STRING:
        raw->kind = FP_RAW_STRING;
        raw->s = config_setting_get_string(s);
        raw->s = raw->s ? raw->s : "";
        break;
    default:
        raw->list.n = (size_t)config_setting_length(s);
        const char **items = fp_arena_alloc(a, (raw->list.n + 1) * sizeof *items);
        for (size_t i = 0; i < raw->list.n; i++)
            items[i] = config_setting_get_string_elem(s, (int)i);
        raw->list.items = items;
        if (config_setting_is_group(s)) /* a group is no list: its "items" are refused */
            raw->list.n = raw->list.n ? raw->list.n : 1;
    }
}

static void walk_group(const struct walk *w, const config_setting_t *group, const char *prefix)
{
    struct fp_conf_load *l = w->l;
    for (int i = 0; i < config_setting_length(group); i++) {
        const config_setting_t *s = config_setting_get_elem(group, (unsigned)i);
        const char *origin = line_of(w, config_setting_source_line(s));
        const char *name = fp_arena_printf(l->c->arena, "%s%s%s", prefix, *prefix ? "." : "",
                                           config_setting_name(s));
        size_t at = fp_conf_find(fp_str_of(name));
        if (at != FP_CONF_NONE && !(fp_conf_table[at].flags & FP_CONF_HIDDEN)) {
            struct fp_conf_raw raw;
            raw_of(l->c->arena, s, &raw);
            fp_conf_set(l, at, &raw, origin);
        } else if (at != FP_CONF_NONE) {
            fp_conf_error(l, origin, "%s can be given in the environment only, as %s", name,
                          fp_conf_table[at].env[0]);
        } else if (fp_conf_group_known(fp_str_of(name))) {
            if (config_setting_is_group(s))
                walk_group(w, s, name);
            else
                fp_conf_error(l, origin, "%s is a group: write %s : { … };", name,
                              config_setting_name(s));
        } else {
            const char *near = fp_conf_near(fp_str_of(name));
            fp_conf_error(l, origin,
                          near ? "unknown directive \"%s\"; did you mean \"%s\"?"
                               : "unknown directive \"%s\"",
                          name, near);
        }
    }
}

/* libconfig says "duplicate setting name" and the line; the name is what stands there. */
static void report_parse(const struct walk *w, const config_t *k)
{
    unsigned line = (unsigned)config_error_line(k);
    const char *origin = line_of(w, line), *text = config_error_text(k);
    if (!text || strcmp(text, "duplicate setting name") != 0) {
        fp_conf_error(w->l, origin, "%s", text ? text : "cannot be parsed");
        return;
    }
    struct fp_str rest = fp_buf_str(w->text->out), at = FP_STR_NULL;
    for (unsigned i = 0; i < line && rest.data; i++)
        at = fp_str_trim(fp_str_split(rest, '\n', &rest));
    size_t n = 0;
    while (n < at.len && at.data[n] != ' ' && at.data[n] != '=' && at.data[n] != ':')
        n++;
    fp_conf_error(w->l, origin, "\"%.*s\" is given twice in this file", (int)n, at.data);
}

void fp_conf_file_load(struct fp_conf_load *l, const char *path, bool required)
{
    if (!required && access(path, F_OK) != 0 && errno == ENOENT)
        return;
    struct fp_buf out = {0};
    struct fp_conf_text text = {.out = &out};
    if (fp_conf_text_read(l, path, &text)) {
        struct walk w = {l, &text};
        config_t k;
        config_init(&k);
        if (config_read_string(&k, fp_buf_cstr(&out)) == CONFIG_TRUE)
            walk_group(&w, config_root_setting(&k), "");
        else
            report_parse(&w, &k);
        config_destroy(&k);
    }
    fp_conf_text_fini(&text);
    fp_buf_fini(&out);
}

/* --- the command line ----------------------------------------------------------------------- */

/* `api.port = 18080`: a value in quotes or brackets is libconfig's, anything else is plain text. */
void fp_conf_override_load(struct fp_conf_load *l, const char *text)
{
    struct fp_arena *a = l->c->arena;
    struct fp_str s = fp_str_of(text);
    size_t n = strcspn(text, "=:");
    struct fp_str name = fp_str_trim(fp_str_n(text, n));
    struct fp_str value =
        n < s.len ? fp_str_trim(fp_str_n(text + n + 1, s.len - n - 1)) : FP_STR_NULL;
    if (value.len && value.data[value.len - 1] == ';')
        value = fp_str_trim(fp_str_n(value.data, value.len - 1));
    if (!name.len || !value.len) {
        fp_conf_error(l, "command line", "-g needs 'directive = value', got '%s'", text);
        return;
    }
    size_t at = fp_conf_find(name);
    if (at == FP_CONF_NONE) {
        const char *near = fp_conf_near(name);
        fp_conf_error(l, "command line",
                      near ? "unknown directive \"%.*s\"; did you mean \"%s\"?"
                           : "unknown directive \"%.*s\"",
                      FP_STR_ARG(name), near);
        return;
    }
    struct fp_conf_raw raw = {.kind = FP_RAW_TEXT,
                              .s = fp_arena_printf(a, "%.*s", FP_STR_ARG(value))};
    if (!strchr("\"[(", value.data[0])) {
        fp_conf_set(l, at, &raw, "command line");
        return;
    }
    config_t k;
    config_init(&k);
    if (config_read_string(&k, fp_arena_printf(a, "v = %s;", raw.s)) == CONFIG_TRUE) {
        raw_of(a, config_lookup(&k, "v"), &raw);
        fp_conf_set(l, at, &raw, "command line");
    } else {
        fp_conf_error(l, "command line", "%s: %s", fp_conf_table[at].name, config_error_text(&k));
    }
    config_destroy(&k);
}

/* --- all layers ----------------------------------------------------------------------------- */

#define CONF_D_MAX 256

/* The *.conf of a directory by name: an insertion sort, there are few. */
static size_t conf_d_names(struct fp_arena *a, const char *dir, const char *names[CONF_D_MAX])
{
    size_t n = 0;
    DIR *d = opendir(dir);
    const struct dirent *e;
    while (d && n < CONF_D_MAX && (e = readdir(d))) {
        if (e->d_name[0] == '.' || !fp_str_ends(fp_str_of(e->d_name), FP_STR(".conf")))
            continue;
        size_t at = n++;
        for (; at > 0 && strcmp(names[at - 1], e->d_name) > 0; at--)
            names[at] = names[at - 1];
        names[at] = fp_arena_strdup(a, e->d_name);
    }
    if (d)
        closedir(d);
    return n;
}

static void load_files(struct fp_conf_load *l)
{
    const struct fp_conf_sources *s = l->s;
    struct fp_arena *a = l->c->arena;
    if (s->file) {
        fp_conf_file_load(l, s->file, true);
        return;
    }
    l->layer = LAYER_SHARE;
    if (s->prefix_share)
        fp_conf_file_load(l, fp_arena_printf(a, "%s/flowplane.conf.default", s->prefix_share),
                          false);
    l->layer = LAYER_FILE;
    if (!s->prefix_etc)
        return;
    fp_conf_file_load(l, fp_arena_printf(a, "%s/flowplane.conf", s->prefix_etc), false);
    const char *dir = fp_arena_printf(a, "%s/conf.d", s->prefix_etc);
    const char *names[CONF_D_MAX];
    size_t n = conf_d_names(a, dir, names);
    for (size_t i = 0; i < n; i++)
        fp_conf_file_load(l, fp_arena_printf(a, "%s/%s", dir, names[i]), true);
}

static void set_default(struct fp_conf_load *l, const char *name, const char *value)
{
    const struct fp_conf_directive *d = &fp_conf_table[fp_conf_find(fp_str_of(name))];
    struct fp_conf_raw raw = {.kind = FP_RAW_TEXT, .s = value};
    const char *why = fp_conf_store(l->c, d, &raw);
    if (why)
        fp_conf_error(l, NULL, "default of %s %s", d->name, why);
}

/* --dev (contract §13.1): everything below ./run, loopback, embedded PostgreSQL. */
static void load_dev(struct fp_conf_load *l)
{
    static const struct {
        const char *name, *value;
        bool below;
    } dev[] = {{"process.runtime_dir", "run", true}, {"process.state_dir", "run/state", true},
               {"database.embedded", "true", false}, {"xds.bind_address", "127.0.0.1", false},
               {"bootstrap.print", "true", false},   {"process.workers", "2", false}};
    char buf[4096];
    const char *cwd = getcwd(buf, sizeof buf);
    for (size_t i = 0; i < sizeof dev / sizeof *dev; i++)
        set_default(l, dev[i].name,
                    dev[i].below
                        ? fp_arena_printf(l->c->arena, "%s/%s", cwd ? cwd : ".", dev[i].value)
                        : dev[i].value);
}

/*
 * url, url_file and embedded exclude each other within a layer; a later layer's choice replaces an
 * earlier one as a whole, so that the packaged URL is not in the way.
 */
static void choose_database(struct fp_conf_load *l)
{
    struct fp_conf *c = l->c;
    unsigned url = c->database.url ? l->layers[fp_conf_find(FP_STR("database.url"))] : 0;
    unsigned file = c->database.url_file ? l->layers[fp_conf_find(FP_STR("database.url_file"))] : 0;
    unsigned embedded =
        c->database.embedded ? l->layers[fp_conf_find(FP_STR("database.embedded"))] : 0;
    unsigned top = url > file ? url : file;
    top = embedded > top ? embedded : top;
    if (url < top)
        c->database.url = NULL;
    if (file < top)
        c->database.url_file = NULL;
    if (embedded < top)
        c->database.embedded = false;
}

static void derive(struct fp_conf *c)
{
    struct fp_arena *a = c->arena;
    if (!c->process.instance_id) {
        char host[256] = "flowplane";
        (void)gethostname(host, sizeof host - 1);
        c->process.instance_id = fp_arena_strdup(a, host);
    }
    if (!c->process.pid_file)
        c->process.pid_file = strcmp(c->process.runtime_dir, FP_RUNTIME_DIR) == 0
                                  ? FP_PID_PATH
                                  : fp_arena_printf(a, "%s/flowplane.pid", c->process.runtime_dir);
    if (!c->database.data_dir)
        c->database.data_dir = fp_arena_printf(a, "%s/pg", c->process.state_dir);
    if (!c->bootstrap.token_file)
        c->bootstrap.token_file = fp_arena_printf(a, "%s/bootstrap-token", c->process.state_dir);
    if (!c->origins[fp_conf_find(FP_STR("xds.tls.require_client_cert"))])
        c->xds.tls.require_client_cert = c->xds.tls.client_ca_path != NULL;
    c->xds.tls.enabled = c->xds.tls.cert_path != NULL;
}

struct fp_conf *fp_conf_load(const struct fp_conf_sources *s, FILE *err)
{
    struct fp_arena *a = fp_arena_new(NULL);
    struct fp_conf *c = FP_ARENA_NEW(a, struct fp_conf);
    c->arena = a;
    c->dev = s->dev;
    c->origins = fp_arena_alloc(a, fp_conf_table_n * sizeof *c->origins);
    struct fp_conf_load l = {.c = c, .s = s, .err = err};
    l.layers = fp_arena_alloc(a, fp_conf_table_n);
    for (size_t i = 0; i < fp_conf_table_n; i++)
        if (fp_conf_table[i].def)
            set_default(&l, fp_conf_table[i].name, fp_conf_table[i].def);
    if (s->dev)
        load_dev(&l);
    l.layer = LAYER_FILE;
    load_files(&l);
    l.layer = LAYER_ENV;
    fp_conf_env_load(&l);
    l.layer = LAYER_COMMAND;
    for (size_t i = 0; i < s->overrides_n; i++)
        fp_conf_override_load(&l, s->overrides[i]);
    choose_database(&l);
    derive(c);
    if (l.errors == 0) /* relations between values that are right in themselves */
        fp_conf_check(&l);
    if (l.errors)
        fp_conf_free(&c);
    return c;
}

void fp_conf_free(struct fp_conf **c)
{
    struct fp_arena *a = *c ? (*c)->arena : NULL;
    *c = NULL;
    fp_arena_free(&a);
}

void fp_conf_diff_restart(const struct fp_conf *a, const struct fp_conf *b,
                          struct fp_conf_changes *out)
{
    out->n = 0;
    for (size_t i = 0; i < fp_conf_table_n; i++)
        if (fp_conf_table[i].class == 'R' && !fp_conf_value_equal(a, b, &fp_conf_table[i]) &&
            out->n < sizeof out->names / sizeof *out->names)
            out->names[out->n++] = fp_conf_table[i].name;
}

/* Strings are copied: `to` must not point into another configuration's arena. */
static void copy_value(const struct fp_conf *from, struct fp_conf *to,
                       const struct fp_conf_directive *d)
{
    const void *src = fp_conf_field(from, d);
    void *dst = fp_conf_field(to, d);
    if (d->type == FP_CONF_T_STRING || d->type == FP_CONF_T_PATH) {
        const char *s = *(const char *const *)src;
        *(const char **)dst = s ? fp_arena_strdup(to->arena, s) : NULL;
        return;
    }
    FP_ASSERT(d->type != FP_CONF_T_LIST); /* no list is of class R */
    memcpy(dst, src, d->width);
}

void fp_conf_keep_restart(const struct fp_conf *from, struct fp_conf *to)
{
    for (size_t i = 0; i < fp_conf_table_n; i++)
        if (fp_conf_table[i].class == 'R')
            copy_value(from, to, &fp_conf_table[i]);
}
