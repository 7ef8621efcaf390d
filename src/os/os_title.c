/*
 * The process title: ps(1) shows the memory where the kernel put argv and, behind it, the
 * environment.  Both move to the heap, the old memory becomes the title.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "core/core_mem.h"
#include "os/os_process.h"

static struct {
    char *start;
    size_t size;               /* 0: no title_init, title_set does nothing */
    char **pointers, *strings; /* where the environment and all strings live now, for ever */
} area;

static size_t bytes_of(char **strings, size_t *n)
{
    size_t bytes = 0;
    for (*n = 0; strings[*n]; ++*n)
        bytes += strlen(strings[*n]) + 1;
    return bytes;
}

/*
 * Copies the strings to `to`, which moves on.  Returns where the old ones end: they lie back to
 * back, and one that does not was put elsewhere.
 */
static char *move(char **strings, char *end, char **to)
{
    for (; *strings; strings++) {
        size_t n = strlen(*strings) + 1;
        if (*strings == end)
            end += n;
        *strings = memcpy(*to, *strings, n);
        *to += n;
    }
    return end;
}

void fp_process_title_init(int argc, char **argv)
{
    size_t argv_n, env_n;
    if (argc < 1 || area.size)
        return;
    size_t argv_bytes = bytes_of(argv, &argv_n);
    area.strings = fp_mem_alloc(argv_bytes + bytes_of(environ, &env_n));
    area.pointers = fp_mem_dup(environ, (env_n + 1) * sizeof(*environ));
    area.start = argv[0];
    char *to = area.strings;
    char *argv_end = move(argv, area.start, &to), *end = move(area.pointers, argv_end, &to);
    memset(argv_end, 0, (size_t)(end - argv_end)); /* /proc/PID/environ must not show secrets */
    environ = area.pointers;
    area.size = (size_t)(end - area.start);
}

void fp_process_title_set(const char *fmt, ...)
{
    va_list ap;
    if (area.size < 2)
        return;
    va_start(ap, fmt);
    int n = vsnprintf(area.start, area.size, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < area.size)
        memset(area.start + n, 0, area.size - (size_t)n);
}
