/*
 * One value: from a source's raw form into its field of struct fp_conf, and back to text.  Runs in
 * the master.  Knows types, not directives.
 */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>
#include "core/core_assert.h"
#include "conf/conf_int.h"

static const struct unit {
    const char *suffix;
    int64_t factor;
} dur_units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}},
  size_units[] = {{"", 1}, {"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}};

/* digits and a unit; false when malformed, *out saturates */
static bool with_unit(struct fp_str s, const struct unit *u, size_t n, int64_t *out)
{
    size_t d = 0;
    while (d < s.len && isdigit((unsigned char)s.data[d]))
        d++;
    struct fp_str suffix = fp_str_n(s.data + d, s.len - d);
    for (size_t i = 0; d && i < n; i++) {
        if (!fp_str_eq_c(suffix, u[i].suffix))
            continue;
        uint64_t v;
        if (!fp_str_to_u64(fp_str_n(s.data, d), &v) || v > (uint64_t)(INT64_MAX / u[i].factor))
            *out = INT64_MAX;
        else
            *out = (int64_t)v * u[i].factor;
        return true;
    }
    return false;
}

static bool word_bool(const char *s, bool *out)
{
    static const char *const words[2][4] = {{"0", "false", "no", "off"},
                                            {"1", "true", "yes", "on"}};
    for (int v = 0; v < 2; v++)
        for (int i = 0; i < 4; i++)
            if (fp_str_case_eq(fp_str_of(s), fp_str_of(words[v][i])))
                return *out = v, true;
    return false;
}

static int choice_index(const char *choices, struct fp_str s)
{
    struct fp_str rest = fp_str_of(choices);
    for (int i = 0; rest.data; i++)
        if (fp_str_eq(fp_str_split(rest, '|', &rest), s))
            return i;
    return -1;
}

static const char *human(struct fp_arena *a, enum fp_conf_type type, int64_t v)
{
    const struct unit *u = type == FP_CONF_T_DUR ? dur_units : size_units;
    int i = type == FP_CONF_T_DUR ? 4 : type == FP_CONF_T_SIZE ? 3 : -1;
    if (i < 0 || v == 0)
        return fp_arena_printf(a, "%lld", (long long)v);
    while (i > 0 && v % u[i].factor)
        i--;
    return fp_arena_printf(a, "%lld%s", (long long)(v / u[i].factor), u[i].suffix);
}

static const char *store_int(struct fp_conf *c, const struct fp_conf_directive *d, int64_t v)
{
    if (v < d->min || v > d->max)
        return fp_arena_printf(c->arena, "is out of range, must be %s..%s",
                               human(c->arena, d->type, d->min), human(c->arena, d->type, d->max));
    void *f = fp_conf_field(c, d);
    switch (d->width) {
    case 2:
        *(uint16_t *)f = (uint16_t)v;
        break;
    case 4:
        *(uint32_t *)f = (uint32_t)v;
        break;
    case 8:
        *(uint64_t *)f = (uint64_t)v;
        break;
    default:
        FP_UNREACHABLE();
    }
    return NULL;
}

static bool all_digits(const char *s)
{
    s += *s == '-' || *s == '+';
    return *s && s[strspn(s, "0123456789")] == '\0';
}

static const char *store_number(struct fp_conf *c, const struct fp_conf_directive *d,
                                const struct fp_conf_raw *raw)
{
    static const char *const want[] = {
        [FP_CONF_T_INT] = "an integer",
        [FP_CONF_T_SIZE] = "a size such as 65536, \"64K\" or \"2M\"",
        [FP_CONF_T_DUR] = "a duration: seconds, or text such as \"250ms\", \"30s\", \"15m\""};
    int64_t v;
    bool dur = d->type == FP_CONF_T_DUR;
    if (raw->kind == FP_RAW_INT) {
        v = raw->i;
        if (dur && v > 0)
            v = v > INT64_MAX / 1000 ? INT64_MAX : v * 1000;
        return store_int(c, d, v);
    }
    if (raw->kind == FP_RAW_TEXT || raw->kind == FP_RAW_STRING) {
        struct fp_str s = fp_str_trim(fp_str_of(raw->s));
        if ((d->flags & FP_CONF_AUTO_N) && fp_str_eq_c(s, "auto")) {
            long n = sysconf(_SC_NPROCESSORS_ONLN);
            return store_int(c, d, n < d->min ? d->min : n > d->max ? d->max : n);
        }
        if (all_digits(raw->s) && (raw->kind == FP_RAW_TEXT || !fp_str_to_i64(s, &v))) {
            if (!fp_str_to_i64(s, &v)) /* beyond 64 bits: conf_text.c made it a string */
                return store_int(c, d, raw->s[0] == '-' ? INT64_MIN : INT64_MAX);
            return store_int(c, d, dur && v > 0 && v <= INT64_MAX / 1000 ? v * 1000 : v);
        }
        bool unit = dur ? with_unit(s, dur_units, 5, &v) : with_unit(s, size_units, 4, &v);
        if (d->type != FP_CONF_T_INT && unit)
            return store_int(c, d, v);
    }
    return fp_arena_printf(c->arena, "must be %s%s", want[d->type],
                           d->flags & FP_CONF_AUTO_N ? " or \"auto\"" : "");
}

static const char *store_bool(struct fp_conf *c, const struct fp_conf_directive *d,
                              const struct fp_conf_raw *raw)
{
    bool v;
    if (raw->kind == FP_RAW_BOOL)
        v = raw->b;
    else if (raw->kind == FP_RAW_TEXT && word_bool(raw->s, &v))
        ;
    else if (raw->kind == FP_RAW_TEXT && (d->flags & FP_CONF_ENV_LAX))
        v = false;
    else
        return raw->kind == FP_RAW_TEXT ? "must be one of 1 true yes on, 0 false no off"
                                        : "must be true or false";
    *(bool *)fp_conf_field(c, d) = v;
    return NULL;
}

static const char *store_choice(struct fp_conf *c, const struct fp_conf_directive *d,
                                const struct fp_conf_raw *raw)
{
    const char *s = raw->s;
    bool b, bools = strncmp(d->choices, "false|true", 10) == 0;
    if (bools && (raw->kind == FP_RAW_BOOL || (raw->kind == FP_RAW_TEXT && word_bool(s, &b))))
        s = (raw->kind == FP_RAW_BOOL ? raw->b : b) ? "true" : "false";
    else if (raw->kind != FP_RAW_TEXT && raw->kind != FP_RAW_STRING)
        s = "";
    int i = choice_index(d->choices, fp_str_of(s));
    if (i < 0)
        return fp_arena_printf(c->arena, "must be one of %s", d->choices);
    void *f = fp_conf_field(c, d);
    if (d->width == sizeof(bool))
        *(bool *)f = i;
    else
        *(int *)f = i;
    return NULL;
}

static const char *store_string(struct fp_conf *c, const struct fp_conf_directive *d,
                                const struct fp_conf_raw *raw)
{
    if (raw->kind != FP_RAW_TEXT && raw->kind != FP_RAW_STRING)
        return "must be a string";
    struct fp_str s = fp_str_of(raw->s);
    if (!fp_str_is_utf8(s))
        return "is not UTF-8";
    if (d->type == FP_CONF_T_PATH && fp_str_trim(s).len == 0)
        return "must not be blank";
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.data[i] < 0x20)
            return "must not hold control characters";
    if (d->choices && choice_index(d->choices, s) < 0)
        return fp_arena_printf(c->arena, "must be one of %s", d->choices);
    *(const char **)fp_conf_field(c, d) = fp_arena_strdup(c->arena, raw->s);
    return NULL;
}

static const char *store_ratio(struct fp_conf *c, const struct fp_conf_directive *d,
                               const struct fp_conf_raw *raw)
{
    double v = NAN;
    if (raw->kind == FP_RAW_FLOAT)
        v = raw->f;
    else if (raw->kind == FP_RAW_INT)
        v = (double)raw->i;
    else if (raw->kind == FP_RAW_TEXT && isdigit((unsigned char)raw->s[0])) {
        char *end;
        v = strtod(raw->s, &end);
        if (*end)
            v = NAN;
    }
    if (isnan(v))
        return "must be a number from 0 to 1";
    if (v < 0 || v > 1)
        return "is out of range, must be 0..1";
    *(double *)fp_conf_field(c, d) = v;
    return NULL;
}

#define LIST_MAX 256
static const char *store_list(struct fp_conf *c, const struct fp_conf_directive *d,
                              const struct fp_conf_raw *raw)
{
    struct fp_conf_list *out = fp_conf_field(c, d);
    const char *items[LIST_MAX];
    size_t n = 0;
    if (raw->kind == FP_RAW_TEXT || raw->kind == FP_RAW_STRING) {
        /* one string in a file is a list of one; in the environment a comma list */
        struct fp_str rest = fp_str_of(raw->s);
        while (rest.data && n < LIST_MAX) {
            struct fp_str item = raw->kind == FP_RAW_TEXT ? fp_str_split(rest, ',', &rest) : rest;
            if (raw->kind == FP_RAW_STRING)
                rest = FP_STR_NULL;
            item = fp_str_trim(item);
            if (item.len)
                items[n++] = fp_arena_printf(c->arena, "%.*s", FP_STR_ARG(item));
        }
    } else if (raw->kind == FP_RAW_LIST) {
        for (size_t i = 0; i < raw->list.n && n < LIST_MAX; i++) {
            if (!raw->list.items[i])
                return "must be a list of strings";
            items[n++] = fp_arena_strdup(c->arena, raw->list.items[i]);
        }
    } else {
        return "must be a list of strings";
    }
    if (n == LIST_MAX)
        return "has too many items";
    out->items = n ? fp_arena_dup(c->arena, items, n * sizeof *items) : NULL;
    out->n = n;
    return NULL;
}

const char *fp_conf_store(struct fp_conf *c, const struct fp_conf_directive *d,
                          const struct fp_conf_raw *raw)
{
    static const char *(*const by_type[])(struct fp_conf *, const struct fp_conf_directive *,
                                          const struct fp_conf_raw *) = {
        [FP_CONF_T_STRING] = store_string, [FP_CONF_T_PATH] = store_string,
        [FP_CONF_T_INT] = store_number,    [FP_CONF_T_SIZE] = store_number,
        [FP_CONF_T_DUR] = store_number,    [FP_CONF_T_BOOL] = store_bool,
        [FP_CONF_T_RATIO] = store_ratio,   [FP_CONF_T_LIST] = store_list,
        [FP_CONF_T_CHOICE] = store_choice};
    return by_type[d->type](c, d, raw);
}

static uint64_t load_int(const struct fp_conf *c, const struct fp_conf_directive *d)
{
    const void *f = fp_conf_field(c, d);
    return d->width == 1   ? *(const bool *)f
           : d->width == 2 ? *(const uint16_t *)f
           : d->width == 4 ? *(const uint32_t *)f
                           : *(const uint64_t *)f;
}

static bool list_equal(const struct fp_conf_list *a, const struct fp_conf_list *b)
{
    for (size_t i = 0; a->n == b->n && i < a->n; i++)
        if (strcmp(a->items[i], b->items[i]) != 0)
            return false;
    return a->n == b->n;
}

bool fp_conf_value_equal(const struct fp_conf *a, const struct fp_conf *b,
                         const struct fp_conf_directive *d)
{
    const void *fa = fp_conf_field(a, d), *fb = fp_conf_field(b, d);
    if (d->type == FP_CONF_T_LIST)
        return list_equal(fa, fb);
    if (d->type != FP_CONF_T_STRING && d->type != FP_CONF_T_PATH)
        return memcmp(fa, fb, d->width) == 0;
    const char *sa = *(const char *const *)fa, *sb = *(const char *const *)fb;
    return sa && sb ? strcmp(sa, sb) == 0 : sa == sb;
}

static void print_string(const char *s, struct fp_buf *out)
{
    fp_buf_append_byte(out, '"');
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            fp_buf_append_byte(out, '\\');
        fp_buf_append_byte(out, (uint8_t)*s);
    }
    fp_buf_append_byte(out, '"');
}

/* "postgresql://u:***@h/db": the password of a URL, or everything when it is not a URL. */
static void print_secret(const char *s, struct fp_buf *out)
{
    const char *authority = strstr(s, "://");
    const char *query = strchr(s, '?');
    if (!authority || (query && strcasestr(query, "password"))) {
        fp_buf_append_c(out, "\"***\"");
        return;
    }
    authority += 3;
    const char *at = memrchr(authority, '@', strcspn(authority, "/?"));
    const char *colon = at ? memchr(authority, ':', (size_t)(at - authority)) : NULL;
    if (!colon) {
        print_string(s, out);
        return;
    }
    char head[1024];
    snprintf(head, sizeof head, "%.*s:***%s", (int)(colon - s), s, at);
    print_string(head, out);
}

bool fp_conf_value_print(const struct fp_conf *c, const struct fp_conf_directive *d,
                         struct fp_buf *out)
{
    const void *f = fp_conf_field(c, d);
    struct fp_arena *a = NULL;
    if (d->type == FP_CONF_T_STRING || d->type == FP_CONF_T_PATH) {
        const char *s = *(const char *const *)f;
        if (!s)
            return false;
        (d->flags & FP_CONF_SECRET ? print_secret : print_string)(s, out);
    } else if (d->type == FP_CONF_T_LIST) {
        const struct fp_conf_list *l = f;
        fp_buf_append_c(out, l->n ? "[ " : "[");
        for (size_t i = 0; i < l->n; i++) {
            print_string(l->items[i], out);
            fp_buf_append_c(out, i + 1 < l->n ? ", " : " ");
        }
        fp_buf_append_byte(out, ']');
    } else if (d->type == FP_CONF_T_RATIO) {
        fp_buf_printf(out, "%.6g%s", *(const double *)f,
                      *(const double *)f == (double)(int)*(const double *)f ? ".0" : "");
    } else if (d->type == FP_CONF_T_BOOL) {
        fp_buf_append_c(out, *(const bool *)f ? "true" : "false");
    } else if (d->type == FP_CONF_T_CHOICE) {
        struct fp_str rest = fp_str_of(d->choices), word = FP_STR_NULL;
        for (uint64_t i = 0; i <= load_int(c, d); i++)
            word = fp_str_split(rest, '|', &rest);
        fp_buf_printf(out, "\"%.*s\"", FP_STR_ARG(word));
    } else {
        a = fp_arena_new(NULL);
        const char *s = human(a, d->type, (int64_t)load_int(c, d));
        const char *quote = all_digits(s) ? "" : "\"";
        fp_buf_printf(out, "%s%s%s", quote, s, quote);
        fp_arena_free(&a);
    }
    return true;
}
