/*
 * Responses, in workers: fields that every answer carries, gzip, and what HEAD, 204 and 304 leave
 * out.  The protocols only frame what is made here.
 */
#include <stdio.h>
#include <time.h>
#include "codec/codec_gzip.h"
#include "http/http_int.h"

static const struct {
    int status;
    const char *phrase;
} phrases[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {207, "Multi-Status"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
};

const char *fp_http_reason_phrase(int status)
{
    for (size_t i = 0; i < sizeof phrases / sizeof *phrases; i++)
        if (phrases[i].status == status)
            return phrases[i].phrase;
    return ""; /* may be empty (RFC 9112 §4) */
}

const char *fp_http_date(struct fp_http_server *s)
{
    int64_t now = fp_clock_wall_ms() / 1000;
    if (now != s->date_s) {
        time_t t = now;
        struct tm tm;
        gmtime_r(&t, &tm);
        strftime(s->date, sizeof s->date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        s->date_s = now;
    }
    return s->date;
}

struct fp_http_chunk *fp_http_bad_make(struct fp_http_server *s, int status, const char *message,
                                       struct fp_http_bad *out)
{
    *out = (struct fp_http_bad){.headers_n = 0};
    if (s->handlers.on_bad) {
        s->handlers.on_bad(status, message, out, s->handlers.arg);
    } else {
        out->headers[out->headers_n++] =
            (struct fp_http_header){FP_STR("content-type"), FP_STR("text/plain; charset=utf-8")};
        fp_buf_printf(&out->body, "%s\n", message);
    }
    FP_ASSERT(out->headers_n + 2 <= sizeof(out->headers) / sizeof(out->headers[0]));
    struct fp_http_chunk *c = fp_http_chunk_copy(fp_buf_str(&out->body));
    fp_buf_fini(&out->body);
    snprintf(out->length, sizeof out->length, "%zu", c->bytes);
    out->headers[out->headers_n++] =
        (struct fp_http_header){FP_STR("date"), fp_str_of(fp_http_date(s))};
    out->headers[out->headers_n++] =
        (struct fp_http_header){FP_STR("content-length"), fp_str_of(out->length)};
    return c;
}

/* q=0 forbids, anything else allows; "gzip" wins over "*" (RFC 9110 §12.5.3). */
static bool allows_gzip(struct fp_str accept)
{
    int gzip = -1, any = -1;
    while (accept.data) {
        struct fp_str params, item = fp_str_split(accept, ',', &accept);
        struct fp_str name = fp_str_trim(fp_str_split(item, ';', &params));
        bool refused = false;
        params = fp_str_trim(params);
        if (params.len >= 3 && (params.data[0] | 0x20) == 'q' && params.data[1] == '=') {
            refused = params.data[2] == '0';
            for (size_t i = 3; i < params.len; i++)
                refused = refused && (params.data[i] == '.' || params.data[i] == '0');
        }
        if (fp_str_case_eq(name, FP_STR("gzip")) || fp_str_case_eq(name, FP_STR("x-gzip")))
            gzip = !refused;
        else if (fp_str_eq_c(name, "*"))
            any = !refused;
    }
    return gzip >= 0 ? gzip : any > 0;
}

static struct fp_str accept_encoding(const struct fp_http_request *r)
{
    return fp_http_header(r, "accept-encoding");
}

static void add(struct fp_http_answer *a, const char *name, struct fp_str value)
{
    a->headers[a->headers_n++] = (struct fp_http_header){fp_str_of(name), value};
}

static bool breaks_line(unsigned char c)
{
    return (c < 0x20 && c != '\t') || c == 0x7f;
}

/* A field that holds a line break would become two: such bytes turn into blanks. */
static struct fp_str one_line(struct fp_arena *arena, struct fp_str v)
{
    size_t i = 0;
    while (i < v.len && !breaks_line((unsigned char)v.data[i]))
        i++;
    if (i == v.len)
        return v;
    char *out = fp_arena_dup(arena, v.data, v.len);
    for (; i < v.len; i++)
        if (breaks_line((unsigned char)out[i]))
            out[i] = ' ';
    return fp_str_n(out, v.len);
}

static void encode_body(struct fp_http_exchange *ex, const struct fp_http_response *resp,
                        struct fp_http_answer *a)
{
    const struct fp_http_limits *l = &ex->conn->server->limits;
    struct fp_buf packed = {0};
    struct fp_str body = resp->body;
    if (l->gzip && body.len >= FP_HTTP_GZIP_MIN) {
        add(a, "vary", FP_STR("accept-encoding"));
        bool wanted = allows_gzip(accept_encoding(&ex->r));
        if (wanted && !resp->gzip.data && fp_gzip(&packed, body) == 0 && packed.len < body.len)
            body = fp_buf_str(&packed);
        else if (wanted && resp->gzip.data)
            body = resp->gzip;
        if (body.data != resp->body.data)
            add(a, "content-encoding", FP_STR("gzip"));
    }
    add(a, "content-length", fp_str_of(fp_arena_printf(ex->r.arena, "%zu", body.len)));
    if (body.len && !fp_str_eq_c(ex->r.method, "HEAD"))
        a->body = resp->lasting ? fp_http_chunk_lasting(body) : fp_http_chunk_copy(body);
    fp_buf_fini(&packed);
}

bool fp_http_full(const struct fp_http_request *r, size_t body_bytes)
{
    struct fp_http_server *s = FP_CONTAINER(r, struct fp_http_exchange, r)->server;
    uint64_t now = fp_loop_now_ms(s->loop);
    size_t waiting = fp_http_copied_bytes();
    if (body_bytes <= FP_HTTP_FRAME_MAX || waiting + body_bytes <= FP_HTTP_ANSWERS_MAX)
        return false;
    if (!s->full_log_ms || now - s->full_log_ms >= 60000) {
        s->full_log_ms = now;
        fp_log_warn(s->log_target,
                    "%zu MiB of answers wait for clients that do not read; 503 until they do",
                    waiting >> 20);
    }
    return true;
}

void fp_http_respond(struct fp_http_request *r, const struct fp_http_response *resp)
{
    struct fp_http_exchange *ex = FP_CONTAINER(r, struct fp_http_exchange, r);
    struct fp_http_conn *c = ex->conn;
    if (c) {
        struct fp_http_answer a = {.status = resp->status};
        a.headers = fp_arena_alloc(r->arena, (resp->headers_n + 6) * sizeof *a.headers);
        add(&a, "date", fp_str_of(fp_http_date(c->server)));
        for (size_t i = 0; i < resp->headers_n; i++)
            a.headers[a.headers_n++] = (struct fp_http_header){
                resp->headers[i].name, one_line(r->arena, resp->headers[i].value)};
        if (resp->status != 204 && resp->status != 304)
            encode_body(ex, resp, &a);
        c->proto->respond(ex, &a);
    }
    fp_http_exchange_free(ex);
}
