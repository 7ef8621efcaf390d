/* Digests, constant-time comparison, hex, UUID, base64. */
#pragma once
#include "core/core_arena.h"
#include "core/core_buf.h"

#define FP_SHA256_BYTES    32
#define FP_UUID_TEXT_BYTES 37

void fp_sha256(const void *p, size_t n, uint8_t out[FP_SHA256_BYTES]);
bool fp_equal_ct(const void *a, const void *b, size_t n);
void fp_hex(char *out /* 2n + 1 bytes */, const void *p, size_t n); /* lower case */
bool fp_unhex(void *out, struct fp_str hex); /* out holds hex.len / 2 bytes */
void fp_uuid_v4(char out[FP_UUID_TEXT_BYTES]);
bool fp_uuid_is(struct fp_str s); /* 8-4-4-4-12 hex digits, any case */
void fp_base64_encode(struct fp_buf *out, const void *p, size_t n);
bool fp_base64_decode(struct fp_buf *out,
                      struct fp_str s); /* standard and URL alphabet, padding optional */
