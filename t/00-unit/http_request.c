/* What handlers ask of a request: targets, queries, percent-encoding, and who may have gzip. */
#include "../../src/http/http_request.c"
#include "tap.h"

static struct fp_http_exchange *exchange(const char *target)
{
    static struct fp_http_server server;
    static struct fp_http_conn conn = {.server = &server};
    struct fp_http_exchange *ex = fp_http_exchange_new(&conn, 11);
    ex->r.authority = FP_STR("host-field");
    fp_http_exchange_target(ex, fp_str_of(target));
    return ex;
}

static void target(const char *text, const char *authority, const char *path, const char *query)
{
    struct fp_http_exchange *ex = exchange(text);
    ok(fp_str_eq_c(ex->r.authority, authority) && fp_str_eq_c(ex->r.path, path) &&
           fp_str_eq(ex->r.query, fp_str_of(query)) && !ex->r.query.data == !query,
       "target %s", text);
    fp_http_exchange_free(ex);
}

static void query(const char *text, const char *name, const char *want)
{
    struct fp_http_exchange *ex = exchange(text);
    struct fp_str got = fp_http_query(&ex->r, name);
    ok(fp_str_eq(got, fp_str_of(want)) && !got.data == !want, "%s: %s = %s", text, name,
       want ? want : "(absent)");
    fp_http_exchange_free(ex);
}

static void decode(const char *text, bool plus, const char *want)
{
    struct fp_arena *a = fp_arena_new(NULL);
    struct fp_str got = fp_http_decode(a, fp_str_of(text), plus);
    ok(fp_str_eq(got, fp_str_of(want)) && !got.data == !want, "decode %s: %s", text,
       want ? want : "(malformed)");
    fp_arena_free(&a);
}

int main(void)
{
    target("/", "host-field", "/", NULL);
    target("/a%2Fb?", "host-field", "/a%2Fb", "");
    target("/a?b?c", "host-field", "/a", "b?c");
    target("*", "host-field", "*", NULL);
    target("http://h", "h", "/", NULL);
    target("http://h?q", "h", "/", "q");
    target("https://h:1/p?q", "h:1", "/p", "q");

    query("/p?a=1&b=2", "b", "2");
    query("/p?a=1&a=2", "a", "1");
    query("/p?a", "a", "");
    query("/p?a=", "a", "");
    query("/p?%61=%62+c%2b", "a", "b c+");
    query("/p?a=%zz", "a", NULL);
    query("/p?%zz=1&a=1", "a", "1");
    query("/p?&&=&a=b=c", "a", "b=c");
    query("/p", "a", NULL);
    query("/p?ab=1", "a", NULL);

    decode("a%20b+c", false, "a b+c");
    decode("a%20b+c", true, "a b c");
    decode("%", false, NULL);
    decode("%4", false, NULL);
    decode("%41", false, "A");
    decode("a%4", false, NULL);
    decode("%4g", false, NULL);
    decode("%2525", false, "%25");
    decode("", false, "");
    struct fp_arena *a = fp_arena_new(NULL);
    struct fp_str nul = fp_http_decode(a, FP_STR("a%00b"), false);
    ok(nul.len == 3 && nul.data[1] == 0, "an encoded NUL stays visible to whoever checks");
    fp_arena_free(&a);

    const struct fp_http_header h[] = {
        {FP_STR("a"), FP_STR("1")}, {FP_STR("b"), FP_STR("2")}, {FP_STR("a"), FP_STR("3")}};
    struct fp_http_request r = {.headers = h, .headers_n = 3};
    ok(fp_str_eq_c(fp_http_header(&r, "a"), "1"), "the first field of a name");
    is_int((int)fp_http_header_count(&r, "a"), 2, "counted");
    ok(!fp_http_header(&r, "c").data, "absent");
    return done_testing();
}
