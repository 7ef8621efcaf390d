/*
 * The spans of a request (contract §11.4): http_request, and below it auth and db_transaction. Runs
 * in workers.  With tracing off a call has no trace and each function returns at once.
 */
#include "api/api_int.h"
#include "obs/obs_span.h"

struct api_trace {
    struct fp_span request, auth, db;
    bool joined; /* the caller's trace */
    char text[FP_TRACE_TEXT_BYTES];
};

void api_trace_begin(struct fp_api_call *c)
{
    struct fp_trace parent;
    if (!fp_spans_on())
        return;
    fp_trace_parse(&parent, fp_str_trim(fp_http_header(c->r, "traceparent")));
    struct api_trace *t = c->trace = FP_ARENA_NEW(c->r->arena, struct api_trace);
    fp_span_begin(&t->request, FP_SPAN_HTTP_REQUEST, &parent);
    fp_span_since(&t->request, c->r->start_ns);
    /* probes and scrapes would drown the rest */
    if (!parent.known && c->known && c->known->flags & API_PUBLIC)
        t->request.at.sampled = false;
    fp_span_str(&t->request, "method", c->r->method);
    fp_span_str(&t->request, "request_id", c->request_id);
    t->joined = parent.known;
    if (t->joined)
        fp_span_state(&t->request, fp_http_header(c->r, "tracestate"));
    fp_trace_text(&t->request.at, t->text);
}

struct fp_str api_trace_context(const struct fp_api_call *c)
{
    return c->trace ? fp_str_of(c->trace->text) : FP_STR_NULL;
}

struct fp_str api_trace_id(const struct fp_api_call *c)
{
    return c->trace ? fp_str_n(c->trace->text + sizeof("00-") - 1, 32) : FP_STR_NULL;
}

void api_trace_auth(struct fp_api_call *c)
{
    if (c->trace)
        fp_span_begin(&c->trace->auth, FP_SPAN_AUTH, &c->trace->request.at);
}

const struct fp_trace *api_trace_auth_at(const struct fp_api_call *c)
{
    return c->trace && c->trace->auth.at.known ? &c->trace->auth.at : NULL;
}

void api_trace_auth_end(struct fp_api_call *c, const char *result, bool failed)
{
    if (!c->trace)
        return;
    fp_span_str(&c->trace->auth, "result", fp_str_of(result));
    fp_span_end(&c->trace->auth, failed);
}

void api_trace_db(struct fp_api_call *c)
{
    if (!c->trace || c->trace->db.running)
        return;
    fp_span_begin(&c->trace->db, FP_SPAN_DB_TRANSACTION, &c->trace->request.at);
}

void api_trace_db_end(struct fp_api_call *c, bool failed)
{
    if (c->trace)
        fp_span_end(&c->trace->db, failed);
}

void api_trace_end(struct fp_api_call *c, struct api_headers *h, struct fp_str path, int status)
{
    if (!c->trace)
        return;
    fp_span_str(&c->trace->request, "path", path);
    fp_span_int(&c->trace->request, "status", status);
    api_header_add(h, "traceparent", fp_str_of(c->trace->text));
    if (c->trace->joined && fp_trace_state_ok(fp_http_header(c->r, "tracestate")))
        api_header_add(h, "tracestate", fp_http_header(c->r, "tracestate"));
    fp_span_end(&c->trace->request, status >= 500);
}
