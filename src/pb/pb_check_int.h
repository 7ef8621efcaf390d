/* Validate rules on values, while the encoder visits them; every broken one is a problem. */
#pragma once
#include "pb/pb_encode_int.h"
#include "pb/pb_rules_int.h"

/* One value of the field: a scalar that was parsed, or a default one that was not given. */
void fp_pb_check_scalar(struct fp_pb_enc *e, const struct fp_pb_field *f,
                        const struct fp_pb_scalar *s, const struct fp_pb_at *at);
/* One message of the field: its bytes are those written since the mark. */
void fp_pb_check_written(struct fp_pb_enc *e, const struct fp_pb_field *f, size_t mark,
                         const struct fp_pb_at *at);
/* A list or map of n; `mark` is before its first byte, SIZE_MAX: there are no bytes to compare. */
void fp_pb_check_list(struct fp_pb_enc *e, const struct fp_pb_field *f, size_t n, size_t mark,
                      const struct fp_pb_at *at);
/* While loading: whether a message without the field breaks a rule of it (FP_PB_NEEDED). */
bool fp_pb_check_is_needed(const struct fp_pb_pool *p, const struct fp_pb_field *f);
/* What is missing in a message: fields and oneofs that are not among the slots from `first` on. */
void fp_pb_check_absent(struct fp_pb_enc *e, const struct fp_pb_message *m, size_t first,
                        const struct fp_pb_at *at);

/* pb_check_text.c: whether a string is what the rule's word says. */
bool fp_pb_check_word(uint8_t op, struct fp_str s);
bool fp_pb_check_header(uint64_t well_known, struct fp_str s);
size_t fp_pb_check_code_points(struct fp_str s);
