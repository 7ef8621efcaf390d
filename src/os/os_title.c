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
    size_t size; /* 0: no title_init, title_set does nothing */
} area;

/* The strings lie back to back; one that does not was put elsewhere, and ends the area. */
static char *move(char **strings, char *end)
{
    for (; *strings; strings++) {
        if (*strings == end)
            end += strlen(*strings) + 1;
        *strings = fp_mem_strdup(*strings);
    }
    return end;
}

void fp_process_title_init(int argc, char **argv)
{
    if (argc < 1 || area.size)
        return;
    char *end = argv[0], *argv_end;
    area.start = argv[0];
    argv_end = end = move(argv, end);
    size_t n = 0;
    while (environ[n])
        n++;
    char **copy = fp_mem_calloc(n + 1, sizeof(*copy));
    memcpy(copy, environ, n * sizeof(*copy));
    end = move(copy, end);
    memset(argv_end, 0, (size_t)(end - argv_end)); /* /proc/PID/environ must not show secrets */
    environ = copy;
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
