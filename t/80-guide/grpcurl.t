#!/usr/bin/env python3
"""§16 "grpcurl -plaintext host:50051 list": by grpcurl, and by the same calls of grpcio's reflection client."""
import fp_guide as guide
import fp_tap as tap
import fp_xds as xds
from fp_harness import Postgres
from fp_util import find_program, need_module

ADS = "envoy.service.discovery.v3.AggregatedDiscoveryService"
MAY = {f"envoy.service.{s}" for s in (
    "discovery.v3.AggregatedDiscoveryService", "cluster.v3.ClusterDiscoveryService", "endpoint.v3.EndpointDiscoveryService",
    "listener.v3.ListenerDiscoveryService", "route.v3.RouteDiscoveryService", "secret.v3.SecretDiscoveryService",
    "route.v3.ScopedRoutesDiscoveryService", "runtime.v3.RuntimeDiscoveryService", "extension.v3.ExtensionConfigDiscoveryService",
    "route.v3.VirtualHostDiscoveryService", "status.v3.ClientStatusDiscoveryService")}
MUST = {ADS, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"}

with tap.run():
    need_module("grpc_reflection", "grpcio-reflection")
    find_program("grpcurl")
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
    from google.protobuf.descriptor_pool import DescriptorPool
    fp = guide.Instance(Postgres())
    with xds.Channel(fp.xds_port) as ch:
        database = ProtoReflectionDescriptorDatabase(ch.channel)
        services = list(database.get_services())
        tap.is_(sorted(MUST - set(services)), [], "list: ADS, health and both reflections")
        tap.is_(sorted(set(services) - MUST - MAY), [], "and nothing that section 9.1 has not")
        pool = DescriptorPool(database)
        for name in services:  # `grpcurl describe`
            tap.ok(pool.FindServiceByName(name).methods, f"describe {name}")
    out = fp.sh("grpcurl -plaintext $XDS list").split()
    tap.is_(sorted(out), sorted(services), "grpcurl -plaintext list")
    out = fp.sh(f"grpcurl -plaintext $XDS describe {ADS}")
    tap.like(out, "rpc StreamAggregatedResources", "grpcurl describe")
