/* Duration and Timestamp as text. */
#include "tap.h"
#include "../../src/pb/pb_text.c"

static const char *duration(const char *s)
{
    static char out[FP_PB_TEXT_BYTES];
    int64_t seconds;
    int32_t nanos;
    int err = fp_pb_duration_parse(fp_str_of(s), &seconds, &nanos);
    if (err)
        return err == FP_ERR_LIMIT ? "limit" : "invalid";
    return fp_pb_duration_format(out, seconds, nanos) ? out : "unprintable";
}

static const char *timestamp(const char *s)
{
    static char out[FP_PB_TEXT_BYTES];
    int64_t seconds;
    int32_t nanos;
    int err = fp_pb_timestamp_parse(fp_str_of(s), &seconds, &nanos);
    if (err)
        return err == FP_ERR_LIMIT ? "limit" : "invalid";
    return fp_pb_timestamp_format(out, seconds, nanos) ? out : "unprintable";
}

int main(void)
{
    static const char *const durations[][2] = {
        {"0s", "0s"},
        {"1.5s", "1.500s"},
        {"-0.000000001s", "-0.000000001s"},
        {"-1.25s", "-1.250s"},
        {"3.000100s", "3.000100s"},
        {"315576000000s", "315576000000s"},
        {"315576000000.1s", "limit"},
        {"-315576000001s", "limit"},
        {"99999999999999999999s", "invalid"},
        {"1.s", "invalid"},
        {".5s", "invalid"},
        {"1.0000000001s", "invalid"},
        {"+1s", "invalid"},
        {"1 s", "invalid"},
        {"1", "invalid"},
        {"1S", "invalid"},
        {"1ss", "invalid"},
        {"", "invalid"},
        {"-s", "invalid"},
        {"1e3s", "invalid"},
    };
    static const char *const timestamps[][2] = {
        {"1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"},
        {"2000-02-29T12:34:56.789Z", "2000-02-29T12:34:56.789Z"},
        {"2024-02-29T23:59:59.000000001Z", "2024-02-29T23:59:59.000000001Z"},
        {"1900-02-29T00:00:00Z", "invalid"},
        {"1969-12-31T23:59:59.5+01:00", "1969-12-31T22:59:59.500Z"},
        {"1970-01-01T00:00:00-23:59", "1970-01-01T23:59:00Z"},
        {"0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"},
        {"0001-01-01T00:00:00+00:01", "limit"},
        {"9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999999Z"},
        {"9999-12-31T23:59:59-00:01", "limit"},
        {"2030-11-02T24:00:00Z", "invalid"},
        {"2030-11-02T09:60:00Z", "invalid"},
        {"2030-11-02T09:15:60Z", "invalid"},
        {"2030-00-02T09:15:00Z", "invalid"},
        {"2030-11-31T09:15:00Z", "invalid"},
        {"2030-11-02t09:15:00Z", "invalid"},
        {"2030-11-02T09:15:00", "invalid"},
        {"2030-11-02T09:15:00.Z", "invalid"},
        {"2030-11-02T09:15:00Zx", "invalid"},
        {"2030-11-02T09:15:00+0100", "invalid"},
        {"30-11-02T09:15:00.000Z", "invalid"},
    };
    char out[FP_PB_TEXT_BYTES];
    for (size_t i = 0; i < sizeof durations / sizeof *durations; i++)
        is_str(duration(durations[i][0]), durations[i][1], "\"%s\"", durations[i][0]);
    for (size_t i = 0; i < sizeof timestamps / sizeof *timestamps; i++)
        is_str(timestamp(timestamps[i][0]), timestamps[i][1], "\"%s\"", timestamps[i][0]);
    ok(!fp_pb_duration_format(out, 1, -1), "signs that differ");
    ok(!fp_pb_duration_format(out, INT64_MIN, 0), "INT64_MIN seconds");
    ok(!fp_pb_duration_format(out, 0, INT32_MIN), "INT32_MIN nanos");
    ok(!fp_pb_timestamp_format(out, INT64_MAX, 0), "INT64_MAX seconds");
    ok(!fp_pb_timestamp_format(out, 0, -1), "nanos below 0");
    int wrong = 0;
    for (int64_t day = -719162; day <= 2932896; day += 13) { /* the years 1 to 9999 */
        int64_t seconds;
        int32_t nanos;
        wrong += !fp_pb_timestamp_format(out, day * 86400, 0) ||
                 fp_pb_timestamp_parse(fp_str_of(out), &seconds, &nanos) != 0 ||
                 seconds != day * 86400;
    }
    is_int(wrong, 0, "every 13th day of 9,999 years comes back as itself");
    return done_testing();
}
