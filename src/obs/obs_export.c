/*
 * Batches: each collector has its own queue of spans, already in its form, bounded in number and
 * bytes.  A full queue drops and counts.  Runs in workers and the watcher, on the loop; never
 * blocks, and nobody waits for it.
 */
#include "obs/obs_export.h"
#include <inttypes.h>
#include "core/core_err.h"
#include "core/core_log.h"
#include "core/core_mem.h"
#include "obs/obs_export_int.h"
#include "obs/obs_metric.h"

#define QUEUE_SPANS  2048
#define QUEUE_BYTES  (1u << 20)
#define BATCH_SPANS  512 /* go at once */
#define BATCH_MS     1000
#define POST_MS      5000
#define RETRY_MIN_MS 1000
#define RETRY_MAX_MS 30000
#define TRIES_MAX    8 /* of a batch that the collector is there for, but does not take */

struct collector {
    struct fp_export *x;
    const struct export_form *form;
    struct export_url url;
    unsigned addr; /* the one in use */
    struct export_post post;
    struct fp_timer timer; /* the next batch, or the next try */
    struct fp_buf queue;   /* spans in their form */
    unsigned queue_n;
    struct fp_buf batch; /* the request under way, kept until it is taken */
    unsigned batch_n, tries_n;
    uint64_t retry_ms; /* 0: the last one was taken */
};

struct fp_export {
    struct fp_loop *loop;
    char *service_name, *instance_id;
    struct collector collectors[2];
    unsigned collectors_n;
    struct fp_timer linger;
    bool closing;
};

static void drop(unsigned n)
{
    fp_metric_add(FP_METRIC_SPANS_DROPPED, 0, 0, 0, n);
}

static void compose(struct collector *c)
{
    struct fp_buf body = {0};
    c->form->head(&body, c->x->service_name, c->x->instance_id, c->queue_n);
    fp_buf_append_str(&body, fp_buf_str(&c->queue));
    c->form->tail(&body);
    fp_buf_clear(&c->batch);
    fp_buf_printf(&c->batch,
                  "POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: flowplane\r\nContent-Type: %s\r\n"
                  "Content-Length: %zu\r\nConnection: close\r\n\r\n",
                  c->url.path, c->url.host, c->form->content_type, body.len);
    fp_buf_append_str(&c->batch, fp_buf_str(&body));
    fp_buf_fini(&body);
    c->batch_n = c->queue_n;
    c->tries_n = 0;
    c->queue_n = 0;
    fp_buf_clear(&c->queue);
}

static void go(struct fp_timer *t)
{
    struct collector *c = t->arg;
    if (c->post.busy)
        return;
    if (!c->batch_n && c->queue_n)
        compose(c);
    if (c->batch_n)
        obs_post_start(&c->post, &c->url.addrs[c->addr], fp_buf_str(&c->batch));
}

static bool idle(const struct fp_export *x)
{
    for (unsigned i = 0; i < x->collectors_n; i++)
        if (x->collectors[i].batch_n || x->collectors[i].queue_n)
            return false;
    return true;
}

/* Told once when it begins to fail and once when it works again. */
static void tell(struct collector *c, int status)
{
    bool taken = status >= 200 && status < 300, failing = c->retry_ms != 0;
    if (taken && failing)
        fp_log_info(FP_LOG_OTEL, "%s: spans are taken again", c->form->name);
    else if (!taken && !failing && status > 0)
        fp_log_warn(FP_LOG_OTEL, "%s: %s answers %d; spans are lost", c->form->name, c->url.host,
                    status);
    else if (!taken && !failing)
        fp_log_warn(FP_LOG_OTEL, "%s: %s: %s; spans are lost when the queue is full", c->form->name,
                    c->url.host, fp_err_text(status));
}

static void forget_batch(struct collector *c)
{
    c->batch_n = 0;
    fp_buf_fini(&c->batch); /* a big one must not stay */
}

/* Not now, as opposed to never. */
static bool later(int status)
{
    return status < 0 || status == 408 || status == 429 || status >= 500;
}

static void on_done(int status, void *arg)
{
    struct collector *c = arg;
    bool taken = status >= 200 && status < 300;
    if (status < 0 && c->addr + 1 < c->url.addrs_n) { /* "localhost" is ::1 first */
        c->addr++;
        fp_timer_start(c->x->loop, &c->timer, 0);
        return;
    }
    tell(c, status);
    if (taken) {
        forget_batch(c);
        c->retry_ms = 0;
    } else {
        c->addr = status < 0 ? 0 : c->addr;
        if (!later(status) || (status > 0 && ++c->tries_n == TRIES_MAX)) {
            drop(c->batch_n);
            forget_batch(c);
        }
        c->retry_ms = c->retry_ms ? c->retry_ms * 2 : RETRY_MIN_MS;
        if (c->retry_ms > RETRY_MAX_MS)
            c->retry_ms = RETRY_MAX_MS;
    }
    if (c->x->closing && (!taken || idle(c->x)))
        fp_loop_stop(c->x->loop);
    else if (c->batch_n || c->queue_n)
        fp_timer_start(c->x->loop, &c->timer,
                       c->retry_ms                                  ? c->retry_ms
                       : c->queue_n >= BATCH_SPANS || c->x->closing ? 0
                                                                    : BATCH_MS);
}

static void take(struct collector *c, const struct fp_span *s)
{
    if (c->queue_n == QUEUE_SPANS || c->queue.len >= QUEUE_BYTES) {
        drop(1);
        return;
    }
    if (c->queue_n)
        fp_buf_append_c(&c->queue, c->form->between);
    c->form->span(&c->queue, s);
    c->queue_n++;
    if (c->post.busy)
        return;
    if (c->queue_n == BATCH_SPANS && !c->retry_ms)
        fp_timer_start(c->x->loop, &c->timer, 0);
    else if (!fp_timer_running(&c->timer))
        fp_timer_start(c->x->loop, &c->timer, c->retry_ms ? c->retry_ms : BATCH_MS);
}

static void on_span(const struct fp_span *s, void *arg)
{
    struct fp_export *x = arg;
    for (unsigned i = 0; i < x->collectors_n; i++)
        take(&x->collectors[i], s);
}

static void add(struct fp_export *x, const char *url, const struct export_form *form)
{
    struct collector *c = &x->collectors[x->collectors_n];
    if (!url)
        return;
    const char *why = obs_url_open(&c->url, url, form);
    if (why) {
        fp_log_error(FP_LOG_OTEL, "%s: no spans go to %s: %s", form->name, url, why);
        return;
    }
    c->x = x;
    c->form = form;
    c->post.loop = x->loop;
    c->post.done = on_done;
    c->post.arg = c;
    c->post.timeout_ms = POST_MS;
    c->timer = (struct fp_timer){.cb = go, .arg = c};
    x->collectors_n++;
}

struct fp_export *fp_export_open(struct fp_loop *loop, const struct fp_export_options *o)
{
    struct fp_export *x = fp_mem_zalloc(sizeof(*x));
    x->loop = loop;
    x->service_name = fp_mem_strdup(o->service_name);
    x->instance_id = fp_mem_strdup(o->instance_id);
    add(x, o->otlp_endpoint, &obs_export_otlp);
    add(x, o->jaeger_endpoint, &obs_export_jaeger);
    /* without a collector the context is still joined, answered and stored */
    fp_spans_set(on_span, x, o->ratio);
    return x;
}

static void on_linger(struct fp_timer *t)
{
    struct fp_export *x = t->arg;
    fp_loop_stop(x->loop);
}

void fp_export_close(struct fp_export **xp, uint64_t linger_ms)
{
    struct fp_export *x = *xp;
    if (!x)
        return;
    *xp = NULL;
    fp_spans_set(NULL, NULL, 0);
    x->closing = true;
    if (linger_ms && !idle(x)) {
        x->linger = (struct fp_timer){.cb = on_linger, .arg = x};
        fp_timer_start(x->loop, &x->linger, linger_ms);
        for (unsigned i = 0; i < x->collectors_n; i++)
            if (!x->collectors[i].retry_ms)
                fp_timer_start(x->loop, &x->collectors[i].timer, 0);
        fp_loop_run(x->loop);
        fp_timer_stop(&x->linger);
    }
    for (unsigned i = 0; i < x->collectors_n; i++) {
        struct collector *c = &x->collectors[i];
        drop(c->batch_n + c->queue_n);
        obs_post_stop(&c->post);
        fp_timer_stop(&c->timer);
        fp_buf_fini(&c->queue);
        fp_buf_fini(&c->batch);
    }
    fp_mem_free(x->service_name);
    fp_mem_free(x->instance_id);
    fp_mem_free(x);
}
