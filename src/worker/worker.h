/* The worker process: one loop for REST and gRPC, wiring of all rooms, drain. */
#pragma once
#include "conf/conf_child.h"
#include "obs/obs_export.h"
int fp_worker_run(struct fp_child *c);
/* The exporter of this process, also of the watcher; NULL: tracing is off. */
struct fp_export *fp_worker_traces_open(struct fp_loop *loop, const struct fp_conf *c);
