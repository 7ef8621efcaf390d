/* What this process uses, from /proc/self.  Runs in any process; a few small reads, for metrics. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include "os/os_process.h"

/* "VmRSS:     1234 kB" */
static uint64_t kb_of(const char *text, const char *key)
{
    const char *p = strstr(text, key);
    return p ? strtoull(p + strlen(key), NULL, 10) * 1024 : 0;
}

static void read_text(const char *path, char *out, size_t n)
{
    FILE *f = fopen(path, "re");
    size_t got = f ? fread(out, 1, n - 1, f) : 0;
    out[got] = '\0';
    if (f)
        fclose(f);
}

static unsigned count_fds(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n > 3 ? n - 3 : 0; /* ., .. and the directory itself */
}

void fp_process_usage(struct fp_process_usage *u)
{
    char text[4096];
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    u->cpu_s = (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
               (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
    read_text("/proc/self/status", text, sizeof(text));
    u->resident_bytes = kb_of(text, "VmRSS:");
    u->virtual_bytes = kb_of(text, "VmSize:");
    read_text("/proc/self/smaps_rollup", text, sizeof(text));
    u->proportional_bytes = kb_of(text, "\nPss:");
    u->fds = count_fds();
}
