/* Output: queues give every byte once and in order, whatever the pieces; chunks are let go. */
#include <stdlib.h>
#include "../../src/http/http_output.c"
#include "tap.h"

/* http_conn.c and tls are not under test here */
void fp_http_conn_deadline(struct fp_http_conn *c, enum fp_http_deadline which, uint64_t after_ms)
{
}
ssize_t fp_tls_conn_writev(struct fp_tls_conn *t, const struct iovec *iov, size_t n)
{
    return -EAGAIN;
}

static unsigned released;
static void count_release(struct fp_http_chunk *c)
{
    released++;
}

static char pool[200000];
static struct fp_http_batch batch;

static size_t drain_batch(char *out)
{
    size_t n = 0;
    for (unsigned i = 0; i < batch.n; i++) {
        memcpy(out + n, batch.iov[i].iov_base, batch.iov[i].iov_len);
        n += batch.iov[i].iov_len;
    }
    fp_http_batch_clear(&batch);
    return n;
}

/* Chunks of many segment sizes, some empty, with heads and tails; frames of `limit` bytes. */
static void run(size_t limit)
{
    static char want[1 << 21], got[1 << 21];
    static const size_t sizes[] = {0, 1, 255, 256, 257, 5000, 0, 16384, 20000, 3};
    struct fp_http_queue q = {0};
    struct fp_http_chunk chunks[12];
    struct fp_str segments[12][10];
    size_t want_n = 0, got_n = 0;
    released = 0;
    for (size_t c = 0; c < 12; c++) {
        size_t bytes = 0, n = c % 11;
        for (size_t s = 0; s < n; s++) {
            segments[c][s] = fp_str_n(pool + c * 100 + s, sizes[(c + s) % 10]);
            bytes += segments[c][s].len;
        }
        chunks[c] = (struct fp_http_chunk){1, count_release, bytes, (uint32_t)n, segments[c]};
        struct fp_str head = fp_str_n(pool + c, c % 3 * 5),
                      tail = fp_str_n(pool + 7 * c, c % 4 * 9);
        fp_http_queue_push(&q, head, &chunks[c], tail);
        memcpy(want + want_n, head.data, head.len);
        want_n += head.len;
        for (size_t s = 0; s < n; s++) {
            memcpy(want + want_n, segments[c][s].data, segments[c][s].len);
            want_n += segments[c][s].len;
        }
        memcpy(want + want_n, tail.data, tail.len);
        want_n += tail.len;
    }
    is_int((int)q.bytes, (int)want_n, "the queue knows its bytes");
    while (q.bytes) {
        size_t n = fp_http_queue_peek(&q, limit);
        if (!n || n > limit)
            break;
        fp_http_queue_take(&q, &batch, n);
        if (!fp_http_batch_room(&batch))
            got_n += drain_batch(got + got_n);
    }
    got_n += drain_batch(got + got_n);
    ok(got_n == want_n && !memcmp(got, want, want_n), "frames of %zu bytes: all bytes, in order",
       limit);
    ok(!q.head && !q.tail, "nothing is left in the queue");
    is_int((int)released, 12, "every chunk is let go");
}

static void test_next(void)
{
    struct fp_http_queue q = {0};
    static char big[70000], got[70000];
    size_t n = 0;
    fp_http_queue_push(&q, fp_str_n(pool, 50000), NULL, FP_STR_NULL); /* a head beyond any frame */
    fp_http_queue_push(&q, FP_STR_NULL, fp_http_chunk_copy(fp_str_n(pool + 50000, 20000)),
                       FP_STR_NULL);
    fp_http_queue_push(&q, FP_STR_NULL, NULL, FP_STR_NULL);
    memcpy(big, pool, 70000);
    while (q.bytes) {
        while (q.bytes && fp_http_batch_room(&batch))
            fp_http_queue_take(&q, &batch, fp_http_queue_next(&q));
        n += drain_batch(got + n);
    }
    ok(n == 70000 && !memcmp(big, got, n), "without frames");
}

/* A socket that takes little: what is left is kept, sent later, and let go. */
static void test_left(void)
{
    static struct fp_http_server server;
    struct fp_http_conn c = {.server = &server};
    int fds[2];
    static char got[400000];
    size_t n = 0;
    struct fp_http_queue q = {0};
    struct fp_loop *loop = fp_loop_new();
    server.loop = loop;
    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds);
    setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, (int[]){4096}, sizeof(int));
    c.io.fd = fds[0];
    struct fp_str segment = fp_str_n(pool, 150000);
    struct fp_http_chunk chunk = {1, count_release, 150000, 1, &segment};
    released = 0;
    fp_http_queue_push(&q, FP_STR("head"), &chunk, FP_STR("tail"));
    while (q.bytes)
        fp_http_queue_take(&q, &batch, fp_http_queue_next(&q));
    is_int(fp_http_conn_send(&c, &batch), -EAGAIN, "a full socket");
    ok(c.left && !released, "the rest is kept with its reference");
    for (int i = 0; i < 100000 && n < 150008; i++) {
        ssize_t r = recv(fds[1], got + n, 3000, 0);
        n += r > 0 ? (size_t)r : 0;
        if (c.left && fp_http_conn_send_left(&c) == 0)
            ok(!c.left, "all written");
    }
    ok(n == 150008 && !memcmp(got, "head", 4) && !memcmp(got + 4, pool, 150000) &&
           !memcmp(got + 150004, "tail", 4),
       "every byte arrived in order");
    is_int((int)released, 1, "the chunk is let go");
    fp_loop_free(&loop);
}

int main(void)
{
    for (size_t i = 0; i < sizeof pool; i++)
        pool[i] = (char)(i * 7 + i / 251);
    run(16384);
    run(1);
    run(1000);
    test_next();
    test_left();
    return done_testing();
}
