/* core_arena: alignment, zeroing, growth, children, cleanups, reset. */
#include "../lib/tap.h"
#include "core/core_arena.c"

static char order[16];
static size_t order_n;

static void note(void *arg)
{
    order[order_n++] = *(const char *)arg;
}

static void memory(void)
{
    struct fp_arena *a = fp_arena_new(NULL);
    bool aligned = true, zero = true;
    for (size_t n = 0; n < 3000; n += 7) {
        unsigned char *p = fp_arena_alloc(a, n);
        aligned &= (uintptr_t)p % ALIGN == 0;
        for (size_t i = 0; i < n; i++)
            zero &= p[i] == 0;
        memset(p, 0xee, n);
    }
    ok(aligned, "allocations are 16-aligned");
    ok(zero, "allocations are zeroed");
    size_t held = fp_arena_bytes(a);
    ok(held > 3000 * 3000 / 7 / 2, "bytes counts what is held");
    fp_arena_reset(a);
    is_int(fp_arena_bytes(a), FIRST_BYTES, "a reset keeps the first block only");
    const unsigned char *p = fp_arena_alloc(a, 64);
    zero = true;
    for (size_t i = 0; i < 64; i++)
        zero &= p[i] == 0;
    ok(zero, "zeroed after a reset too");
    fp_arena_free(&a);
    ok(a == NULL, "free sets the pointer to NULL");
    fp_arena_free(&a);
}

static void big_blocks(void)
{
    struct fp_arena *a = fp_arena_new(NULL);
    fp_arena_alloc(a, 1);
    char *big = fp_arena_alloc(a, 1 << 20), *big2 = fp_arena_alloc(a, 1 << 20);
    char *small = fp_arena_alloc(a, 16);
    memset(big, 1, 1 << 20);
    memset(big2, 2, 1 << 20);
    memset(small, 3, 16);
    ok(big[(1 << 20) - 1] == 1 && big2[0] == 2, "big blocks do not overlap");
    fp_arena_reset(a);
    is_int(fp_arena_bytes(a), FIRST_BYTES, "big blocks go at a reset");
    fp_arena_free(&a);
}

static void order_of_end(void)
{
    struct fp_arena *a = fp_arena_new(NULL), *kid = fp_arena_new(a), *grandkid = fp_arena_new(kid);
    fp_arena_cleanup(a, note, "1");
    fp_arena_cleanup(a, note, "2");
    fp_arena_cleanup(kid, note, "k");
    fp_arena_cleanup(grandkid, note, "g");
    ok(fp_arena_bytes(a) == 3 * FIRST_BYTES, "bytes includes children");
    fp_arena_reset(a);
    is_str(order, "gk21", "children end first, cleanups newest first");
    is_int(fp_arena_bytes(a), FIRST_BYTES, "children are gone after a reset");
    kid = fp_arena_new(a);
    fp_arena_cleanup(a, note, "A");
    fp_arena_free(&kid);
    is_int(fp_arena_bytes(a), FIRST_BYTES, "a child freed alone leaves its parent");
    fp_arena_free(&a);
    is_str(order, "gk21A", "cleanups run once");
}

static void strings(void)
{
    struct fp_arena *a = fp_arena_new(NULL);
    struct fp_str s = fp_arena_str(a, fp_str_n("abcdef", 3));
    ok(fp_str_eq_c(s, "abc") && s.data[3] == '\0', "str copies and ends with NUL");
    ok(!fp_arena_str(a, FP_STR_NULL).data, "absent stays absent");
    ok(fp_arena_str(a, FP_STR("")).data, "empty stays present");
    is_str(fp_arena_printf(a, "%s-%d", "x", 42), "x-42", "printf");
    is_str(fp_arena_strdup(a, "dup"), "dup", "strdup");
    ok(memcmp(fp_arena_dup(a, "a\0b", 3), "a\0b", 3) == 0, "dup takes any bytes");
    fp_arena_free(&a);
}

int main(void)
{
    memory();
    big_blocks();
    order_of_end();
    strings();
    return done_testing();
}
