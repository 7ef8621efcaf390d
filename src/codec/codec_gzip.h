/* gzip for response bodies (contract §2.1). */
#pragma once
#include "core/core_buf.h"

int fp_gzip(struct fp_buf *out, struct fp_str in); /* appends; 0 or negative enum fp_err */
