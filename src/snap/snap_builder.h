/* Builds one generation into a sealed segment.  Watcher only; never serves. */
#pragma once
#include "snap/snap_format.h"

struct fp_snap_builder;
struct fp_snap_builder *fp_snap_builder_new(void);
void fp_snap_builder_free(struct fp_snap_builder **b);
/* Copies everything.  FP_ERR_INVALID when the name is already there (rule E-10), else 0. */
int fp_snap_builder_add(struct fp_snap_builder *b, enum fp_kind kind,
                        const struct fp_snap_entry *e);
/* The same without a copy: everything that e points at lives until finish. */
int fp_snap_builder_lend(struct fp_snap_builder *b, enum fp_kind kind,
                         const struct fp_snap_entry *e);
bool fp_snap_builder_has(const struct fp_snap_builder *b, enum fp_kind kind, struct fp_str name);
/* Writes and seals the segment; *fd is the caller's.  The builder may only be freed then. */
int fp_snap_builder_finish(struct fp_snap_builder *b, const struct fp_snap_meta *meta, int *fd);
