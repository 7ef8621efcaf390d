/*
 * Output of the http room, in workers: shared chunks, the queue of an exchange or stream, the batch
 * that one writev takes, and the rest that a full socket leaves behind.  Bytes of a shared chunk
 * are never copied on the way to a clear-text socket (design.md §7).
 */
#include <errno.h>
#include <sys/socket.h>
#include "http/http_int.h"

/* ---- chunks ---- */

void fp_http_chunk_unref(struct fp_http_chunk **c)
{
    struct fp_http_chunk *x = *c;
    *c = NULL;
    if (!x)
        return;
    FP_ASSERT(x->refs > 0);
    if (--x->refs == 0)
        x->release(x);
}

struct copied { /* a chunk, its segment and its bytes in one allocation */
    struct fp_http_chunk chunk;
    struct fp_str segment;
    char bytes[];
};

static size_t copied_bytes;

size_t fp_http_copied_bytes(void)
{
    return copied_bytes;
}

static void release_copied(struct fp_http_chunk *c)
{
    copied_bytes -= c->bytes;
    fp_mem_free(FP_CONTAINER(c, struct copied, chunk));
}

struct fp_http_chunk *fp_http_chunk_copy(struct fp_str bytes)
{
    struct copied *c = fp_mem_alloc(sizeof *c + bytes.len);
    if (bytes.len)
        memcpy(c->bytes, bytes.data, bytes.len);
    copied_bytes += bytes.len;
    c->segment = fp_str_n(c->bytes, bytes.len);
    c->chunk = (struct fp_http_chunk){.refs = 1,
                                      .release = release_copied,
                                      .bytes = bytes.len,
                                      .segments_n = 1,
                                      .segments = &c->segment};
    return &c->chunk;
}

static void release_lasting(struct fp_http_chunk *c)
{
    fp_mem_free(FP_CONTAINER(c, struct copied, chunk));
}

struct fp_http_chunk *fp_http_chunk_lasting(struct fp_str bytes)
{
    struct copied *c = fp_mem_alloc(sizeof *c);
    c->segment = bytes;
    c->chunk = (struct fp_http_chunk){.refs = 1,
                                      .release = release_lasting,
                                      .bytes = bytes.len,
                                      .segments_n = 1,
                                      .segments = &c->segment};
    return &c->chunk;
}

/* ---- batch ---- */

/* Two frames: nghttp2 may hand out a control frame right behind a DATA frame, unasked. */
bool fp_http_batch_room(const struct fp_http_batch *b)
{
    return b->n + FP_HTTP_PIECES / 4 <= FP_HTTP_PIECES &&
           b->own_n + 2 * FP_HTTP_FRAME_MAX <= FP_HTTP_OWN_BYTES && b->bytes < 256 * 1024;
}

static void add(struct fp_http_batch *b, struct fp_http_chunk *c, const void *p, size_t n)
{
    FP_ASSERT(b->n < FP_HTTP_PIECES);
    b->iov[b->n] = (struct iovec){(void *)p, n};
    b->chunk[b->n++] = c;
    b->bytes += n;
}

void fp_http_batch_copy(struct fp_http_batch *b, const void *p, size_t n)
{
    if (!n)
        return;
    FP_ASSERT(n <= FP_HTTP_OWN_BYTES - b->own_n);
    char *to = b->own + b->own_n;
    memcpy(to, p, n);
    b->own_n += n;
    if (b->n && !b->chunk[b->n - 1]) { /* own bytes are contiguous: lengthen the last piece */
        b->iov[b->n - 1].iov_len += n;
        b->bytes += n;
        return;
    }
    add(b, NULL, to, n);
}

void fp_http_batch_share(struct fp_http_batch *b, struct fp_http_chunk *c, const void *p, size_t n)
{
    if (n <= FP_HTTP_SMALL)
        fp_http_batch_copy(b, p, n);
    else
        add(b, fp_http_chunk_ref(c), p, n);
}

void fp_http_batch_clear(struct fp_http_batch *b)
{
    for (unsigned i = 0; i < b->n; i++)
        fp_http_chunk_unref(&b->chunk[i]);
    b->n = 0;
    b->bytes = b->own_n = 0;
}

/* ---- queue ---- */

struct fp_http_node {
    struct fp_http_node *next;
    struct fp_http_chunk *chunk; /* may be NULL */
    uint32_t head_n, tail_n;
    char bytes[]; /* head, then tail */
};

static uint32_t segments(const struct fp_http_node *n)
{
    return n->chunk ? n->chunk->segments_n : 0;
}

static struct fp_str part(const struct fp_http_node *n, uint32_t i)
{
    if (i == 0)
        return fp_str_n(n->bytes, n->head_n);
    if (i <= segments(n))
        return n->chunk->segments[i - 1];
    return fp_str_n(n->bytes + n->head_n, n->tail_n);
}

void fp_http_queue_push(struct fp_http_queue *q, struct fp_str head, struct fp_http_chunk *chunk,
                        struct fp_str tail)
{
    size_t bytes = head.len + (chunk ? chunk->bytes : 0) + tail.len;
    if (!bytes) {
        fp_http_chunk_unref(&chunk);
        return;
    }
    struct fp_http_node *n = fp_mem_alloc(sizeof *n + head.len + tail.len);
    *n = (struct fp_http_node){
        .chunk = chunk, .head_n = (uint32_t)head.len, .tail_n = (uint32_t)tail.len};
    if (head.len)
        memcpy(n->bytes, head.data, head.len);
    if (tail.len)
        memcpy(n->bytes + head.len, tail.data, tail.len);
    if (q->tail)
        q->tail->next = n;
    else
        q->head = n;
    q->tail = n;
    q->bytes += bytes;
}

static void drop_head(struct fp_http_queue *q)
{
    struct fp_http_node *n = q->head;
    q->head = n->next;
    if (!q->head)
        q->tail = NULL;
    q->part = 0;
    q->off = 0;
    fp_http_chunk_unref(&n->chunk);
    fp_mem_free(n);
}

void fp_http_queue_clear(struct fp_http_queue *q)
{
    while (q->head)
        drop_head(q);
    q->bytes = 0;
}

size_t fp_http_queue_peek(const struct fp_http_queue *q, size_t limit)
{
    size_t n = 0, pieces = 0, off = q->off;
    uint32_t at = q->part;
    for (const struct fp_http_node *node = q->head; node; node = node->next) {
        for (; at <= segments(node) + 1; at++, off = 0) {
            size_t here = part(node, at).len - off;
            if (here && ++pieces > FP_HTTP_PIECES / 8)
                return n;
            if (here >= limit - n)
                return limit;
            n += here;
        }
        at = 0;
    }
    return n;
}

size_t fp_http_queue_next(const struct fp_http_queue *q)
{
    size_t off = q->off;
    for (uint32_t at = q->part; at <= segments(q->head) + 1; at++, off = 0) {
        size_t n = part(q->head, at).len - off;
        bool shared = at > 0 && at <= segments(q->head);
        if (n)
            return shared || n < FP_HTTP_FRAME_MAX ? n : FP_HTTP_FRAME_MAX;
    }
    FP_UNREACHABLE(); /* a node with nothing left is dropped at once */
}

void fp_http_queue_take(struct fp_http_queue *q, struct fp_http_batch *b, size_t n)
{
    FP_ASSERT(n <= q->bytes);
    q->bytes -= n;
    while (q->head) {
        struct fp_http_node *node = q->head;
        struct fp_str p = part(node, q->part);
        size_t here = p.len - q->off;
        if (here > n)
            here = n;
        if (here && q->part > 0 && q->part <= segments(node))
            fp_http_batch_share(b, node->chunk, p.data + q->off, here);
        else
            fp_http_batch_copy(b, p.data + q->off, here);
        q->off += here;
        n -= here;
        if (q->off < p.len)
            return;
        q->off = 0;
        if (++q->part > segments(node) + 1)
            drop_head(q);
    }
}

/* ---- what the socket refused ---- */

struct piece {
    struct fp_http_chunk *chunk;
    struct iovec iov;
};
struct fp_http_left {
    unsigned n, at;
    struct piece pieces[];
    /* own bytes follow */
};

void fp_http_left_free(struct fp_http_left **l)
{
    struct fp_http_left *x = *l;
    *l = NULL;
    for (unsigned i = 0; x && i < x->n; i++)
        fp_http_chunk_unref(&x->pieces[i].chunk);
    fp_mem_free(x);
}

static ssize_t write_some(struct fp_http_conn *c, const struct iovec *iov, size_t n)
{
    if (c->tls)
        return fp_tls_conn_writev(c->tls, iov, n);
    struct msghdr m = {.msg_iov = (struct iovec *)iov, .msg_iovlen = n};
    ssize_t rc;
    do
        rc = sendmsg(c->io.fd, &m, MSG_NOSIGNAL);
    while (rc < 0 && errno == EINTR);
    return rc < 0 ? -errno : rc;
}

/* Moves the batch's pieces from `at` on, of which `skip` bytes are sent, to c->left. */
static void keep(struct fp_http_conn *c, struct fp_http_batch *b, unsigned at, size_t skip)
{
    size_t own = 0;
    for (unsigned i = at; i < b->n; i++)
        own += b->chunk[i] ? 0 : b->iov[i].iov_len;
    unsigned n = b->n - at;
    struct fp_http_left *l = fp_mem_alloc(sizeof *l + n * sizeof(struct piece) + own);
    char *to = (char *)(l->pieces + n);
    *l = (struct fp_http_left){.n = n};
    for (unsigned i = 0; i < n; i++) {
        struct iovec v = b->iov[at + i];
        if (i == 0)
            v = (struct iovec){(char *)v.iov_base + skip, v.iov_len - skip};
        if (!b->chunk[at + i]) {
            memcpy(to, v.iov_base, v.iov_len);
            v.iov_base = to;
            to += v.iov_len;
        }
        l->pieces[i] = (struct piece){b->chunk[at + i], v};
        b->chunk[at + i] = NULL;
    }
    c->left = l;
}

int fp_http_conn_send(struct fp_http_conn *c, struct fp_http_batch *b)
{
    FP_ASSERT(!c->left);
    unsigned at = 0;
    size_t skip = 0;
    int rc = 0;
    while (at < b->n) {
        struct iovec first = b->iov[at];
        b->iov[at] = (struct iovec){(char *)first.iov_base + skip, first.iov_len - skip};
        ssize_t sent = write_some(c, b->iov + at, b->n - at);
        b->iov[at] = first;
        if (sent < 0) {
            rc = (int)sent;
            break;
        }
        size_t n = (size_t)sent + skip;
        while (at < b->n && n >= b->iov[at].iov_len)
            n -= b->iov[at++].iov_len;
        skip = n;
    }
    if (rc == -EAGAIN)
        keep(c, b, at, skip);
    fp_http_batch_clear(b);
    return rc;
}

int fp_http_conn_send_left(struct fp_http_conn *c)
{
    struct fp_http_left *l = c->left;
    while (l->at < l->n) {
        struct iovec iov[64];
        unsigned n = 0;
        for (unsigned i = l->at; i < l->n && n < 64; i++)
            iov[n++] = l->pieces[i].iov;
        ssize_t sent = write_some(c, iov, n);
        if (sent < 0)
            return (int)sent;
        c->write_ms = fp_http_now(c); /* somebody reads */
        size_t left = (size_t)sent;
        while (l->at < l->n) {
            struct piece *p = &l->pieces[l->at];
            if (left < p->iov.iov_len) {
                p->iov = (struct iovec){(char *)p->iov.iov_base + left, p->iov.iov_len - left};
                break;
            }
            left -= p->iov.iov_len;
            fp_http_chunk_unref(&p->chunk);
            l->at++;
        }
    }
    fp_http_left_free(&c->left);
    return 0;
}
