/* core_log: line formats, filter grammar, escaping, masking, full pipes (contract §11.3). */
#include "../lib/tap.h"
#include <fcntl.h>
#include "core/core_arena.h"
#include "core/core_log.c"
#include "core/core_mem.h"

static int out[2]; /* the log writes into this pipe */

static const char *line(void)
{
    static char text[200000];
    ssize_t n = read(out[0], text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

/* The line behind its timestamp, which is checked for its form. */
static const char *rest_of(const char *text, size_t at)
{
    bool form = strlen(text) > at + 20;
    for (size_t i = 0; form && i < 20; i++) {
        char want = "dddd-dd-ddTdd:dd:ddZ"[i], c = text[at + i];
        form = want == 'd' ? c >= '0' && c <= '9' : c == want;
    }
    return form ? text + at + 20 : "(no timestamp)";
}

#define PIPE_LINE(fmt) fp_arena_printf(a, fmt, (int)getpid())

static void json_format(struct fp_arena *a)
{
    struct fp_log_field f[] = {
        FP_LOG_S("method", FP_STR("GET")),
        FP_LOG_S("path", FP_STR("/a\"b\\c\n\x1b\xff\xc2\x85\xc3\xa9")),
        FP_LOG_I("duration_ms", 12),
        {.key = "user_id", .type = FP_LOG_F_NULL},
        {.key = "tls", .type = FP_LOG_F_BOOL, .i64 = 1},
    };
    fp_log_format_set(FP_LOG_JSON);
    fp_log_write(FP_LOG_INFO, FP_LOG_API, f, 5, "API request processed");
    is_str(rest_of(line(), 14),
           PIPE_LINE(
               "\",\"level\":\"INFO\",\"target\":\"flowplane::api\",\"fields\":{\"message\":\"API "
               "request processed\",\"method\":\"GET\",\"path\":"
               "\"/a\\\"b\\\\c\\n\\u001b\\\\xff\\u0085\xc3\xa9\",\"duration_ms\":12,"
               "\"user_id\":null,\"tls\":true,\"pid\":%d}}\n"),
           "JSON line: exactly these keys, hostile bytes escaped");
    fp_log_write(FP_LOG_WARN, FP_LOG_STORE, NULL, 0, "two\nlines");
    ok(strstr(line(), "\"message\":\"two\\nlines\",\"pid\""),
       "message comes first, newline escaped");
}

static void text_format(struct fp_arena *a)
{
    struct fp_log_field f[] = {
        FP_LOG_S("path", FP_STR("/plain")),
        FP_LOG_S("empty", FP_STR("")),
        FP_LOG_S("agent", FP_STR("a \"b\"")),
        FP_LOG_S("sneaky", FP_STR("x\n2030 INFO y\x1b[31m")),
        FP_LOG_I("n", -3),
    };
    fp_log_format_set(FP_LOG_TEXT);
    fp_log_write(FP_LOG_ERROR, FP_LOG_XDS, f, 5, "say \"%s\"\r\n", "hi");
    is_str(rest_of(line(), 0),
           PIPE_LINE(
               " ERROR flowplane::xds_server: say \"hi\"\\x0d\\n path=/plain empty=\"\" agent=\"a "
               "\\\"b\\\"\" sneaky=\"x\\n2030 INFO y\\x1b[31m\" n=-3 pid=%d\n"),
           "text line: one line whatever the values hold");
    fp_log_process_set("worker 0");
    fp_log_write(FP_LOG_INFO, FP_LOG_MASTER, NULL, 0, "ready");
    is_str(rest_of(line(), 0), PIPE_LINE(" INFO flowplane::master: ready pid=%d/worker-0\n"),
           "the role stands behind the pid");
    fp_log_process_set("");
}

#define ID "fp_pat_12345678-1234-4234-8234-123456789012"
static void masking(void)
{
    struct fp_log_field f[] = {FP_LOG_S("a", FP_STR("Bearer " ID ".s3cret_-X, " ID ".y")),
                               FP_LOG_S("b", FP_STR(ID)), FP_LOG_S("c", FP_STR(ID "."))};
    fp_log_format_set(FP_LOG_TEXT);
    fp_log_write(FP_LOG_INFO, FP_LOG_API, f, 3, "got %s", ID ".topsecret");
    const char *l = line();
    ok(strstr(l, "a=\"Bearer " ID ".***, " ID ".***\"") && !strstr(l, "s3cret"),
       "§4.1: a token's secret is masked in fields");
    ok(strstr(l, "got " ID ".***") && !strstr(l, "topsecret"), "… and in messages");
    ok(strstr(l, "b=" ID " c=" ID ". "), "an id alone stays");
    struct fp_log_field odd =
        FP_LOG_S("d", FP_STR("fp_pat_1234\xff\n78-1234-4234-8234-123456789012.x"));
    fp_log_write(FP_LOG_INFO, FP_LOG_API, &odd, 1, "m");
    ok(strstr(line(), "1234\\xff\\n78"), "hostile bytes in what looks like a token are escaped");
    fp_log_write(FP_LOG_WARN, FP_LOG_AUTH, NULL, 0, "token: %s ", ID ".boot");
    ok(strstr(line(), "token: " ID ".boot "), "§4.6: the auth room prints the bootstrap token");
}

static void long_values(void)
{
    char *big = fp_mem_alloc(20000);
    memset(big, 'x', 20000);
    memcpy(big + 8191, "\xc3\xa9", 2); /* across the cut */
    struct fp_log_field f = FP_LOG_S("v", fp_str_n(big, 20000));
    fp_log_format_set(FP_LOG_JSON);
    fp_log_write(FP_LOG_INFO, FP_LOG_API, &f, 1, "m");
    const char *l = line(), *end = strstr(l, "xx…\"");
    ok(end && strlen(l) < 8500, "a long value is cut between characters and marked");
    fp_mem_free(big);
}

/* A reader that is away must not stop us: the line is dropped and counted, and what was torn by a
 * partial write does not swallow the next one. */
static void full_pipe(void)
{
    char *big = fp_mem_alloc(8000);
    memset(big, 'y', 8000);
    struct fp_log_field f = FP_LOG_S("v", fp_str_n(big, 8000));
    fp_log_format_set(FP_LOG_TEXT);
    fcntl(out[1], F_SETFL, O_NONBLOCK);
    uint64_t before = fp_log_dropped();
    for (int i = 0; i < 20; i++) /* 160 KB into 64 KB */
        fp_log_write(FP_LOG_INFO, FP_LOG_API, &f, 1, "m");
    ok(fp_log_dropped() > before, "a full pipe: %llu lines dropped, no block",
       (unsigned long long)(fp_log_dropped() - before));
    size_t got = 0;
    while (got < 60000)
        got += strlen(line());
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    while (*line())
        ;
    bool torn = sink.torn;
    fp_log_write(FP_LOG_INFO, FP_LOG_API, NULL, 0, "after");
    const char *l = line();
    ok(*l == (torn ? '\n' : '2') && strstr(l, " INFO flowplane::api: after"),
       "the next line starts on its own (torn: %d)", torn);
    fp_mem_free(big);
}

static void filter(void)
{
    static const struct {
        const char *directives, *target;
        enum fp_log_level most;
    } rows[] = {
        {"info", FP_LOG_API, FP_LOG_INFO},
        {"INFO", FP_LOG_API, FP_LOG_INFO},
        {"off", FP_LOG_API, FP_LOG_OFF},
        {"info,flowplane=debug", FP_LOG_API, FP_LOG_DEBUG},
        {"info,flowplane=debug", FP_LOG_SQL, FP_LOG_INFO},
        {"info,sqlx=debug", FP_LOG_SQL, FP_LOG_DEBUG},
        {"flowplane::xds_server=trace,flowplane=warn", FP_LOG_XDS, FP_LOG_TRACE},
        {"flowplane::xds_server=trace,flowplane=warn", FP_LOG_API, FP_LOG_WARN},
        {"flowplane::xds_server=trace", FP_LOG_API, FP_LOG_OFF},
        {"warn,flowplane::api", FP_LOG_API, FP_LOG_TRACE},
        {"warn,flowplane::ap=trace", FP_LOG_API, FP_LOG_WARN},
        {"warn,flow=trace", FP_LOG_API, FP_LOG_WARN},
        {"error,info", FP_LOG_API, FP_LOG_INFO},
        {" info , flowplane::api = error ,", FP_LOG_API, FP_LOG_ERROR},
        {"something_else=trace,info", FP_LOG_API, FP_LOG_INFO},
    };
    static const char *const bad[] = {
        "",    ",",  "=info", "info=", "a=b", "a=info=info", "a b=info", "flowplane[span]=info",
        "a/b", "a=5"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        enum fp_log_level most = FP_LOG_OFF;
        is_str(fp_log_filter_check(rows[i].directives), NULL, "\"%s\" is good", rows[i].directives);
        fp_log_filter_set(rows[i].directives);
        for (int l = FP_LOG_ERROR; l <= FP_LOG_TRACE; l++)
            most = fp_log_on((enum fp_log_level)l, rows[i].target) ? (enum fp_log_level)l : most;
        is_int(most, rows[i].most, "… for %s", rows[i].target);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ok(fp_log_filter_check(bad[i]), "\"%s\" is refused", bad[i]);
    fp_log_filter_set("warn");
    fp_log_info(FP_LOG_API, "not seen");
    fp_log_warn(FP_LOG_API, "seen");
    const char *l = line();
    ok(strstr(l, "WARN") && !strstr(l, "not seen"), "the macros ask the filter");
}

int main(void)
{
    struct fp_arena *a = fp_arena_new(NULL);
    if (pipe2(out, O_CLOEXEC))
        return 1;
    fp_log_fd_set(out[1]);
    json_format(a);
    text_format(a);
    masking();
    long_values();
    filter();
    full_pipe();
    errno = ENOENT;
    fp_log_write(FP_LOG_INFO, FP_LOG_API, NULL, 0, "x");
    is_int(errno, ENOENT, "errno survives a line");
    fp_log_fd_set(STDOUT_FILENO);
    ok(fcntl(out[1], F_GETFD) < 0, "the old descriptor is closed");
    fp_buf_fini(&sink.line);
    fp_arena_free(&a);
    return done_testing();
}
