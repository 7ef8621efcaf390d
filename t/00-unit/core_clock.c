/* core_clock: RFC 3339 both ways, against gmtime over the whole range. */
#include "../lib/tap.h"
#include "core/core_clock.c"

static void is_text(int64_t ms, bool with_ms, const char *want)
{
    char text[FP_CLOCK_TEXT_BYTES];
    is_str(fp_clock_rfc3339(text, ms, with_ms), want, "%lld", (long long)ms);
}

static void parsing(void)
{
    static const struct {
        const char *text;
        bool good;
        int64_t ms;
    } rows[] = {
        {"1970-01-01T00:00:00Z", true, 0},
        {"2030-11-02T09:15:00Z", true, 1919841300000},
        {"2030-11-02T11:15:00+02:00", true, 1919841300000},
        {"2030-11-02T04:45:00-04:30", true, 1919841300000},
        {"2030-11-02t09:15:00z", true, 1919841300000},
        {"2030-11-02T09:15:00.5Z", true, 1919841300500},
        {"2030-11-02T09:15:00.123456789Z", true, 1919841300123},
        {"2024-02-29T00:00:00Z", true, 1709164800000},
        {"2023-02-29T00:00:00Z", false, 0},
        {"1900-02-29T00:00:00Z", false, 0},
        {"2000-02-29T00:00:00Z", true, 951782400000},
        {"2016-12-31T23:59:60Z", true, 1483228800000},
        {"2030-13-01T00:00:00Z", false, 0},
        {"2030-00-01T00:00:00Z", false, 0},
        {"2030-01-32T00:00:00Z", false, 0},
        {"2030-01-01T24:00:00Z", false, 0},
        {"2030-01-01T00:60:00Z", false, 0},
        {"2030-01-01T00:00:00", false, 0},
        {"2030-01-01T00:00:00.Z", false, 0},
        {"2030-01-01T00:00:00+2:00", false, 0},
        {"2030-01-01T00:00:00+24:00", false, 0},
        {"2030-01-01T00:00:00Z ", false, 0},
        {"2030-1-01T00:00:00Z", false, 0},
        {"+030-01-01T00:00:00Z", false, 0},
        {"2030-01-01", false, 0},
        {"", false, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t ms = 0;
        bool good = fp_clock_parse_rfc3339(fp_str_of(rows[i].text), &ms);
        ok(good == rows[i].good && ms == rows[i].ms, "parse \"%s\"", rows[i].text);
    }
    int64_t ms;
    ok(!fp_clock_parse_rfc3339(fp_str_n("2030-01-01T\0", 12), &ms), "NUL is not a separator");
}

/* Every 10 days and 11 seconds or so from year 1 to 9999. */
static void against_gmtime(void)
{
    size_t wrong = 0, n = 0;
    for (int64_t s = -62135596800; s < 253402300800; s += 864011, n++) {
        char text[FP_CLOCK_TEXT_BYTES], want[64];
        time_t t = (time_t)s;
        struct tm tm;
        int64_t back;
        gmtime_r(&t, &tm);
        snprintf(want, sizeof(want), "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900,
                 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
        wrong += strcmp(fp_clock_rfc3339(text, s * 1000, false), want) != 0;
        wrong += !fp_clock_parse_rfc3339(fp_str_of(text), &back) || back != s * 1000;
    }
    is_int(wrong, 0, "%zu times agree with gmtime and read back", n);
}

int main(void)
{
    is_text(0, false, "1970-01-01T00:00:00Z");
    is_text(-1, true, "1969-12-31T23:59:59.999Z");
    is_text(1919841300007, true, "2030-11-02T09:15:00.007Z");
    is_text(1919841300999, false, "2030-11-02T09:15:00Z");
    is_text(INT64_MAX, true, "9999-12-31T23:59:59.999Z");
    is_text(INT64_MIN, true, "0000-01-01T00:00:00.000Z");
    parsing();
    against_gmtime();
    uint64_t a = fp_clock_mono_ns(), b = fp_clock_mono_ns();
    ok(a && b >= a, "the monotonic clock does not go back");
    ok(fp_clock_wall_ms() > 1700000000000, "the wall clock is in this century");
    return done_testing();
}
