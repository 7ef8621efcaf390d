/* The route table for tests, a line a route: method, pattern, scope resource, action, flags; "-" is
 * none. */
#include <stdio.h>
#include "../../src/api/api_routes.c"

int main(void)
{
    for (size_t i = 0; i < ROUTES_N; i++) {
        const struct fp_api_route *r = &routes[i];
        printf("%s %s %s %s %s%s%s\n", r->method, r->pattern, r->resource ? r->resource : "-",
               r->action ? r->action : "-", r->flags & API_PUBLIC ? "p" : "",
               r->flags & API_BODY ? "b" : "", r->flags & API_ALIAS ? "a" : ".");
    }
    return 0;
}
