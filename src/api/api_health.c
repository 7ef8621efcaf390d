/* Liveness and readiness (contract §11.1).  Runs in workers; needs no token and no database. */
#include "api/api_int.h"

void api_health(struct fp_api_call *c)
{
    api_respond(c, 200, NULL, FP_STR("{\"status\":\"ok\"}"));
}

void api_ready(struct fp_api_call *c)
{
    const char *reason = NULL;
    if (atomic_load(&c->api->o.page->draining))
        reason = "draining";
    else if (!c->api->snap)
        reason = "no snapshot yet";
    if (!reason) {
        api_respond(c, 200, NULL, FP_STR("{\"status\":\"ok\"}"));
        return;
    }
    api_respond(c, 503, NULL,
                fp_str_of(fp_arena_printf(c->r->arena, "{\"status\":\"unready\",\"reason\":\"%s\"}",
                                          reason)));
}
