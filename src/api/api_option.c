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

uint64_t api_query_clamped(struct fp_api_call *c, const char *parameter, int64_t least,
                           int64_t most)
{
    int64_t v;
    struct fp_str s = fp_http_query(c->r, parameter);
    if (!s.data)
        return 0;
    if (!fp_str_to_i64(s, &v)) {
        fp_problem_add_parameter(c->problems, parameter, FP_P_INVALID_TYPE, "must be an integer");
        return 0;
    }
    return (uint64_t)(v < least ? least : v > most ? most : v);
}
