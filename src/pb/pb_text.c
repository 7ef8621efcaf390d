/*
 * Duration ("1.5s") and Timestamp (RFC 3339) as canonical JSON writes them.  Pure functions, used
 * wherever the transcoder runs.
 */
#include <stdio.h>
#include "pb/pb_text_int.h"

#define DURATION_MAX_S  315576000000LL   /* 10,000 years */
#define TIMESTAMP_MIN_S (-62135596800LL) /* 0001-01-01 */
#define TIMESTAMP_MAX_S 253402300799LL   /* 9999-12-31T23:59:59 */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits at *i; false unless there is at least one and at most max. */
static bool digits(struct fp_str s, size_t *i, size_t max, int64_t *out)
{
    size_t start = *i;
    int64_t v = 0;
    while (*i < s.len && is_digit(s.data[*i])) {
        if (*i - start >= max)
            return false;
        v = v * 10 + (s.data[(*i)++] - '0');
    }
    *out = v;
    return *i > start;
}

static bool literal(struct fp_str s, size_t *i, char c)
{
    if (*i >= s.len || s.data[*i] != c)
        return false;
    (*i)++;
    return true;
}

/* An optional ".123456789" at *i. */
static bool fraction(struct fp_str s, size_t *i, int32_t *nanos)
{
    *nanos = 0;
    if (!literal(s, i, '.'))
        return true;
    size_t start = *i;
    int64_t v;
    if (!digits(s, i, 9, &v))
        return false;
    for (size_t n = *i - start; n < 9; n++)
        v *= 10;
    *nanos = (int32_t)v;
    return true;
}

int fp_pb_duration_parse(struct fp_str s, int64_t *seconds, int32_t *nanos)
{
    size_t i = 0;
    bool minus = literal(s, &i, '-');
    if (!digits(s, &i, 18, seconds) || !fraction(s, &i, nanos) || !literal(s, &i, 's') ||
        i != s.len)
        return FP_ERR_INVALID;
    if (*seconds > DURATION_MAX_S || (*seconds == DURATION_MAX_S && *nanos > 0))
        return FP_ERR_LIMIT;
    if (minus) {
        *seconds = -*seconds;
        *nanos = -*nanos;
    }
    return 0;
}

/* Days since 1970 of a civil date, by eras of 400 years that begin in March. */
static int64_t days_of(int64_t y, int64_t m, int64_t d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400, year = y - era * 400;
    int64_t day = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + year * 365 + year / 4 - year / 100 + day - 719468;
}

static void date_of(int64_t days, int *y, int *m, int *d)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097, n = days - era * 146097;
    int64_t year = (n - n / 1460 + n / 36524 - n / 146096) / 365;
    int64_t day = n - (365 * year + year / 4 - year / 100), month = (5 * day + 2) / 153;
    *d = (int)(day - (153 * month + 2) / 5 + 1);
    *m = (int)(month < 10 ? month + 3 : month - 9);
    *y = (int)(year + era * 400 + (*m <= 2));
}

static int month_days(int64_t y, int64_t m)
{
    static const int8_t n[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return n[m - 1] + (m == 2 && y % 4 == 0 && (y % 100 != 0 || y % 400 == 0));
}

int fp_pb_timestamp_parse(struct fp_str s, int64_t *seconds, int32_t *nanos)
{
    int64_t y, mon, d, h, min, sec, oh = 0, om = 0;
    size_t i = 0;
    if (s.len < 20 || !digits(s, &i, 4, &y) || i != 4 || !literal(s, &i, '-') ||
        !digits(s, &i, 2, &mon) || i != 7 || !literal(s, &i, '-') || !digits(s, &i, 2, &d) ||
        i != 10 || !literal(s, &i, 'T') || !digits(s, &i, 2, &h) || i != 13 ||
        !literal(s, &i, ':') || !digits(s, &i, 2, &min) || i != 16 || !literal(s, &i, ':') ||
        !digits(s, &i, 2, &sec) || i != 19 || !fraction(s, &i, nanos))
        return FP_ERR_INVALID;
    bool plus = literal(s, &i, '+'), minus = !plus && literal(s, &i, '-');
    size_t zone = i;
    if (plus || minus) {
        if (!digits(s, &i, 2, &oh) || i != zone + 2 || !literal(s, &i, ':') ||
            !digits(s, &i, 2, &om) || i != zone + 5)
            return FP_ERR_INVALID;
    } else if (!literal(s, &i, 'Z')) {
        return FP_ERR_INVALID;
    }
    if (i != s.len || mon < 1 || mon > 12 || d < 1 || d > month_days(y, mon) || h > 23 ||
        min > 59 || sec > 59 || oh > 23 || om > 59)
        return FP_ERR_INVALID;
    int64_t offset = (oh * 60 + om) * 60;
    *seconds = ((days_of(y, mon, d) * 24 + h) * 60 + min) * 60 + sec - (minus ? -offset : offset);
    return *seconds < TIMESTAMP_MIN_S || *seconds > TIMESTAMP_MAX_S ? FP_ERR_LIMIT : 0;
}

/* 0, 3, 6 or 9 digits behind the point. */
static int put_fraction(char *out, size_t size, int32_t nanos)
{
    if (nanos == 0)
        return 0;
    if (nanos % 1000000 == 0)
        return snprintf(out, size, ".%03d", nanos / 1000000);
    if (nanos % 1000 == 0)
        return snprintf(out, size, ".%06d", nanos / 1000);
    return snprintf(out, size, ".%09d", nanos);
}

bool fp_pb_duration_format(char out[FP_PB_TEXT_BYTES], int64_t seconds, int32_t nanos)
{
    if (seconds < -DURATION_MAX_S || seconds > DURATION_MAX_S || nanos <= -1000000000 ||
        nanos >= 1000000000 || (seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0))
        return false;
    bool minus = seconds < 0 || nanos < 0;
    int n = snprintf(out, FP_PB_TEXT_BYTES, "%s%lld", minus ? "-" : "",
                     (long long)(seconds < 0 ? -seconds : seconds));
    n += put_fraction(out + n, FP_PB_TEXT_BYTES - (size_t)n, nanos < 0 ? -nanos : nanos);
    snprintf(out + n, FP_PB_TEXT_BYTES - (size_t)n, "s");
    return true;
}

bool fp_pb_timestamp_format(char out[FP_PB_TEXT_BYTES], int64_t seconds, int32_t nanos)
{
    if (seconds < TIMESTAMP_MIN_S || seconds > TIMESTAMP_MAX_S || nanos < 0 || nanos >= 1000000000)
        return false;
    int64_t days = seconds / 86400, rest = seconds % 86400;
    if (rest < 0) {
        rest += 86400;
        days--;
    }
    int y, m, d, r = (int)rest;
    date_of(days, &y, &m, &d);
    int n = snprintf(out, FP_PB_TEXT_BYTES, "%04d-%02d-%02dT%02d:%02d:%02d", y, m, d, r / 3600,
                     r / 60 % 60, r % 60);
    n += put_fraction(out + n, FP_PB_TEXT_BYTES - (size_t)n, nanos);
    snprintf(out + n, FP_PB_TEXT_BYTES - (size_t)n, "Z");
    return true;
}
