/* Accept-Encoding, response splitting, the date. */
#include "../../src/http/http_response.c"
#include "tap.h"

static void gzip(const char *accept, bool want)
{
    is_int(allows_gzip(fp_str_of(accept)), want, "accept-encoding %s",
           accept ? accept : "(absent)");
}

int main(void)
{
    gzip(NULL, false);
    gzip("", false);
    gzip("gzip", true);
    gzip("GZIP", true);
    gzip("x-gzip", true);
    gzip("br, gzip;q=0.1", true);
    gzip("gzip;q=0", false);
    gzip("gzip; q=0.00", false);
    gzip("gzip;q=0.001", true);
    gzip("*", true);
    gzip("*;q=0", false);
    gzip("gzip;q=0, *", false);
    gzip("*;q=0, gzip", true);
    gzip("gzipped", false);
    gzip("identity, deflate", false);
    gzip("gzip;level=9", true);

    struct fp_arena *a = fp_arena_new(NULL);
    struct fp_str v = one_line(a, FP_STR("a\r\nSet-Cookie: b\x7f\t\xc3\xbc"));
    ok(fp_str_eq(v, FP_STR("a  Set-Cookie: b \t\xc3\xbc")), "a value stays one line");
    v = FP_STR("plain");
    ok(one_line(a, v).data == v.data, "and is not copied without need");
    fp_arena_free(&a);

    static struct fp_http_server s;
    const char *date = fp_http_date(&s);
    ok(strlen(date) == 29 && !strcmp(date + 25, " GMT"), "date: %s", date);
    is_str(fp_http_reason_phrase(201), "Created", "a phrase");
    is_str(fp_http_reason_phrase(299), "", "a status without one");
    return done_testing();
}
