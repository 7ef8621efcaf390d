/* The only caller of malloc.  All processes.  Never returns NULL: out of memory aborts. */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "core/core_mem.h"

#define FREE_MAX (1u << 20) /* less is not worth the page faults */

/* No log here: the log allocates.  A plain write(2) of a constant is all that can still work. */
static _Noreturn void die(void)
{
    static const char text[] = "flowplane: out of memory\n";
    if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0) {
        /* nothing is left to try */
    }
    abort();
}

void *fp_mem_alloc(size_t n)
{
    void *p = malloc(n ? n : 1);
    if (!p)
        die();
    return p;
}

void *fp_mem_zalloc(size_t n)
{
    return fp_mem_calloc(1, n);
}

void *fp_mem_calloc(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size ? size : 1); /* checks the product itself */
    if (!p)
        die();
    return p;
}

void *fp_mem_realloc(void *p, size_t n)
{
    void *q = realloc(p, n ? n : 1);
    if (!q)
        die();
    return q;
}

char *fp_mem_strdup(const char *s)
{
    return fp_mem_dup(s, strlen(s) + 1);
}

void *fp_mem_dup(const void *p, size_t n)
{
    void *q = fp_mem_alloc(n);
    if (n)
        memcpy(q, p, n);
    return q;
}

void fp_mem_free(void *p)
{
    free(p);
}

/* The allocator returns by itself only what lies at the end of its heap, and learns from large
 * requests to keep more. */
void fp_mem_give_back(void)
{
#ifdef __GLIBC__
    if (mallinfo2().fordblks > FREE_MAX)
        malloc_trim(0);
#endif
}
