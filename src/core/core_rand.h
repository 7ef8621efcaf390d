/* Randomness.  Secrets and ids come from the kernel; jitter may use the cheap generator. */
#pragma once
#include <stddef.h>
#include <stdint.h>

void fp_rand_bytes(void *out, size_t n); /* getrandom(2); aborts when it fails */
uint64_t fp_rand_u64(void);              /* cheap, seeded from the kernel, fork-safe */
uint64_t fp_rand_below(uint64_t n);      /* kernel, without modulo bias, n > 0 */
void fp_rand_alnum(char *out, size_t n); /* n of A-Z a-z 0-9, from the kernel; no NUL */
uint64_t fp_rand_jitter(uint64_t base, unsigned percent); /* base ± percent, cheap */
