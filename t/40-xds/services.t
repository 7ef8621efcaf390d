#!/usr/bin/env python3
"""Health and reflection as their users call them (contract §9.1)."""
import fp_tap as tap
import fp_util as util
import fp_xds as xds
from fp_xds_serve import XdsServe

grpc = xds.grpc
util.need_module("grpc_reflection.v1alpha.proto_reflection_descriptor_database", "grpcio-reflection")
from grpc_reflection.v1alpha import proto_reflection_descriptor_database as reflection  # noqa: E402
ADS = "envoy.service.discovery.v3.AggregatedDiscoveryService"


STATUS = {b"\x08\x01": "SERVING", b"\x08\x02": "NOT_SERVING", b"\x08\x03": "SERVICE_UNKNOWN"}


def request(service):
    """HealthCheckRequest, by hand: the message is one string."""
    return b"\x0a" + bytes([len(service)]) + service.encode()


def status(ch, service=""):
    code, answer = ch.unary("/grpc.health.v1.Health/Check", request(service))
    return STATUS[answer] if code == grpc.StatusCode.OK else code


with tap.run():
    x = XdsServe()
    with x.channel() as ch:
        tap.is_(status(ch), "NOT_SERVING", "before the first snapshot")
        watch = ch.channel.unary_stream("/grpc.health.v1.Health/Watch", request_serializer=bytes,
                                        response_deserializer=bytes)(request(""), timeout=util.patience())
        tap.is_(STATUS[next(watch)], "NOT_SERVING", "a watch says so")
        x.publish()
        tap.is_(STATUS[next(watch)], "SERVING", "and tells of the change")
        tap.is_(status(ch), "SERVING", "with a snapshot")
        tap.is_(status(ch, ADS), "SERVING", "by the name of a service")
        tap.is_(status(ch, "no.Such"), grpc.StatusCode.NOT_FOUND, "an unknown service")

        db = reflection.ProtoReflectionDescriptorDatabase(ch.channel)
        names = sorted(db.get_services())
        tap.ok({ADS, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
                "grpc.reflection.v1alpha.ServerReflection"} <= set(names), "list_services", names)
        f = db.FindFileContainingSymbol(ADS)
        tap.ok(ADS.rsplit(".", 1)[1] in [s.name for s in f.service], "the file of the ADS service", f.name)
        seen, todo = set(), [f.name]
        while todo:
            name = todo.pop()
            if name not in seen:
                seen.add(name)
                todo += db.FindFileByName(name).dependency
        tap.ok(len(seen) > 5, f"all {len(seen)} files it depends on, by name")
        for service in names:
            tap.ok(db.FindFileContainingSymbol(service), f"a description of {service}")
        try:
            db.FindFileByName("no/such/file.proto")
            tap.ok(False, "an unknown file")
        except KeyError:
            tap.ok(True, "an unknown file")

        x.drain()
        tap.is_(STATUS[next(watch)], "NOT_SERVING", "NOT_SERVING while draining")
