/*
 * The trace exporter of a process: takes the spans that end (obs_span.h) and sends them in batches
 * to the collectors, on the loop.  What a collector cannot take in time is dropped and counted.
 */
#pragma once
#include "event/event_loop.h"

struct fp_export;
struct fp_export_options {
    const char *service_name, *instance_id;
    const char *otlp_endpoint, *jaeger_endpoint; /* http:// URLs; NULL: none */
    double ratio;                                /* share of new traces, 0..1 */
};
/* Before the loop runs: asks the resolver, which may block.  Tracing is on from here; strings of
 * the options are copied. */
struct fp_export *fp_export_open(struct fp_loop *loop, const struct fp_export_options *o);
/* After the loop has ended: tracing is off.  Runs the loop for at most linger_ms to send the rest.
 * NULL is fine. */
void fp_export_close(struct fp_export **x, uint64_t linger_ms);
