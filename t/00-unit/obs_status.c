/* The status of nodes in shared memory: what is written is read, whole or not at all; acked (§2.7,
 * §10). */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "core/core_mem.h"
#include "obs/obs_status.c"
#include "tap.h"

#define CDS (1u << FP_KIND_CLUSTER)
#define EDS (1u << FP_KIND_ENDPOINT)

static uint32_t open_one(struct fp_status_writer *w, const char *id, struct fp_str metadata)
{
    struct fp_status_node n = {.id = fp_str_of(id),
                               .cluster = FP_STR("c"),
                               .team = FP_STR_NULL,
                               .scope = FP_STR("all"),
                               .user_agent = FP_STR("envoy"),
                               .peer = FP_STR("127.0.0.1:1"),
                               .metadata = metadata,
                               .connected_wall_ms = 42,
                               .mode = FP_STATUS_SOTW};
    return fp_status_stream_open(w, &n);
}

static void set(struct fp_status_writer *w, uint32_t r, enum fp_kind kind, uint64_t revision)
{
    struct fp_status_type t = {.subscribed = true,
                               .wildcard = true,
                               .acked_revision = revision,
                               .sent_version = "0123456789abcdef0123456789abcdef"};
    fp_status_type_set(w, r, kind, &t);
}

static unsigned count(const struct fp_status *s)
{
    struct fp_arena *a = fp_arena_new(NULL);
    struct fp_status_cursor c = {0};
    struct fp_status_stream st;
    unsigned n = 0;
    while (fp_status_next(s, &c, a, &st))
        n++;
    fp_arena_free(&a);
    return n;
}

static void round_trip(void)
{
    struct fp_status *s = fp_status_new(2, 100);
    uint32_t seat = fp_status_seat_take(s, 7);
    struct fp_status_writer *w = fp_status_writer_new(s, seat);
    struct fp_arena *a = fp_arena_new(NULL);
    struct fp_status_cursor c = {0};
    struct fp_status_stream st;
    ok(!fp_status_next(s, &c, a, &st), "empty");
    ok(!fp_status_next(NULL, &c, a, &st), "no mapping: empty");
    uint32_t r = open_one(w, "n1", FP_STR("{\"a\":1}"));
    set(w, r, FP_KIND_CLUSTER, 5);
    struct fp_status_nack n = {.version = "bad",
                               .accepted = "good",
                               .revision = 6,
                               .nonce = 3,
                               .code = 13,
                               .count = 2,
                               .message = FP_STR("because"),
                               .names = fp_str_n("c1\0c2\0", 6)};
    fp_status_nack_set(w, r, FP_KIND_CLUSTER, &n);
    c = (struct fp_status_cursor){0};
    ok(fp_status_next(s, &c, a, &st), "one stream");
    is_int(st.slot, 7, "its worker");
    ok(fp_str_eq_c(st.node.id, "n1") && fp_str_eq_c(st.node.metadata, "{\"a\":1}") &&
           fp_str_eq_c(st.node.peer, "127.0.0.1:1") && st.node.connected_wall_ms == 42,
       "the node's texts");
    ok(!st.node.team.data && !st.node.tls_subject.data, "what is absent stays absent");
    const struct fp_status_type *t = &st.types[FP_KIND_CLUSTER];
    ok(t->subscribed && t->wildcard && t->acked_revision == 5, "the type");
    is_str(t->sent_version, "0123456789abcdef0123456789abcdef", "a version of full length");
    is_str(t->acked_version, "", "none acked");
    ok(t->nacked && t->nack.code == 13 && t->nack.count == 2 && t->nack.revision == 6,
       "the rejection");
    is_str(t->nack.version, "bad", "its version");
    ok(fp_str_eq_c(t->nack.message, "because") && t->nack.names.len == 6, "its texts");
    ok(!st.types[FP_KIND_ROUTE].subscribed && !st.types[FP_KIND_ROUTE].nacked,
       "another type has none");
    ok(!fp_status_next(s, &c, a, &st), "and no more");
    fp_status_nack_set(w, r, FP_KIND_CLUSTER, NULL);
    c = (struct fp_status_cursor){0};
    fp_status_next(s, &c, a, &st);
    ok(!st.types[FP_KIND_CLUSTER].nacked, "resolved");
    fp_status_stream_close(w, r);
    is_int(count(s), 0, "closed");
    is_int(open_one(w, "n2", FP_STR_NULL), r, "its record is used again");
    for (size_t i = 0; i < s->blocks_n / 64; i++)
        if (i)
            is_int((long)w->used_blocks[i], 0, "no block is lost");
    fp_status_seat_leave(s, seat);
    is_int(count(s), 0, "a worker that is gone takes its streams with it");
    is_int(fp_status_seat_take(s, 1), seat, "and its seat is free");
    is_int(status_record_at(s, seat, r)->used, 0, "and clean");
    fp_status_writer_free(&w);
    fp_arena_free(&a);
}

static void limits(void)
{
    struct fp_status *s = fp_status_new(1, 4);
    struct fp_status_writer *w = fp_status_writer_new(s, fp_status_seat_take(s, 0));
    char *big = malloc(100000);
    memset(big, 'x', 100000);
    for (int i = 0; i < 4; i++)
        ok(open_one(w, "n", fp_str_n(big, 100000)) != FP_STATUS_RECORD_NONE,
           "too much metadata is left out");
    is_int(open_one(w, "n", FP_STR_NULL), FP_STATUS_RECORD_NONE, "no record more than there are");
    fp_status_type_set(w, FP_STATUS_RECORD_NONE, FP_KIND_CLUSTER, &(struct fp_status_type){0});
    fp_status_stream_close(w, FP_STATUS_RECORD_NONE);
    is_int(count(s), 4, "the others are there");
    struct fp_status_nack n = {.code = 1, .message = fp_str_n(big, 100000), .revision = 9};
    for (uint32_t r = 0; r < 4; r++) {
        fp_status_nack_set(w, r, FP_KIND_CLUSTER, &n);
        fp_status_nack_set(w, r, FP_KIND_ROUTE, &n);
    }
    is_int(count(s), 4, "a full heap harms nobody");
    is_int(fp_status_acked(s, 9, CDS), FP_STATUS_ACKED,
           "nor counts for types without subscription");
    for (uint32_t r = 0; r < 4; r++)
        set(w, r, FP_KIND_CLUSTER, 9), set(w, r, FP_KIND_ROUTE, 9);
    is_int(fp_status_acked(s, 9, CDS), FP_STATUS_NACKED, "a rejection counts without its text too");
    uint32_t seats = 1;
    while (fp_status_seat_take(s, 0) != FP_STATUS_SEAT_NONE)
        seats++;
    is_int(seats, 16, "seats for overlapping generations, and more workers");
    ok(!fp_status_writer_new(s, FP_STATUS_SEAT_NONE), "beyond them a worker writes nothing");
    is_int(open_one(NULL, "n", FP_STR_NULL), FP_STATUS_RECORD_NONE, "and does not mind");
    fp_status_writer_free(&w);
    free(big);
}

static void acknowledged(void)
{
    struct fp_status *s = fp_status_new(2, 10);
    struct fp_status_writer *a = fp_status_writer_new(s, fp_status_seat_take(s, 0)),
                            *b = fp_status_writer_new(s, fp_status_seat_take(s, 1));
    is_int(fp_status_acked(s, 3, CDS), FP_STATUS_ACKED, "no nodes: nobody to wait for");
    uint32_t one = open_one(a, "one", FP_STR_NULL), two = open_one(b, "two", FP_STR_NULL);
    is_int(fp_status_acked(s, 3, CDS), FP_STATUS_ACKED, "nodes that do not ask for the type");
    set(a, one, FP_KIND_CLUSTER, 3), set(b, two, FP_KIND_CLUSTER, 2);
    is_int(fp_status_acked(s, 3, CDS), FP_STATUS_PENDING, "one of two");
    is_int(fp_status_acked(s, 2, CDS), FP_STATUS_ACKED, "an older revision");
    is_int(fp_status_acked(s, 3, EDS), FP_STATUS_ACKED, "another kind");
    set(b, two, FP_KIND_CLUSTER, 4);
    is_int(fp_status_acked(s, 3, CDS | EDS), FP_STATUS_ACKED, "both");
    struct fp_status_nack n = {.code = 13, .revision = 3, .message = FP_STR("no")};
    fp_status_nack_set(b, two, FP_KIND_CLUSTER, &n);
    is_int(fp_status_acked(s, 3, CDS), FP_STATUS_NACKED, "a rejection wins");
    set(a, one, FP_KIND_CLUSTER, 4);
    is_int(fp_status_acked(s, 4, CDS), FP_STATUS_ACKED, "an old one says nothing of what is newer");
    set(a, one, FP_KIND_CLUSTER, 1), fp_status_nack_set(b, two, FP_KIND_CLUSTER, NULL);
    is_int(fp_status_acked(s, 3, CDS), FP_STATUS_PENDING, "again");
    fp_status_writer_drain(a);
    is_int(fp_status_acked(s, 3, CDS), FP_STATUS_ACKED, "a draining worker is not waited for");
    fp_status_writer_free(&a);
    fp_status_writer_free(&b);
}

/* A process is killed in the middle of writing; another writes while we read. */
static void processes(void)
{
    struct fp_status *s = fp_status_new(1, 10);
    struct fp_status_writer *w = fp_status_writer_new(s, fp_status_seat_take(s, 0));
    open_one(w, "whole", FP_STR_NULL);
    uint32_t r = open_one(w, "half", FP_STR_NULL);
    atomic_fetch_add(&status_record_at(s, 0, r)->counter, 1);
    is_int(count(s), 1, "a half-written record is passed over");
    atomic_fetch_add(&status_record_at(s, 0, r)->counter, 1);
    pid_t pid = fork();
    if (!pid)
        for (unsigned i = 0;; i++) {
            char id[64];
            memset(id, 'a' + i % 26, sizeof id - 1);
            id[i % 2 ? 40 : 63] = 0;
            fp_status_stream_close(w, r);
            r = open_one(w, id, FP_STR_NULL);
            set(w, r, FP_KIND_CLUSTER, i);
        }
    unsigned torn = 0, seen = 0;
    struct fp_arena *a = fp_arena_new(NULL);
    for (time_t end = time(NULL) + 120; seen < 2000 && time(NULL) < end;) {
        struct fp_status_cursor c = {.record = r};
        struct fp_status_stream st;
        if (fp_status_next(s, &c, a, &st) && st.node.id.len > 5) {
            seen++;
            for (size_t j = 1; j < st.node.id.len; j++)
                torn += st.node.id.data[j] != st.node.id.data[0];
        }
        fp_arena_reset(a);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    ok(seen >= 2000, "read %u times while another process writes", seen);
    is_int(torn, 0, "never torn");
    fp_arena_free(&a);
    fp_status_writer_free(&w);
}

static void orphans(void)
{
    struct fp_status *s = fp_status_new(2, 10);
    struct fp_status_writer *a = fp_status_writer_new(s, fp_status_seat_take(s, 0)),
                            *b = fp_status_writer_new(s, fp_status_seat_take(s, 1));
    fp_status_orphan_add(a, FP_STR("n"), FP_KIND_CLUSTER);
    fp_status_orphan_add(a, FP_STR("n"), FP_KIND_CLUSTER);
    ok(!fp_status_orphan_take(b, FP_STR("n"), FP_KIND_ROUTE), "another type");
    ok(!fp_status_orphan_take(b, FP_STR("m"), FP_KIND_CLUSTER), "another node");
    ok(fp_status_orphan_take(b, FP_STR("n"), FP_KIND_CLUSTER), "another worker takes it");
    ok(!fp_status_orphan_take(b, FP_STR("n"), FP_KIND_CLUSTER), "once");
    unsigned kept = 0;
    for (int i = 0; i < 100000; i++) {
        char id[16];
        fp_status_orphan_add(a, fp_str_n(id, (size_t)snprintf(id, sizeof id, "%d", i)), 0);
    }
    for (int i = 0; i < 100000; i++) {
        char id[16];
        kept += fp_status_orphan_take(a, fp_str_n(id, (size_t)snprintf(id, sizeof id, "%d", i)), 0);
    }
    ok(kept > 3000 && kept <= STATUS_ORPHANS_N, "bounded: %u of 100,000 are known", kept);
    fp_status_orphan_add(NULL, FP_STR("n"), FP_KIND_CLUSTER);
    ok(!fp_status_orphan_take(NULL, FP_STR("n"), FP_KIND_CLUSTER), "no writer");
    fp_status_writer_free(&a);
    fp_status_writer_free(&b);
}

int main(void)
{
    orphans();
    round_trip();
    limits();
    acknowledged();
    processes();
    return done_testing();
}
