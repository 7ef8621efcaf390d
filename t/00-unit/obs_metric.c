/* Metrics: counted in shared memory, summed over slots, written as Prometheus text 0.0.4. */
#include "obs/obs_metric.c"
#include "obs/obs_metric_text.c"
#include <sys/wait.h>
#include <unistd.h>
#include "tap.h"

static const char *const list[] = {"GET", "POST", NULL};
static const struct fp_metric_names names = {list, list, list, list};

static bool has(struct fp_metrics *m, const char *line)
{
    struct fp_buf b = {0};
    fp_metrics_write(&b, m, "fp", &names);
    bool found = strstr(fp_buf_cstr(&b), line) != NULL;
    if (!found)
        diag("no %s", line);
    fp_buf_fini(&b);
    return found;
}

static void counters(struct fp_metrics *m)
{
    fp_metrics_bind(m, 0);
    fp_metric_add(FP_METRIC_HTTP_REQUESTS, 0, 1, 200, 1);
    fp_metric_add(FP_METRIC_HTTP_REQUESTS, 0, 1, 200, 2);
    fp_metric_add(FP_METRIC_HTTP_REQUESTS, 9, UINT16_MAX, 404, 1);
    if (fork() == 0) {
        fp_metrics_bind(m, 1);
        fp_metric_add(FP_METRIC_HTTP_REQUESTS, 0, 1, 200, 4);
        _exit(0);
    }
    wait(NULL);
    ok(has(m,
           "http_requests_total{service=\"fp\",method=\"GET\",path=\"POST\",status=\"200\"} 7\n"),
       "slots are summed, and outlive their process");
    ok(has(m, "http_requests_total{service=\"fp\",method=\"other\",path=\"other\",status=\"404\"} "
              "1\n"),
       "numbers beyond the lists are other");
    ok(has(m, "flowplane_xds_stale_nonces_total{service=\"fp\"} 0\n"), "what never happened is 0");
    ok(has(m, "# TYPE http_requests_total counter\n"), "TYPE");
}

static void histograms(struct fp_metrics *m)
{
    fp_metric_observe_ns(FP_METRIC_HTTP_DURATION, 0, 0, 500000);        /* 0.5 ms */
    fp_metric_observe_ns(FP_METRIC_HTTP_DURATION, 0, 0, 1000000);       /* 1 ms: le is inclusive */
    fp_metric_observe_ns(FP_METRIC_HTTP_DURATION, 0, 0, 2000000000);    /* 2 s */
    fp_metric_observe_ns(FP_METRIC_HTTP_DURATION, 0, 0, 1000000000000); /* beyond all bounds */
    ok(has(m, "http_request_duration_seconds_bucket{service=\"fp\",method=\"GET\",path=\"GET\",le="
              "\"0.001\"} 2\n"),
       "le 0.001");
    ok(has(m, ",le=\"2.5\"} 3\n"), "buckets are cumulative");
    ok(has(m, ",le=\"+Inf\"} 4\n"), "+Inf is all");
    ok(has(m,
           "http_request_duration_seconds_count{service=\"fp\",method=\"GET\",path=\"GET\"} 4\n"),
       "count");
    ok(has(m, "http_request_duration_seconds_sum{service=\"fp\",method=\"GET\",path=\"GET\"} "
              "1002.0015\n"),
       "sum in seconds");
}

static void bounded(struct fp_metrics *m)
{
    for (unsigned i = 0; i < 3 * METRIC_SERIES; i++)
        fp_metric_add(FP_METRIC_DB_QUERIES, i & 0xff, i >> 8, 0, 1);
    ok(atomic_load(&m->slots[0].lost) > 0, "a full table counts what it cannot hold, and goes on");
    fp_metrics_bind(NULL, 0);
    fp_metric_add(FP_METRIC_HTTP_REQUESTS, 0, 1, 200, 1);
    ok(true, "unbound: counted nowhere");
}

int main(void)
{
    struct fp_metrics *m = fp_metrics_new();
    counters(m);
    histograms(m);
    bounded(m);
    return done_testing();
}
