/* The configuration file: any bytes end in a configuration or in errors, never in a crash or exit.
 */
#include <unistd.h>
#include "conf/conf.h"
#include "os/os_memfd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char path[64];
    struct fp_memfd m;
    if (n == 0 || n > 65536 || fp_memfd_create(&m, "fuzz", n) < 0)
        return 0;
    memcpy(m.map, data, n);
    snprintf(path, sizeof path, "/proc/self/fd/%d", m.fd);
    FILE *err = fopen("/dev/null", "w");
    struct fp_conf *c = fp_conf_load(&(struct fp_conf_sources){.file = path}, err);
    if (c) {
        fp_conf_print(c, err);
        fp_conf_free(&c);
    }
    fclose(err);
    fp_memfd_abort(&m);
    return 0;
}
