/*
 * HTTP/1.x request parser (http1_parse.h).  Runs in workers on bytes of strangers: it never
 * allocates, never reads behind `n`, never guesses what a sender may have meant.
 */
#include "http/http1_parse.h"

enum { C_TOKEN = 1, C_VALUE = 2, C_TARGET = 4, C_HOST = 8 };

/* RFC 9110 tchar; field-vchar, SP, HTAB and obs-text; visible ASCII; what a Host may hold. */
static uint8_t classes[256];

static void init_classes(void)
{
    if (classes['a'])
        return;
    for (int c = 0; c < 256; c++) {
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool visible = c > 0x20 && c < 0x7f;
        if (alnum || (c && c < 0x80 && strchr("!#$%&'*+-.^_`|~", c)))
            classes[c] |= C_TOKEN;
        if (visible || c == ' ' || c == '\t' || c >= 0x80)
            classes[c] |= C_VALUE;
        if (visible && c != '#')
            classes[c] |= C_TARGET;
        if (alnum || (c && c < 0x80 && strchr("-._~%!$&'()*+,;=:[]", c)))
            classes[c] |= C_HOST;
    }
}

static bool is(int c, int class)
{
    return classes[(unsigned char)c] & class;
}

enum {
    S_START,
    S_START_LF, /* one empty line before the request line is forgiven (RFC 9112 §2.2) */
    S_METHOD,
    S_TARGET,
    S_VERSION,
    S_LINE_LF,
    S_FIELD, /* at the start of a field line */
    S_NAME,
    S_VALUE_OWS,
    S_VALUE,
    S_VALUE_LF,
    S_END_LF,
    S_DONE,
    S_BAD,
};

void fp_http1_head_init(struct fp_http1_head *h)
{
    init_classes();
    /* the offset tables are written before they are read: no need to clear them */
    memset(h, 0, offsetof(struct fp_http1_head, name));
    h->chunked = h->has_length = h->keep_alive = h->close = h->expect_continue = false;
    h->length = 0;
    h->host = -1;
    h->error = NULL;
}

static int refuse(struct fp_http1_head *h, int status, const char *why)
{
    h->state = S_BAD;
    h->error = why;
    return status;
}

static struct fp_str span(const char *data, struct fp_http1_span s)
{
    return fp_str_n(data + s.at, s.n);
}

/* "HTTP/1.1" between mark and pos */
static int take_version(struct fp_http1_head *h, const char *data)
{
    struct fp_str v = fp_str_n(data + h->mark, h->pos - h->mark);
    if (v.len != 8 || memcmp(v.data, "HTTP/", 5) != 0 || v.data[6] != '.' || v.data[5] < '0' ||
        v.data[5] > '9' || v.data[7] < '0' || v.data[7] > '9')
        return refuse(h, 400, "malformed HTTP version");
    if (v.data[5] != '1' || v.data[7] > '1')
        return refuse(h, 505, "HTTP version not supported");
    h->version = v.data[7] == '0' ? 10 : 11;
    return 0;
}

static int take_target(struct fp_http1_head *h, const char *data)
{
    struct fp_str t = span(data, h->target), m = span(data, h->method);
    bool ok = t.data[0] == '/' || (fp_str_eq_c(t, "*") && fp_str_eq_c(m, "OPTIONS")) ||
              fp_str_starts(t, FP_STR("http://")) || fp_str_starts(t, FP_STR("https://"));
    return ok ? 0 : refuse(h, 400, "malformed request target");
}

static void take_value(struct fp_http1_head *h, const char *data)
{
    uint32_t end = h->pos;
    while (end > h->mark && (data[end - 1] == ' ' || data[end - 1] == '\t'))
        end--;
    h->value[h->fields_n].at = h->mark;
    h->value[h->fields_n++].n = end - h->mark;
}

/* Each token of a comma-separated Connection value. */
static void take_connection(struct fp_http1_head *h, struct fp_str value)
{
    while (value.data) {
        struct fp_str rest, token = fp_str_trim(fp_str_split(value, ',', &rest));
        if (fp_str_case_eq(token, FP_STR("close")))
            h->close = true;
        else if (fp_str_case_eq(token, FP_STR("keep-alive")))
            h->keep_alive = true;
        value = rest;
    }
}

static int take_length(struct fp_http1_head *h, struct fp_str value)
{
    if (h->has_length)
        return refuse(h, 400, "more than one Content-Length");
    if (!value.len || value.len > FP_HTTP1_CONTENT_LENGTH_DIGITS ||
        !fp_str_to_u64(value, &h->length))
        return refuse(h, 400, "malformed Content-Length");
    h->has_length = true;
    return 0;
}

static int take_host(struct fp_http1_head *h, struct fp_str value, uint32_t index)
{
    if (h->host >= 0)
        return refuse(h, 400, "more than one Host");
    for (size_t i = 0; i < value.len; i++)
        if (!is(value.data[i], C_HOST))
            return refuse(h, 400, "malformed Host");
    h->host = (int)index;
    return 0;
}

static int take_field(struct fp_http1_head *h, struct fp_str name, struct fp_str value, uint32_t i)
{
    if (fp_str_eq_c(name, "host"))
        return take_host(h, value, i);
    if (fp_str_eq_c(name, "content-length"))
        return take_length(h, value);
    if (fp_str_eq_c(name, "transfer-encoding")) {
        if (h->chunked || !fp_str_case_eq(value, FP_STR("chunked")))
            return refuse(h, 400, "Transfer-Encoding must be chunked");
        h->chunked = true;
        return 0;
    }
    if (fp_str_eq_c(name, "connection"))
        take_connection(h, value);
    if (fp_str_eq_c(name, "expect")) {
        if (!fp_str_case_eq(value, FP_STR("100-continue")))
            return refuse(h, 417, "expectation not supported");
        h->expect_continue = h->version > 10;
    }
    return 0;
}

/* The head is complete: what do its fields say together? */
static int finish(struct fp_http1_head *h, const char *data)
{
    int rc;
    h->keep_alive = h->version > 10;
    for (uint32_t i = 0; i < h->fields_n; i++)
        if ((rc = take_field(h, span(data, h->name[i]), span(data, h->value[i]), i)))
            return rc;
    if (h->chunked && h->has_length)
        return refuse(h, 400, "Transfer-Encoding together with Content-Length");
    if (h->chunked && h->version < 11)
        return refuse(h, 400, "Transfer-Encoding in HTTP/1.0");
    if (h->host < 0 && h->version > 10)
        return refuse(h, 400, "missing Host");
    h->keep_alive = h->keep_alive && !h->close;
    h->state = S_DONE;
    return FP_HTTP1_DONE;
}

static int step_line(struct fp_http1_head *h, char *data, char c)
{
    switch (h->state) {
    case S_START:
        if (c == '\r' && h->pos == 0) {
            h->state = S_START_LF;
            return 0;
        }
        h->mark = h->pos;
        h->state = S_METHOD;
        /* fall through */
    case S_METHOD:
        if (c == ' ' && h->pos > h->mark) {
            h->method = (struct fp_http1_span){h->mark, h->pos - h->mark};
            h->mark = h->pos + 1;
            h->state = S_TARGET;
            return 0;
        }
        if (!is(c, C_TOKEN) || h->pos - h->mark >= FP_HTTP1_METHOD_MAX)
            return refuse(h, 400, "malformed method");
        return 0;
    case S_START_LF:
        h->state = S_START;
        return c == '\n' ? 0 : refuse(h, 400, "bare CR");
    case S_TARGET:
        if (c == ' ' && h->pos > h->mark) {
            h->target = (struct fp_http1_span){h->mark, h->pos - h->mark};
            h->mark = h->pos + 1;
            h->state = S_VERSION;
            return take_target(h, data);
        }
        return is(c, C_TARGET) ? 0 : refuse(h, 400, "malformed request target");
    case S_VERSION:
        if (c == '\r') {
            h->state = S_LINE_LF;
            return take_version(h, data);
        }
        return h->pos - h->mark < 8 ? 0 : refuse(h, 400, "malformed HTTP version");
    default: /* S_LINE_LF */
        h->state = S_FIELD;
        h->fields_at = h->pos + 1;
        return c == '\n' ? 0 : refuse(h, 400, "bare CR");
    }
}

static int step_field(struct fp_http1_head *h, char *data, char c, const struct fp_http1_limits *l)
{
    switch (h->state) {
    case S_FIELD:
        if (c == '\r') {
            h->state = S_END_LF;
            return 0;
        }
        if (c == ' ' || c == '\t')
            return refuse(h, 400, "folded header field");
        h->mark = h->pos;
        h->state = S_NAME;
        /* fall through */
    case S_NAME:
        if (c == ':' && h->pos > h->mark) {
            if (h->fields_n >= l->fields_n || h->fields_n >= FP_HTTP1_HEADERS_MAX)
                return refuse(h, 431, "too many header fields");
            h->name[h->fields_n] = (struct fp_http1_span){h->mark, h->pos - h->mark};
            h->state = S_VALUE_OWS;
            return 0;
        }
        if (!is(c, C_TOKEN))
            return refuse(h, 400, "malformed header field name");
        if (c >= 'A' && c <= 'Z')
            data[h->pos] = (char)(c | 0x20);
        return 0;
    case S_VALUE_OWS:
        if (c == ' ' || c == '\t')
            return 0;
        h->mark = h->pos;
        h->state = S_VALUE;
        /* fall through */
    case S_VALUE:
        if (c == '\r') {
            h->state = S_VALUE_LF;
            take_value(h, data);
            return 0;
        }
        return is(c, C_VALUE) ? 0 : refuse(h, 400, "control character in a header field");
    case S_VALUE_LF:
        h->state = S_FIELD;
        return c == '\n' ? 0 : refuse(h, 400, "bare CR");
    default: /* S_END_LF */
        if (c != '\n')
            return refuse(h, 400, "bare CR");
        return finish(h, data);
    }
}

int fp_http1_head_parse(struct fp_http1_head *h, char *data, size_t n,
                        const struct fp_http1_limits *limits)
{
    while (h->pos < n) {
        bool in_line = h->state < S_FIELD;
        int rc =
            in_line ? step_line(h, data, data[h->pos]) : step_field(h, data, data[h->pos], limits);
        if (rc >= 400)
            return rc;
        h->pos++;
        if (in_line && h->pos > limits->line_bytes)
            return refuse(h, 414, "request line too long");
        if (!in_line && h->pos - h->fields_at > limits->fields_bytes)
            return refuse(h, 431, "header fields too large");
        if (rc == FP_HTTP1_DONE)
            return rc;
    }
    return FP_HTTP1_MORE;
}

/* ---- body ---- */

enum {
    B_PLAIN,
    B_SIZE,
    B_EXT, /* behind the ';' */
    B_EXT_NAME,
    B_EXT_EQUALS, /* behind the '=' */
    B_EXT_VALUE,
    B_EXT_QUOTED,
    B_EXT_ESCAPED,
    B_EXT_END, /* behind a quoted value */
    B_SIZE_LF,
    B_DATA,
    B_DATA_CR,
    B_DATA_LF,
    B_TRAILER, /* at the start of a trailer line */
    B_TRAILER_FIELD,
    B_TRAILER_LF,
    B_END_LF,
    B_DONE,
    B_BAD,
};

void fp_http1_body_init(struct fp_http1_body *b, bool chunked, uint64_t length)
{
    init_classes();
    memset(b, 0, sizeof *b);
    b->state = chunked ? B_SIZE : length ? B_PLAIN : B_DONE;
    b->left = chunked ? 0 : length;
}

static void spoil(struct fp_http1_body *b, const char *why)
{
    b->state = B_BAD;
    b->error = why;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* *( ";" token [ "=" ( token / quoted-string ) ] ) of RFC 9112 §7.1.1, without blanks. */
static void step_ext(struct fp_http1_body *b, char c)
{
    bool token = is(c, C_TOKEN), in_quotes = b->state == B_EXT_QUOTED || b->state == B_EXT_ESCAPED;
    bool may_end = b->state == B_EXT_NAME || b->state == B_EXT_VALUE || b->state == B_EXT_END;
    if (++b->extra_n > FP_HTTP1_CHUNK_EXTRA_MAX)
        spoil(b, "chunk extension too long");
    else if (in_quotes && (!is(c, C_VALUE) || (unsigned char)c >= 0x80))
        spoil(b, "malformed chunk extension");
    else if (in_quotes)
        b->state = b->state == B_EXT_ESCAPED ? B_EXT_QUOTED
                   : c == '\\'               ? B_EXT_ESCAPED
                   : c == '"'                ? B_EXT_END
                                             : B_EXT_QUOTED;
    else if (may_end && c == '\r')
        b->state = B_SIZE_LF;
    else if (may_end && c == ';')
        b->state = B_EXT;
    else if (b->state == B_EXT_NAME && c == '=')
        b->state = B_EXT_EQUALS;
    else if (b->state == B_EXT_EQUALS && c == '"')
        b->state = B_EXT_QUOTED;
    else if (!token || b->state == B_EXT_END)
        spoil(b, "malformed chunk extension");
    else
        b->state = b->state == B_EXT || b->state == B_EXT_NAME ? B_EXT_NAME : B_EXT_VALUE;
}

static void step_size(struct fp_http1_body *b, char c)
{
    int v = hex(c);
    if (v >= 0) {
        if (++b->digits_n > 15) /* stays below 2^60: no overflow */
            spoil(b, "chunk size too large");
        b->left = b->left << 4 | (unsigned)(v < 0 ? 0 : v);
    } else if (!b->digits_n || (c != '\r' && c != ';')) {
        spoil(b, "malformed chunk size");
    } else {
        b->state = c == '\r' ? B_SIZE_LF : B_EXT;
    }
}

/* Fields that frame a message have no place behind it (RFC 9110 §6.5.1). */
static bool frames(const struct fp_http1_body *b)
{
    struct fp_str name = fp_str_n(b->name, b->name_n);
    return fp_str_case_eq(name, FP_STR("transfer-encoding")) ||
           fp_str_case_eq(name, FP_STR("content-length")) || fp_str_case_eq(name, FP_STR("host"));
}

static void keep_name(struct fp_http1_body *b, char c)
{
    if (b->name_n < sizeof b->name)
        b->name[b->name_n++] = c;
}

static void step_trailer(struct fp_http1_body *b, char c)
{
    if (++b->extra_n > FP_HTTP1_TRAILERS_MAX)
        spoil(b, "trailers too large");
    else if (b->state == B_TRAILER_LF)
        c == '\n' ? (void)(b->state = B_TRAILER) : spoil(b, "bare CR in trailers");
    else if (b->state == B_TRAILER && c == '\r')
        b->state = B_END_LF;
    else if (b->state == B_TRAILER && !is(c, C_TOKEN))
        spoil(b, "malformed trailer");
    else if (b->state == B_TRAILER)
        b->state = B_TRAILER_FIELD, b->field_named = false, b->name[0] = c, b->name_n = 1;
    else if (c == '\r' && b->field_named)
        b->state = B_TRAILER_LF;
    else if (c == ':' && !b->field_named && frames(b))
        spoil(b, "malformed trailer");
    else if (c == ':')
        b->field_named = true;
    else if (!is(c, b->field_named ? C_VALUE : C_TOKEN))
        spoil(b, "malformed trailer");
    else if (!b->field_named)
        keep_name(b, c);
}

static void step_chunk(struct fp_http1_body *b, char c)
{
    switch (b->state) {
    case B_SIZE:
        step_size(b, c);
        return;
    case B_EXT:
    case B_EXT_NAME:
    case B_EXT_EQUALS:
    case B_EXT_VALUE:
    case B_EXT_QUOTED:
    case B_EXT_ESCAPED:
    case B_EXT_END:
        step_ext(b, c);
        return;
    case B_SIZE_LF:
        if (c != '\n') {
            spoil(b, "bare CR in chunk size");
            return;
        }
        b->state = b->left ? B_DATA : B_TRAILER;
        b->digits_n = b->extra_n = 0;
        return;
    case B_DATA_CR:
        c == '\r' ? (void)(b->state = B_DATA_LF) : spoil(b, "chunk longer than its size");
        return;
    case B_DATA_LF:
        c == '\n' ? (void)(b->state = B_SIZE) : spoil(b, "chunk longer than its size");
        return;
    case B_END_LF:
        c == '\n' ? (void)(b->state = B_DONE) : spoil(b, "bare CR in trailers");
        return;
    default:
        step_trailer(b, c);
    }
}

int fp_http1_body_feed(struct fp_http1_body *b, struct fp_str *in, struct fp_str *out)
{
    for (;;) {
        if (b->state == B_DONE)
            return FP_HTTP1_BODY_DONE;
        if (b->state == B_BAD)
            return FP_HTTP1_BODY_BAD;
        if (!in->len)
            return FP_HTTP1_BODY_MORE;
        if (b->state == B_PLAIN || b->state == B_DATA) {
            size_t n = b->left < in->len ? (size_t)b->left : in->len;
            *out = fp_str_n(in->data, n);
            *in = fp_str_n(in->data + n, in->len - n);
            b->left -= n;
            if (!b->left)
                b->state = b->state == B_PLAIN ? B_DONE : B_DATA_CR;
            return FP_HTTP1_BODY_DATA;
        }
        step_chunk(b, in->data[0]);
        *in = fp_str_n(in->data + 1, in->len - 1);
    }
}
