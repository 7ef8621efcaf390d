/* The engine over many streams: sharing, admission, limits, nothing left behind (L-*, T-10). */
#include "xds_fake.h"
#include <malloc.h>

static struct fp_xds_options options(void)
{
    return (struct fp_xds_options){
        .control_plane_id = "x", .ordering_timeout_ms = 15000, .max_streams = 100000};
}

static void admission(void)
{
    enum { N = 500 };
    struct fp_xds_options o = options();
    o.first_response_rate = 100;
    struct world *w = world_open(&o);
    static struct fp_grpc_call *c[N];
    publish(w, "C/a=1");
    int answered = 0, in_order = 1;
    for (int i = 0; i < N; i++) {
        c[i] = dial(w, "n");
        say(c[i], 'C', "", "", "", NULL);
    }
    turn(w);
    for (int i = 0; i < N; i++)
        answered += c[i]->sends > 0;
    is_int(answered, 10, "L-8: a tenth of a second's worth at once");
    fp_loop_fake_advance(w->loop, 1000);
    answered = 0;
    for (int i = 0; i < N; i++) {
        answered += c[i]->sends > 0;
        in_order &= i == 0 || c[i]->sends <= c[i - 1]->sends;
    }
    ok(answered >= 100 && answered <= 111, "L-8: 100 a second (%d)", answered);
    ok(in_order, "L-8: in the order of arrival");
    ack(c[0], 'C');
    publish(w, "C/a=2");
    is_int(c[0]->sends, 2, "L-8: who is in is not held up");
    is_int(c[N - 1]->sends, 0, "the others still wait");
    fp_loop_fake_advance(w->loop, 5000);
    answered = 0;
    for (int i = 0; i < N; i++)
        answered += c[i]->sends > 0;
    is_int(answered, N, "all get their answer");
    is_int(c[N - 1]->sends, 1, "the newest alone");
    for (int i = 0; i < N; i++)
        hang_up(&c[i]);
    world_close(&w);
}

static void limits(void)
{
    struct fp_xds_options o = options();
    o.max_streams = 2;
    struct world *w = world_open(&o);
    struct fp_grpc_call *a = dial(w, "a"), *b = dial(w, "b"), *c = dial(w, "c");
    is_int(c->status, FP_GRPC_RESOURCE_EXHAUSTED, "one stream too many");
    ask(c, 'C', "");
    hang_up(&c);
    hang_up(&a);
    c = dial(w, "c");
    is_int(c->status, -1, "and there is room again");
    hang_up(&b);
    hang_up(&c);
    publish(w, "C/a=1");
    is_int((long)w->slot.generation, 1, "the page shows the generation");
    fp_xds_engine_drain(w->engine);
    publish(w, "C/a=2");
    is_int((long)w->slot.generation, 1, "not that of one who drains: the slot is another's");
    world_close(&w);
}

/* Two workers of one instance share both limits; what a killed one held comes back. */
static void two_workers(void)
{
    struct fp_status *status = fp_status_new(2, 100);
    struct fp_limits *limits = fp_limits_new();
    struct world *w[2];
    struct fp_status_writer *writer[2];
    struct fp_grpc_call *c[60];
    for (unsigned i = 0; i < 2; i++) {
        struct fp_xds_options o = options();
        o.max_streams = 50;
        o.first_response_rate = 100;
        o.limits = limits;
        o.status = writer[i] = fp_status_writer_new(status, fp_status_seat_take(status, i));
        w[i] = world_open(&o);
        publish(w[i], "C/a=1");
    }
    for (int i = 0; i < 50; i++) {
        c[i] = dial(w[i % 2], "n");
        say(c[i], 'C', "", "", "", NULL);
    }
    is_int((long)fp_status_streams(status), 50, "the instance counts the streams of both");
    for (int i = 50; i < 52; i++) {
        c[i] = dial(w[i % 2], "n");
        is_int(c[i]->status, FP_GRPC_RESOURCE_EXHAUSTED, "one too many, on either worker");
        hang_up(&c[i]);
    }
    int answered[2] = {0, 0};
    for (int ms = 0; ms < 300; ms++)
        for (int i = 0; i < 2; i++)
            fp_loop_fake_advance(w[i]->loop, 1);
    for (int i = 0; i < 50; i++)
        answered[i % 2] += c[i]->sends > 0;
    int both = answered[0] + answered[1];
    ok(both >= 36 && both <= 41, "L-8: 10 and 30 first answers in 300 ms, by both (%d)", both);
    ok(answered[0] && answered[1], "and each has its share (%d, %d)", answered[0], answered[1]);
    fp_status_seat_leave(status, 1); /* as the master does for a killed worker */
    is_int((long)fp_status_streams(status), 25, "a worker that died holds nothing");
    c[50] = dial(w[0], "n");
    is_int(c[50]->status, -1, "and the other has room");
    for (int i = 0; i <= 50; i++)
        hang_up(&c[i]);
    for (int i = 0; i < 2; i++) {
        world_close(&w[i]);
        fp_status_writer_free(&writer[i]);
    }
}

static void sharing(void)
{
    enum { N = 300 };
    struct world *w = world_open(NULL);
    static struct fp_grpc_call *c[N];
    publish(w, "C/a=1>E/a C/b=1>E/b E/a=1 E/b=1");
    for (int i = 0; i < N; i++) {
        c[i] = dial(w, "n");
        ask(c[i], 'C', "");
        ask(c[i], 'E', i % 2 ? "a b" : "b a");
        ack(c[i], 'C');
        ack(c[i], 'E');
    }
    const struct fp_xds_stream *s = c[0]->user;
    is_int((long)w->engine->names.by_key.n, 2, "equal subscriptions are one set");
    publish(w, "C/a=2>E/a C/b=1>E/b E/a=1 E/b=1");
    int same = 1, complete = 1;
    for (int i = 0; i < N; i++) {
        const struct fp_xds_stream *t = c[i]->user;
        same &= t->types[FP_KIND_CLUSTER].sent == s->types[FP_KIND_CLUSTER].sent &&
                t->types[FP_KIND_ENDPOINT].sent == s->types[FP_KIND_ENDPOINT].sent;
        complete &= strcmp(strstr(c[i]->text, "EDS[a b]") + 9, "CDS[a b] EDS[a]") == 0;
    }
    ok(same, "all streams share one state a type");
    ok(complete, "O-1: all got CDS and the EDS of the changed cluster, over several slices");
    size_t responses = 0;
    FP_LIST_FOREACH (it, &s->types[FP_KIND_ENDPOINT].sent->responses)
        responses++;
    is_int((long)responses, 1, "encoded once");
    ok(sizeof(struct fp_xds_stream) < 2048, "a stream is %zu bytes", sizeof(struct fp_xds_stream));
    for (int i = 0; i < N; i++)
        hang_up(&c[i]);
    is_int((long)w->engine->names.by_key.n, 0, "the sets go with the last stream");
    world_close(&w);
}

/* An answer in flight keeps its generation mapped, also when all others have moved on. */
static struct fp_http_chunk *kept;
static void in_flight(void)
{
    struct world *w = world_open(NULL);
    char text[40000] = "C/big=";
    memset(text + 6, 'x', 30000);
    publish(w, text);
    struct fp_grpc_call *c = dial(w, "n");
    ask(c, 'C', "");
    const struct fp_xds_stream *st = c->user;
    struct fp_list *first = st->types[FP_KIND_CLUSTER].sent->responses.next;
    struct fp_xds_response *r = FP_CONTAINER(first, struct fp_xds_response, link);
    ok(!r->copy && r->chunk.segments_n == 2, "a large answer points into the mapping");
    kept = fp_http_chunk_ref(&r->chunk);
    for (int i = 0; i < 3; i++)
        publish(w, i % 2 ? "C/a=1" : "C/a=2");
    ack(c, 'C');
    hang_up(&c);
    world_close(&w);
    size_t xs = 0;
    for (size_t i = 0; i < kept->segments[1].len; i++)
        xs += kept->segments[1].data[i] == 'x';
    is_int((long)xs, 30000, "and is still readable after all others are gone");
    fp_http_chunk_unref(&kept);
}

static size_t heap(void)
{
    return mallinfo2().uordblks;
}

static void one_life(struct world *w, int i)
{
    char names[64];
    snprintf(names, sizeof names, "r1 r%d", i);
    struct fp_grpc_call *c = dial(w, "node");
    ask(c, 'C', "");
    ask(c, 'R', names);
    if (i % 3)
        ack(c, 'C');
    else
        nack(c, 'C');
    hang_up(&c);
}

static void nothing_left(void)
{
    struct world *w = world_open(NULL);
    publish(w, "C/a=1>E/a E/a=1 R/r1=1>C/a R/r2=1>C/a");
    for (int i = 0; i < 100; i++)
        one_life(w, i);
    size_t before = heap();
    for (int i = 0; i < 10000; i++)
        one_life(w, i);
    long grown = (long)(heap() - before);
    ok(grown < 4096, "T-10: 10,000 streams leave %ld bytes", grown);
    struct fp_grpc_call *c = dial(w, "n");
    ask(c, 'C', "");
    ack(c, 'C');
    for (int i = 0; i < 20; i++) {
        publish(w, i % 2 ? "C/a=1" : "C/b=1");
        ack(c, 'C');
    }
    before = heap();
    for (int i = 0; i < 200; i++) {
        publish(w, i % 2 ? "C/a=1" : "C/b=1");
        ack(c, 'C');
    }
    grown = (long)(heap() - before);
    ok(grown < 4096, "200 generations leave %ld bytes", grown);
    hang_up(&c);
    world_close(&w);
}

int main(void)
{
    admission();
    limits();
    two_workers();
    sharing();
    in_flight();
    nothing_left();
    return done_testing();
}
