/* What a request says beside its body: query options, pages (limit, offset), filters of the audit
 * log, lists of entity tags, If-Match, traceparent (contract §2.5 to §2.7, §11.5). */
#include "../../src/api/api_audit.c"
#include <stdint.h>
#include "core/core_assert.h"
#include "obs/obs_span.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {"dryRun", "wait",      "timeout", "allowMissing", "limit",
                                    "offset", "eventType", "userId",  "since",        "until",
                                    "name",   "kind",      "source",  "team",         "force"};

/* A query that passed the check has no parameter that reads as absent, nor text that the database
 * would refuse. */
static void sane(struct fp_api_call *c)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct fp_str v;
        size_t pos = 0, n = 0;
        while (fp_http_query_next(c->r, names[i], &pos, &v)) {
            FP_ASSERT(v.data && fp_str_is_utf8(v) && (!v.len || !memchr(v.data, 0, v.len)));
            n++;
        }
        FP_ASSERT(n <= 1 || strcmp(names[i], "name") == 0 || strcmp(names[i], "kind") == 0);
    }
}

static void read_query(struct fp_api_call *c)
{
    api_query_check(c);
    if (!c->problems->n)
        sane(c);
    api_options_read(c);
    FP_ASSERT(c->options.timeout_ms >= 250 && c->options.timeout_ms <= 60000);
    FP_ASSERT(api_query_clamped(c, "limit", 1, API_LIMIT_MAX) <= API_LIMIT_MAX);
    FP_ASSERT(api_query_clamped(c, "offset", 0, INT64_MAX) <= INT64_MAX);
    time_of(c, "since");
    time_of(c, "until");
}

static void read_tags(struct fp_api_call *c, struct fp_http_header *h, struct fp_str tags)
{
    int64_t version;
    h[0] = (struct fp_http_header){FP_STR("if-match"), tags};
    api_write_if_match(c, &version);
    FP_ASSERT(version >= -1 || c->problems->n);
    h[0].name = FP_STR("if-none-match");
    bool matched = api_read_none_match(c, FP_STR("\"7\""));
    h[0].value = fp_str_of(fp_arena_printf(c->r->arena, "%.*s,W/\"7\" ", FP_STR_ARG(tags)));
    FP_ASSERT(api_read_none_match(c, FP_STR("\"7\"")));
    h[0].value = tags;
    h[1] = (struct fp_http_header){FP_STR("if-none-match"), FP_STR("\"7\"")};
    c->r->headers_n = 2;
    FP_ASSERT(api_read_none_match(c, FP_STR("\"7\"")));
    FP_ASSERT(!matched || tags.len);
}

static void read_trace(struct fp_str parent, struct fp_str state)
{
    struct fp_trace t, again;
    char text[FP_TRACE_TEXT_BYTES];
    if (fp_trace_parse(&t, parent)) {
        FP_ASSERT(fp_trace_parse(&again, fp_str_of(fp_trace_text(&t, text))));
        FP_ASSERT(t.sampled == again.sampled && t.known && again.known);
    }
    FP_ASSERT(!fp_trace_state_ok(state) || state.len <= 512);
}

/* Lines: the query, tags, traceparent, tracestate. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fp_http_header headers[2];
    struct fp_str rest = fp_str_n(data, size < 8192 ? size : 8192);
    struct fp_http_request r = {.arena = fp_arena_new(NULL), .headers = headers, .headers_n = 1};
    struct fp_api_call c = {.r = &r, .problems = fp_problems_new(r.arena)};
    r.query = fp_str_split(rest, '\n', &rest);
    read_query(&c);
    read_tags(&c, headers, fp_str_split(rest, '\n', &rest));
    struct fp_str parent = fp_str_split(rest, '\n', &rest);
    read_trace(parent, rest);
    fp_arena_free(&r.arena);
    return 0;
}
