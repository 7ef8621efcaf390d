/* The worker process: one loop for REST and gRPC, wiring of all rooms, drain. */
#pragma once
#include "conf/conf_child.h"
int fp_worker_run(struct fp_child *c);
