/* OpenSSL's buffers come from blocks of their own and their memory goes back. */
#include "tls/tls_memory.c"
#include "os/os_process.h"
#include "tap.h"

enum { MANY = 5000, SIZE = 17000 };

int main(void)
{
    static void *at[MANY];
    char *a = allocate(SIZE, "", 0), *b = allocate(SIZE, "", 0);
    ok(fp_blocks_has(&blocks, a) && fp_blocks_has(&blocks, b) && a != b && (uintptr_t)b % 16 == 0,
       "blocks");
    void *small = allocate(100, "", 0);
    ok(!fp_blocks_has(&blocks, small), "small ones are the heap's");
    release(small, "", 0);
    release(a, "", 0);
    ok(allocate(SIZE, "", 0) == a, "the last one given back is the next");
    memset(a, 'x', SIZE);
    ok(resize(a, 20000, "", 0) == a, "it grows in place");
    char *big = resize(a, 40000, "", 0);
    ok(!fp_blocks_has(&blocks, big) && big[0] == 'x' && big[SIZE - 1] == 'x',
       "or moves to the heap");
    release(big, "", 0);
    release(b, "", 0);
    release(NULL, "", 0);
    ok(!allocate(0, "", 0) && !resize(NULL, 0, "", 0), "nothing is nothing");
    char *grown = resize(NULL, SIZE, "", 0);
    ok(fp_blocks_has(&blocks, grown) && !resize(grown, 0, "", 0), "as realloc");

    unsigned of_heap = 0;
    for (int i = 0; i < MANY; i++) {
        at[i] = allocate(SIZE, "", 0);
        memset(at[i], i, SIZE);
        of_heap += !fp_blocks_has(&blocks, at[i]);
    }
    is_int(of_heap, MANY - (int)BLOCKS_N, "what is too much is the heap's");
    struct fp_process_usage full, after;
    fp_process_usage(&full);
    for (int i = 0; i < MANY; i++)
        release(at[i], "", 0);
    fp_process_usage(&after);
    ok(full.proportional_bytes - after.proportional_bytes >
           (uint64_t)(BLOCKS_N - blocks.resident_n) * SIZE / 2,
       "their memory goes back");
    for (int i = 0; i < 100; i++)
        at[i] = allocate(SIZE, "", 0);
    ok(((char *)at[99])[5] == 0, "and is fresh");
    for (int i = 0; i < 100; i++)
        release(at[i], "", 0);
    fp_tls_memory_init();
    void *p = OPENSSL_malloc(SIZE);
#ifndef __SANITIZE_ADDRESS__
    ok(fp_blocks_has(&blocks, p), "OpenSSL uses them");
#endif
    OPENSSL_free(p);
    return done_testing();
}
