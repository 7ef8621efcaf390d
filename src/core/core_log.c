/*
 * Log lines (contract §11.3): built in one buffer, written with one write(2).  All processes.
 * Never blocks for more than that write, never fails the caller: what a full pipe refuses is
 * counted.
 */
#include <errno.h>
#include <unistd.h>
#include "core/core_assert.h"
#include "core/core_buf.h"
#include "core/core_clock.h"
#include "core/core_log.h"

enum {
    VALUE_MAX_BYTES = 8192, /* of one message or value; the rest is cut and marked */
    ROLE_MAX_BYTES = 32,
    FIELDS_MAX = 16, /* of a line that has a scope */
};

static struct {
    enum fp_log_format format;
    int fd;
    char role[ROLE_MAX_BYTES];
    uint64_t dropped;
    bool torn; /* the last write was partial: the next one starts on a new line */
    struct fp_buf line;
    struct fp_log_scope scope;
} sink = {.fd = STDOUT_FILENO};

static const char *const level_texts[] = {"OFF", "ERROR", "WARN", "INFO", "DEBUG", "TRACE"};

void fp_log_format_set(enum fp_log_format f)
{
    sink.format = f;
}

void fp_log_fd_set(int fd)
{
    if (sink.fd > STDERR_FILENO && sink.fd != fd)
        close(sink.fd);
    sink.fd = fd;
    sink.torn = false;
}

/* Blanks become '-': "worker 0" is shown as pid=812/worker-0, one word. */
void fp_log_process_set(const char *role)
{
    size_t n = 0;
    for (; role[n] && n < ROLE_MAX_BYTES - 1; n++)
        sink.role[n] = role[n] == ' ' ? '-' : role[n];
    sink.role[n] = '\0';
}

uint64_t fp_log_dropped(void)
{
    return sink.dropped;
}

/* C0, DEL and C1 (in UTF-8: C2 80..9F) could fake lines or drive a terminal. */
static bool hostile(const char *p, size_t step)
{
    unsigned char c = (unsigned char)p[0];
    return step == 1 ? c < 0x20 || c == 0x7f : step == 2 && c == 0xc2 && (unsigned char)p[1] < 0xa0;
}

static bool secret_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

/* Length up to and with the '.' when a token with its secret starts here (contract §4.1), else 0.
 */
static size_t token_prefix(const char *p, size_t n)
{
    enum { WORD = 7, ID_END = WORD + 36 };
    if (n < ID_END + 2 || memcmp(p, "fp_pat_", WORD) != 0 || p[ID_END] != '.' ||
        !secret_char(p[ID_END + 1]))
        return 0;
    for (size_t i = WORD; i < ID_END; i++)
        if (!secret_char(p[i])) /* what is copied must be clean */
            return 0;
    return ID_END + 1;
}

enum style { JSON, QUOTED, PLAIN };

static void append_escaped(struct fp_buf *b, const char *p, size_t step, enum style style)
{
    unsigned char c = (unsigned char)p[step > 1];
    if (step == 0) /* invalid UTF-8 stays readable, in JSON as the text \xff */
        fp_buf_printf(b, style == JSON ? "\\\\x%02x" : "\\x%02x", (unsigned char)p[0]);
    else if (step == 1 && c == '\n')
        fp_buf_append_c(b, "\\n");
    else if (step == 1 && c == '\t')
        fp_buf_append_c(b, "\\t");
    else if (step == 1 && (c == '"' || c == '\\'))
        fp_buf_printf(b, "\\%c", c);
    else
        fp_buf_printf(b, style == JSON || step > 1 ? "\\u%04x" : "\\x%02x", c);
}

static size_t cut_at(struct fp_str s)
{
    size_t n = s.len;
    if (n > VALUE_MAX_BYTES) /* not in the middle of a character */
        for (n = VALUE_MAX_BYTES; n > VALUE_MAX_BYTES - 4 && (s.data[n] & 0xc0) == 0x80;)
            n--;
    return n;
}

/* Printable, on one line.  `mask`: no token secret, whoever put it there (only the auth room prints
 * one, once, contract §4.6). */
static void append_clean(struct fp_buf *b, struct fp_str s, enum style style, bool mask)
{
    size_t end = cut_at(s), i = 0, skip;
    while (i < end) {
        const char *p = s.data + i;
        if (mask && *p == 'f' && (skip = token_prefix(p, end - i)) != 0) {
            fp_buf_append(b, p, skip);
            fp_buf_append_c(b, "***");
            for (i += skip; i < end && secret_char(s.data[i]);)
                i++;
            continue;
        }
        size_t step = fp_utf8_step(p, end - i);
        if (step == 0 || hostile(p, step) || (style != PLAIN && (*p == '"' || *p == '\\')))
            append_escaped(b, p, step, style);
        else
            fp_buf_append(b, p, step);
        i += step ? step : 1;
    }
    if (end < s.len)
        fp_buf_append_c(b, "…");
}

static void append_value(struct fp_buf *b, const struct fp_log_field *f, bool quoted)
{
    switch (f->type) {
    case FP_LOG_F_STR:
        if (quoted)
            fp_buf_append_byte(b, '"');
        append_clean(b, f->str, sink.format == FP_LOG_JSON ? JSON : quoted ? QUOTED : PLAIN, true);
        if (quoted)
            fp_buf_append_byte(b, '"');
        return;
    case FP_LOG_F_I64:
        fp_buf_printf(b, "%lld", (long long)f->i64);
        return;
    case FP_LOG_F_BOOL:
        fp_buf_append_c(b, f->i64 ? "true" : "false");
        return;
    case FP_LOG_F_NULL:
        fp_buf_append_c(b, "null");
        return;
    }
}

/* A text value is quoted when it would not read back as one word. */
static bool needs_quotes(struct fp_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.data[i] <= ' ' || strchr("\"\\=", s.data[i]))
            return true;
    return s.len == 0;
}

static void build_json(struct fp_buf *b, const char *level, const char *target, struct fp_str msg,
                       const struct fp_log_field *fields, size_t n)
{
    fp_buf_printf(b, "\",\"level\":\"%s\",\"target\":\"%s\",\"fields\":{\"message\":\"", level,
                  target);
    append_clean(b, msg, JSON, strcmp(target, FP_LOG_AUTH) != 0);
    fp_buf_append_byte(b, '"');
    for (size_t i = 0; i < n; i++) {
        fp_buf_printf(b, ",\"%s\":", fields[i].key);
        append_value(b, &fields[i], true);
    }
    fp_buf_printf(b, ",\"pid\":%d}}\n", (int)getpid());
}

static void build_text(struct fp_buf *b, const char *level, const char *target, struct fp_str msg,
                       const struct fp_log_field *fields, size_t n)
{
    fp_buf_printf(b, " %s %s: ", level, target);
    append_clean(b, msg, PLAIN, strcmp(target, FP_LOG_AUTH) != 0);
    for (size_t i = 0; i < n; i++) {
        fp_buf_printf(b, " %s=", fields[i].key);
        append_value(b, &fields[i], needs_quotes(fields[i].str));
    }
    fp_buf_printf(b, " pid=%d%s%s\n", (int)getpid(), sink.role[0] ? "/" : "", sink.role);
}

struct fp_log_scope fp_log_scope(void)
{
    return sink.scope;
}

struct fp_log_scope fp_log_scope_set(struct fp_log_scope s)
{
    struct fp_log_scope before = sink.scope;
    sink.scope = s;
    return before;
}

static size_t add_scope(struct fp_log_field *out, size_t n, const char *key, struct fp_str value)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(out[i].key, key) == 0)
            return n;
    if (value.data)
        out[n++] = FP_LOG_S(key, value);
    return n;
}

/* The line's own fields, then those of the scope that it lacks. */
static size_t with_scope(struct fp_log_field out[FIELDS_MAX], const struct fp_log_field *fields,
                         size_t n)
{
    FP_ASSERT(n <= FIELDS_MAX - 2);
    if (n)
        memcpy(out, fields, n * sizeof(*out));
    n = add_scope(out, n, "request_id", sink.scope.request_id);
    return add_scope(out, n, "trace_id", sink.scope.trace_id);
}

static void emit(const struct fp_buf *b)
{
    ssize_t n;
    do
        n = write(sink.fd, b->data, b->len);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)b->len)
        sink.dropped++;
    sink.torn = n > 0 ? n < (ssize_t)b->len : sink.torn;
}

void fp_log_write(enum fp_log_level level, const char *target, const struct fp_log_field *fields,
                  size_t n, const char *fmt, ...)
{
    char time[FP_CLOCK_TEXT_BYTES];
    struct fp_buf *b = &sink.line, message = {0};
    int saved = errno; /* callers format errno after they log */
    struct fp_log_field all[FIELDS_MAX];
    va_list ap;
    va_start(ap, fmt);
    fp_buf_vprintf(&message, fmt, ap);
    va_end(ap);
    n = with_scope(all, fields, n);
    fp_buf_clear(b);
    if (sink.torn)
        fp_buf_append_byte(b, '\n');
    if (sink.format == FP_LOG_JSON)
        fp_buf_append_c(b, "{\"timestamp\":\"");
    fp_buf_append_c(b, fp_clock_rfc3339(time, fp_clock_wall_ms(), false));
    (sink.format == FP_LOG_JSON ? build_json : build_text)(b, level_texts[level], target,
                                                           fp_buf_str(&message), all, n);
    emit(b);
    fp_buf_fini(&message);
    errno = saved;
}
