/*
 * The query options that every write takes (contract §2.6): dryRun, wait, timeout, allowMissing;
 * and integer parameters of any query.
 * Runs in workers.  A bad value is a problem that names the parameter.
 */
#include "api/api_int.h"

#define TIMEOUT_DEFAULT_MS 10000
#define TIMEOUT_MIN_MS     250
#define TIMEOUT_MAX_MS     60000

static bool flag(struct fp_api_call *c, const char *name)
{
    struct fp_str v = fp_http_query(c->r, name);
    if (!v.data || fp_str_eq(v, FP_STR("false")))
        return false;
    if (fp_str_eq(v, FP_STR("true")))
        return true;
    fp_problem_add_parameter(c->problems, name, FP_P_INVALID_VALUE, "must be true or false");
    return false;
}

static enum api_wait wait_of(struct fp_api_call *c)
{
    struct fp_str v = fp_http_query(c->r, "wait");
    if (!v.data)
        return API_WAIT_NO;
    if (fp_str_eq(v, FP_STR("published")))
        return API_WAIT_PUBLISHED;
    if (fp_str_eq(v, FP_STR("acked")))
        return API_WAIT_ACKED;
    fp_problem_add_parameter(c->problems, "wait", FP_P_INVALID_VALUE, "must be published or acked");
    return API_WAIT_NO;
}

/* "250ms", "10s", "1m", or a bare number of seconds */
static uint64_t timeout_of(struct fp_api_call *c)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"", 1000}};
    struct fp_str v = fp_http_query(c->r, "timeout");
    uint64_t n;
    if (!v.data)
        return TIMEOUT_DEFAULT_MS;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        struct fp_str unit = fp_str_of(units[i].unit);
        if (!fp_str_ends(v, unit) || !fp_str_to_u64(fp_str_n(v.data, v.len - unit.len), &n))
            continue;
        if (n <= TIMEOUT_MAX_MS && n * units[i].ms >= TIMEOUT_MIN_MS &&
            n * units[i].ms <= TIMEOUT_MAX_MS)
            return n * units[i].ms;
        fp_problem_add_parameter(c->problems, "timeout", FP_P_OUT_OF_RANGE,
                                 "must be between 250ms and 60s");
        return TIMEOUT_DEFAULT_MS;
    }
    fp_problem_add_parameter(c->problems, "timeout", FP_P_INVALID_FORMAT,
                             "must be a duration such as 250ms or 10s");
    return TIMEOUT_DEFAULT_MS;
}

void api_options_read(struct fp_api_call *c)
{
    c->options = (struct api_options){
        .dry_run = flag(c, "dryRun"),
        .allow_missing = flag(c, "allowMissing"),
        .wait = wait_of(c),
        .timeout_ms = timeout_of(c),
    };
}

/* ---- any query */

#define PARAMETERS_MAX 100

/* The database holds no NUL, and no text that is not UTF-8. */
static bool is_text(struct fp_str s)
{
    return s.data && fp_str_is_utf8(s) && (!s.len || !memchr(s.data, 0, s.len));
}

/* `name` filters by several names, `kind` and `name` come in pairs (contract §2.5, §7.3). */
static bool repeatable(struct fp_str key)
{
    return fp_str_eq(key, FP_STR("name")) || fp_str_eq(key, FP_STR("kind"));
}

void api_query_check(struct fp_api_call *c)
{
    struct fp_arena *a = c->r->arena;
    struct fp_str rest = c->r->query, raw, seen[PARAMETERS_MAX];
    size_t n = 0;
    while (rest.data) {
        struct fp_str pair = fp_str_split(rest, '&', &rest);
        struct fp_str key = fp_http_decode(a, fp_str_split(pair, '=', &raw), true);
        bool good = is_text(key) && (!raw.data || is_text(fp_http_decode(a, raw, true)));
        const char *name = is_text(key) ? fp_arena_printf(a, "%.*s", FP_STR_ARG(key)) : "";
        if (!good)
            fp_problem_add_parameter(c->problems, name, FP_P_INVALID_FORMAT,
                                     "not percent-encoded UTF-8 text");
        if (!good || !key.len || repeatable(key))
            continue;
        size_t i = 0;
        while (i < n && !fp_str_eq(seen[i], key))
            i++;
        if (i < n)
            fp_problem_add_parameter(c->problems, name, FP_P_DUPLICATE, "stands twice");
        else if (n == PARAMETERS_MAX)
            fp_problem_add_parameter(c->problems, name, FP_P_TOO_MANY,
                                     "a query has at most %d parameters", PARAMETERS_MAX);
        else
            seen[n++] = key;
    }
}

/* Of any size: what no int64_t holds is as good as its end. */
static bool whole_number(struct fp_str s, int64_t *v)
{
    bool negative = fp_str_starts(s, FP_STR("-"));
    size_t i = negative;
    while (i < s.len && s.data[i] >= '0' && s.data[i] <= '9')
        i++;
    if (i < s.len || s.len == negative)
        return false;
    if (!fp_str_to_i64(s, v))
        *v = negative ? INT64_MIN : INT64_MAX;
    return true;
}

uint64_t api_query_clamped(struct fp_api_call *c, const char *parameter, int64_t least,
                           int64_t most)
{
    int64_t v;
    struct fp_str s = fp_http_query(c->r, parameter);
    if (!s.data)
        return 0;
    if (!whole_number(s, &v)) {
        fp_problem_add_parameter(c->problems, parameter, FP_P_INVALID_TYPE, "must be an integer");
        return 0;
    }
    return (uint64_t)(v < least ? least : v > most ? most : v);
}
