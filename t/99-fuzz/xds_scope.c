/* Node metadata and certificate names (contract §9.4): any bytes from a client. */
#include <stdint.h>
#include <stdlib.h>
#include "core/core_mem.h"
#include "xds/xds_scope_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct fp_xds_scopes pool = {0};
    struct fp_xds_scope *a = NULL, *b = NULL;
    struct fp_str in = fp_str_n(data, n);
    struct fp_str team = fp_xds_scope_san_team("spiffe://d/{team}/x", in);
    for (size_t i = 0; i < team.len; i++)
        if (strchr("/.:", team.data[i]))
            abort();
    (void)fp_xds_scope_claimed_team(in);
    if (fp_xds_scope_of(&pool, in, team, &a) == 0) {
        if (fp_xds_scope_of(&pool, in, team, &b) || a != b)
            abort(); /* equal scopes are equal pointers */
        for (uint32_t i = 1; i < a->listeners_n; i++)
            if (fp_str_cmp(a->listeners[i - 1], a->listeners[i]) >= 0)
                abort();
    }
    fp_xds_scope_unref(&a);
    fp_xds_scope_unref(&b);
    fp_xds_scopes_fini(&pool);
    return 0;
}
