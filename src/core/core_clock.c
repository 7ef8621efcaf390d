/* Clocks and RFC 3339.  Own calendar arithmetic: no time zone file, no locale, no static state. */
#include <stdio.h>
#include <time.h>
#include "core/core_clock.h"

enum { MS = 1000, DAY_S = 86400 };

static struct timespec now(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t); /* cannot fail for these two ids */
    return t;
}

uint64_t fp_clock_mono_ns(void)
{
    struct timespec t = now(CLOCK_MONOTONIC);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t fp_clock_mono_ms(void)
{
    return fp_clock_mono_ns() / 1000000u;
}

int64_t fp_clock_wall_ms(void)
{
    struct timespec t = now(CLOCK_REALTIME);
    return (int64_t)t.tv_sec * MS + t.tv_nsec / 1000000;
}

/*
 * Days since 1970-01-01 in the proleptic Gregorian calendar.  Years start in March here, so that
 * the leap day is the last one and the months before it have a closed form.
 */
static int64_t days_of(int64_t y, int m, int d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year = y - era * 400, month = (m + 9) % 12;
    return era * 146097 + year * 365 + year / 4 - year / 100 + (153 * month + 2) / 5 + d - 1 -
           719468;
}

static void date_of(int64_t days, int *y, int *m, int *d)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day = days - era * 146097;
    int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    int64_t rest = day - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * rest + 2) / 153;
    *d = (int)(rest - (153 * month + 2) / 5 + 1);
    *m = (int)(month < 10 ? month + 3 : month - 9);
    *y = (int)(year + era * 400 + (*m <= 2));
}

#define MIN_MS (-62167219200000) /* 0000-01-01T00:00:00Z */
#define MAX_MS 253402300799999   /* 9999-12-31T23:59:59.999Z */

char *fp_clock_rfc3339(char out[FP_CLOCK_TEXT_BYTES], int64_t ms, bool with_ms)
{
    int y, m, d;
    ms = ms < MIN_MS ? MIN_MS : ms > MAX_MS ? MAX_MS : ms; /* beyond it there is no such text */
    int64_t days = (ms - MIN_MS) / (DAY_S * (int64_t)MS) + MIN_MS / (DAY_S * (int64_t)MS);
    int in_day = (int)((ms - MIN_MS) % (DAY_S * (int64_t)MS));
    int s = in_day / MS;
    date_of(days, &y, &m, &d);
    int n = snprintf(out, FP_CLOCK_TEXT_BYTES, "%04d-%02d-%02dT%02d:%02d:%02d", y, m, d, s / 3600,
                     s / 60 % 60, s % 60);
    snprintf(out + n, FP_CLOCK_TEXT_BYTES - (size_t)n, with_ms ? ".%03dZ" : "Z", in_day % MS);
    return out;
}

/* `width` digits at s[*at]; -1 when they are not there. */
static int digits(struct fp_str s, size_t *at, size_t width)
{
    int v = 0;
    if (s.len - *at < width)
        return -1;
    for (size_t end = *at + width; *at < end; ++*at) {
        if (s.data[*at] < '0' || s.data[*at] > '9')
            return -1;
        v = v * 10 + (s.data[*at] - '0');
    }
    return v;
}

static bool one_of(struct fp_str s, size_t *at, const char *set)
{
    if (*at >= s.len || !s.data[*at] || !strchr(set, s.data[*at]))
        return false;
    ++*at;
    return true;
}

static int month_days(int y, int m)
{
    static const int n[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    return n[m - 1] + (m == 2 && leap);
}

/* ".123456": any number of digits, the first three count.  Absent is 0, ill-formed is -1. */
static int fraction_ms(struct fp_str s, size_t *at)
{
    if (!one_of(s, at, "."))
        return 0;
    int ms = 0, unit = 100;
    size_t from = *at;
    for (; *at < s.len && s.data[*at] >= '0' && s.data[*at] <= '9'; ++*at, unit /= 10)
        ms += (s.data[*at] - '0') * unit;
    return *at == from ? -1 : ms;
}

/* "Z" or "+hh:mm"; seconds east of UTC. */
static bool offset_s(struct fp_str s, size_t *at, int *out)
{
    *out = 0;
    if (one_of(s, at, "Zz"))
        return true;
    bool west = *at < s.len && s.data[*at] == '-';
    if (!one_of(s, at, "+-"))
        return false;
    int h = digits(s, at, 2);
    if (h < 0 || h > 23 || !one_of(s, at, ":"))
        return false;
    int m = digits(s, at, 2);
    if (m < 0 || m > 59)
        return false;
    *out = (h * 3600 + m * 60) * (west ? -1 : 1);
    return true;
}

bool fp_clock_parse_rfc3339(struct fp_str s, int64_t *wall_ms)
{
    static const struct {
        size_t width;
        int min, max;
        const char *after; /* separator that must follow, NULL: none */
    } parts[] = {{4, 0, 9999, "-"}, {2, 1, 12, "-"}, {2, 1, 31, "Tt "},
                 {2, 0, 23, ":"},   {2, 0, 59, ":"}, {2, 0, 60, NULL}};
    int v[6], off;
    size_t at = 0;
    for (size_t i = 0; i < 6; i++) {
        v[i] = digits(s, &at, parts[i].width);
        if (v[i] < parts[i].min || v[i] > parts[i].max ||
            (parts[i].after && !one_of(s, &at, parts[i].after)))
            return false;
    }
    int ms = fraction_ms(s, &at);
    if (ms < 0 || v[2] > month_days(v[0], v[1]) || !offset_s(s, &at, &off) || at != s.len)
        return false;
    int64_t sec = days_of(v[0], v[1], v[2]) * DAY_S + v[3] * 3600 + v[4] * 60 + v[5] - off;
    *wall_ms = sec * MS + ms;
    return true;
}
