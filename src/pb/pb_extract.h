/*
 * The descriptors inside a program: code made by protoc carries a serialized FileDescriptorProto
 * for each file it was made of, and Envoy's has all of its API.  For ctl.
 */
#pragma once
#include "core/core_arena.h"
#include "core/core_buf.h"

struct fp_pb_extracted {
    size_t files_n;
    const char *missing; /* a file that was left out and why: an import is not there; or NULL */
    size_t missing_n;
};
/*
 * Appends a google.protobuf.FileDescriptorSet of all files found in `program`, each after what it
 * imports; the same program gives the same bytes.  0, FP_ERR_NOT_FOUND: none is in it,
 * FP_ERR_LIMIT: too many, or too much that looks like one.  `a` keeps texts of *out.
 */
int fp_pb_extract(struct fp_str program, struct fp_arena *a, struct fp_buf *set,
                  struct fp_pb_extracted *out);
