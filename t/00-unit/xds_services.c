/* grpc.health.v1 and server reflection (contract §9.1). */
#include "xds_fake.h"

static struct fp_buf request;

static struct fp_str with(uint32_t number, const char *text)
{
    fp_buf_clear(&request);
    fp_xds_wire_bytes(&request, number, fp_str_of(text));
    return fp_buf_str(&request);
}

/* Status in the last answer of a health call; -1 without one. */
static int health(const struct fp_grpc_call *c)
{
    struct fp_str in = fp_buf_str(&c->raw);
    struct fp_xds_field f;
    return c->sends && fp_xds_wire_next(&in, &f) > 0 ? (int)f.value : -1;
}

static int check(struct world *w, const char *service, int *status)
{
    struct fp_grpc_call *c = call_open(w, "/grpc.health.v1.Health/Check");
    deliver(c, with(1, service));
    int h = health(c);
    *status = c->status;
    hang_up(&c);
    return h;
}

static void checks(void)
{
    struct world *w = world_open(NULL);
    int status;
    struct fp_grpc_call *watch = call_open(w, "/grpc.health.v1.Health/Watch");
    struct fp_grpc_call *other = call_open(w, "/grpc.health.v1.Health/Watch");
    deliver(watch, with(1, ""));
    watch->method->on_half_close(watch, watch->user);
    deliver(other, with(1, "no.such.Service"));
    is_int(check(w, "", &status), 2, "NOT_SERVING before the first snapshot");
    is_int(status, FP_GRPC_OK, "with status OK");
    is_int(health(watch), 2, "a watch says so too");
    is_int(health(other), 3, "SERVICE_UNKNOWN on a watch");
    publish(w, "C/a=1");
    is_int(check(w, "", &status), 1, "SERVING then");
    is_int(check(w, "envoy.service.discovery.v3.AggregatedDiscoveryService", &status), 1,
           "by service name");
    check(w, "no.such.Service", &status);
    is_int(status, FP_GRPC_NOT_FOUND, "a check of an unknown service");
    is_int(health(watch), 1, "the watch is told");
    is_int(watch->sends, 2, "once");
    publish(w, "C/a=2");
    is_int(watch->sends, 2, "not again by the next generation");
    fp_xds_engine_drain(w->engine);
    is_int(health(watch), 2, "NOT_SERVING while draining");
    is_int(check(w, "", &status), 2, "for checks too");
    is_int(other->sends, 1, "the unknown one stays unknown");
    is_int(watch->status, -1, "a watch goes on after its client's half-close");
    hang_up(&watch);
    hang_up(&other);
    struct fp_grpc_call *bad = call_open(w, "/grpc.health.v1.Health/Check");
    deliver(bad, FP_STR("\x0a\x09x"));
    is_int(bad->status, FP_GRPC_INVALID_ARGUMENT, "a broken request");
    hang_up(&bad);
    world_close(&w);
}

static struct fp_str reflect(struct fp_grpc_call *c, uint32_t number, const char *text,
                             uint32_t expect)
{
    deliver(c, with(number, text));
    return field_of(fp_buf_str(&c->raw), expect);
}

static void reflection(const char *path)
{
    struct world *w = world_open(NULL);
    struct fp_grpc_call *c = call_open(w, path);
    struct fp_str services = reflect(c, 7, "", 6), all = services;
    struct fp_xds_field f;
    int found = 0, n = 0;
    while (fp_xds_wire_next(&all, &f) > 0) {
        n++;
        found += fp_str_eq_c(field_of(f.bytes, 1),
                             "envoy.service.discovery.v3.AggregatedDiscoveryService");
    }
    ok(found == 1 && n >= 4, "list_services names ADS among %d", n);
    struct fp_str original = field_of(fp_buf_str(&c->raw), 2);
    ok(fp_str_eq(original, with(7, "")), "the request comes back");
    struct fp_str files = reflect(c, 3, "known.proto", 4);
    ok(fp_str_eq_c(field_of(files, 1), "file bytes"), "file_by_filename");
    files = reflect(c, 4, "known.Symbol", 4);
    ok(fp_str_eq_c(field_of(files, 1), "file of the symbol"), "file_containing_symbol");
    struct fp_str error = reflect(c, 4, "unknown", 7);
    ok(fp_xds_wire_next(&error, &f) > 0 && f.value == FP_GRPC_NOT_FOUND, "NOT_FOUND");
    error = reflect(c, 6, "known.Symbol", 7);
    ok(fp_xds_wire_next(&error, &f) > 0 && f.value == FP_GRPC_NOT_FOUND, "no extensions");
    error = reflect(c, 1, "host", 7);
    ok(fp_xds_wire_next(&error, &f) > 0 && f.value == FP_GRPC_INVALID_ARGUMENT, "no question");
    deliver(c, FP_STR("\x3a\x7f"));
    is_int(c->status, FP_GRPC_INVALID_ARGUMENT, "a broken request ends the stream");
    hang_up(&c);
    world_close(&w);
}

int main(void)
{
    checks();
    reflection("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo");
    reflection("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo");
    fp_buf_fini(&request);
    return done_testing();
}
