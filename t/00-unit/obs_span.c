/* Spans and the W3C trace context (contract §2.2, §11.4). */
#include "obs/obs_span.c"
#include "tap.h"

#define GOOD "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

static void contexts(void)
{
    static const char *const bad[] = {
        "",
        "00",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        GOOD "-more",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more",
    };
    struct fp_trace t;
    char text[FP_TRACE_TEXT_BYTES];
    ok(fp_trace_parse(&t, FP_STR(GOOD)) && t.sampled && t.known, "a traceparent");
    is_str(fp_trace_text(&t, text), GOOD, "and back");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ok(!fp_trace_parse(&t, fp_str_of(bad[i])) && !t.known, "none: '%s'", bad[i]);
    ok(!fp_trace_parse(&t, FP_STR_NULL), "none at all");
    ok(fp_trace_parse(&t, FP_STR("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02-x")) &&
           !t.sampled,
       "a later version, not sampled");
    ok(fp_trace_state_ok(FP_STR("a=1,b=2")) && !fp_trace_state_ok(FP_STR("a\n=1")), "tracestate");
}

static struct fp_span last;
static unsigned ended;
static void sink(const struct fp_span *s, void *arg)
{
    (void)arg;
    last = *s;
    ended++;
}

static void sampling(void)
{
    static struct fp_span s, child;
    struct fp_trace parent = {.known = true, .sampled = true, .trace_id = {1}, .span_id = {2}};
    fp_span_begin(&s, FP_SPAN_AUTH, NULL);
    fp_span_end(&s, false);
    is_int(ended, 0, "off: nothing");
    fp_spans_set(sink, NULL, 0);
    fp_span_begin(&s, FP_SPAN_AUTH, NULL);
    fp_span_end(&s, false);
    is_int(ended, 0, "ratio 0: no new trace");
    fp_span_begin(&s, FP_SPAN_AUTH, &parent);
    fp_span_end(&s, false);
    fp_span_end(&s, false);
    is_int(ended, 1, "but that of a sampled parent, once");
    fp_spans_set(sink, NULL, 0.25);
    for (int i = 0; i < 10000; i++) {
        fp_span_begin(&s, FP_SPAN_AUTH, NULL);
        fp_span_end(&s, false);
    }
    ok(ended > 2200 && ended < 2800, "a quarter: %u of 10000", ended);
    fp_spans_set(sink, NULL, 1);
    ended = 0;
    for (int i = 0; i < 1000; i++) {
        fp_span_begin(&s, FP_SPAN_HTTP_REQUEST, NULL);
        fp_span_end(&s, false);
    }
    is_int(ended, 1000, "ratio 1: all");
    fp_span_begin(&s, FP_SPAN_HTTP_REQUEST, NULL);
    fp_span_begin(&child, FP_SPAN_AUTH, &s.at);
    ok(memcmp(child.parent_id, s.at.span_id, 8) == 0 &&
           memcmp(child.at.trace_id, s.at.trace_id, 16) == 0,
       "a child");
}

static void tags(void)
{
    static struct fp_span s;
    static char big[4000];
    memset(big, 'x', sizeof(big));
    fp_span_begin(&s, FP_SPAN_HTTP_REQUEST, NULL);
    fp_span_str(&s, "a", FP_STR("\xff\xc3\xa4"));
    fp_span_int(&s, "n", -7);
    for (int i = 0; i < 20; i++)
        fp_span_str(&s, "big", fp_str_n(big, sizeof(big)));
    fp_span_end(&s, true);
    ok(fp_str_eq(last.tags[0].str, FP_STR("?\xc3\xa4")), "bad UTF-8 becomes '?'");
    is_int(last.tags[1].number, -7, "a number");
    is_int(last.tags[2].str.len, VALUE_MAX_BYTES, "a long value is cut");
    ok(last.tags_n == FP_SPAN_TAGS && last.text_n <= FP_SPAN_TEXT_BYTES && last.failed,
       "bounded tags and text");
}

int main(void)
{
    contexts();
    sampling();
    tags();
    return done_testing();
}
