#!/usr/bin/env python3
"""What contract §5.2.2, §5.2.3, §5.4.5, §5.8 and §5.9 derive: discovery, TLS, endpoint sets, the stored shape, raw, references."""
import fp_model
import fp_tap as tap
from fp_model import at, put

C = fp_model.CLUSTER
CTX = "transportSocket.typedConfig"
EDS = {"edsConfig": {"ads": {}, "resourceApiVersion": "V3"}}


def cluster(model, endpoints=None, **more):
    body = dict({"name": "c"}, **more)
    if endpoints is not None:
        body["endpoints"] = endpoints
    r = model.parse("cluster", body)
    if not r["ok"]:
        tap.diag(r["problems"])
    return r


def check_discovery(model):
    for endpoints, more, want in (
            (["10.0.0.1:1"], {}, "EDS"), (["10.0.0.1:1", "[::1]:1"], {}, "EDS"), (["a.test:1"], {}, "LOGICAL_DNS"),
            (["a.test:1", "10.0.0.1:1"], {}, "STRICT_DNS"), (["a.test:1", "b.test:1"], {}, "STRICT_DNS"),
            (["10.0.0.1:1"], {"type": "STATIC"}, "STATIC"), (["10.0.0.1:1"], {"type": "LOGICAL_DNS"}, "LOGICAL_DNS"),
            (None, {"type": "EDS"}, "EDS")):
        r = cluster(model, endpoints, **more)
        tap.is_(at(r["elements"][0], "type"), want, f"§5.2.2: {endpoints} {more} is {want}")
        tap.is_("loadAssignment" in r["elements"][0], want != "EDS", "  and the endpoints are where they belong")
        tap.ok("type" in more or "type" not in r["response"]["config"], "  a derived type is not echoed")


def check_sets(model):
    r = cluster(model, ["10.0.0.1:1"], serviceName="label")
    tap.is_(at(r["elements"][0], "edsClusterConfig"), EDS, "a derived set is called like the cluster, the label apart")
    tap.is_(r["elements"][1]["clusterName"], "c", "and generated beside it")
    tap.is_(r["refs"], [["endpoint", "c", None]], "and referred to")
    tap.is_(r["response"]["serviceName"], "label", "the label is in the response")
    r = cluster(model, ["10.0.0.1:1"], serviceName="set", type="EDS")
    tap.is_(at(r["elements"][0], "edsClusterConfig.serviceName"), "set", "type EDS: the set is called like the service")
    tap.is_((len(r["elements"]), r["elements"][1]["clusterName"]), (2, "set"), "and generated under that name")
    r = cluster(model, type="EDS", serviceName="set")
    tap.is_((len(r["elements"]), [x[:2] for x in r["refs"]]), (1, [["endpoint", "set"]]), "without endpoints the set is a row of that name")
    r = cluster(model, type="EDS", serviceName="c")
    tap.is_(at(r["elements"][0], "edsClusterConfig"), EDS, "serviceName is sent only where it differs")
    one, two = cluster(model, ["10.0.0.1:1"]), cluster(model, ["10.0.0.1:1", "10.0.0.2:1"])
    tap.is_(one["elements"][0], two["elements"][0], "a change of endpoints leaves the Cluster message alone")
    spread = cluster(model, [{"host": "10.0.0.1", "port": 1, "locality": {"zone": "a"}}, {"host": "10.0.0.2", "port": 1},
                             {"host": "10.0.0.3", "port": 1, "locality": {"zone": "a"}},
                             {"host": "10.0.0.4", "port": 1, "locality": {"zone": "a"}, "priority": 1}])
    tap.is_([(at(g, "locality.zone"), g.get("priority"), len(g["lbEndpoints"])) for g in spread["elements"][1]["endpoints"]],
            [("a", None, 2), (None, None, 1), ("a", 1, 1)], "endpoints are grouped by locality and priority")


def check_tls(model):
    r = cluster(model, ["a.test:443"])
    tap.is_(at(r["elements"][0], CTX), {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                                        "sni": "a.test", "commonTlsContext": {}}, "§5.2.3: port 443 alone: TLS, not verified")
    tap.is_([w[:2] for w in r["warnings"]], [["unverified_tls", "/useTls"]], "and a warning says so")
    r = cluster(model, ["10.0.0.1:443"], tlsServerName="x.test")
    tap.is_(at(r["elements"][0], CTX + ".sni"), "x.test", "with the name that was given")
    r = cluster(model, ["a.test:443"], useTls=False)
    tap.is_((at(r["elements"][0], "transportSocket"), r["warnings"]), (None, []), "useTls: false: no TLS on 443 either")
    r = cluster(model, ["10.0.0.1:1", "b.test:1", "c.test:1"], useTls=True)
    names = [{"sanType": "DNS", "matcher": {"exact": "b.test"}}]
    tap.is_((at(r["elements"][0], CTX + ".sni"), at(r["elements"][0], CTX + ".commonTlsContext.validationContext.matchTypedSubjectAltNames")),
            ("b.test", names), "the first host name is the SNI and the required name")
    r = cluster(model, ["10.0.0.1:1"], useTls=True)
    tap.is_((at(r["elements"][0], CTX + ".sni"), at(r["elements"][0], CTX + ".commonTlsContext.validationContext"), r["warnings"][0][0]),
            (None, {"trustedCa": {"filename": "/etc/ssl/certs/ca-certificates.crt"}}, "unverified_tls"), "without a name only the chain is verified, with a warning")
    r = cluster(model, ["10.0.0.1:1"], tls={})
    tap.isnt(at(r["elements"][0], "transportSocket"), None, "tls alone means TLS")
    r = cluster(model, ["10.0.0.1:1"], tls={"caSecret": "ca", "certSecret": "me"})
    tap.is_([x for x in r["refs"] if x[0] == "secret"], [["secret", "me", "/tls/certSecret"], ["secret", "ca", "/tls/caSecret"]], "secrets are references")
    r = cluster(model, ["a.test:1"], tls={"caSecret": "ca", "subjectAltNames": [{"type": "exact", "value": "spiffe://x"}]})
    sans = at(r["elements"][0], CTX + ".commonTlsContext.combinedValidationContext.defaultValidationContext.matchTypedSubjectAltNames")
    tap.is_([s["sanType"] for s in sans], ["DNS", "URI", "EMAIL", "IP_ADDRESS"], "a name of no stated kind is tried as each")


def check_aliases(model):
    plain = cluster(model, ["a.test:1"], healthChecks=[{"interval_seconds": 3}], circuitBreakers={"default": {"maxRequests": 5}})
    alias = cluster(model, ["a.test:1"], healthCheck={"intervalSeconds": 3}, circuitBreakers={"maxRequests": 5})
    tap.is_((alias["hash"], alias["configuration"]), (plain["hash"], plain["configuration"]), "healthCheck and bare breaker fields are aliases")
    nulls = cluster(model, ["a.test:1"], team=None, tls=None, lbPolicy=None)
    tap.is_((nulls["ok"], nulls["team"], nulls["configuration"]), (True, None, {"endpoints": [{"host": "a.test", "port": 1}]}), "null is absent")
    extra = cluster(model, ["a.test:1"], id="x", version=9, createdAt="t", updatedAt="t", source="s", pathPrefix="/", clusterTargets="t")
    tap.is_(extra["configuration"], nulls["configuration"], "read-only keys are ignored")
    many = cluster(model, ["a.test:1"], healthChecks=[{}, {"type": "tcp"}])
    tap.is_([h["name"] for h in many["elements"][0]["healthChecks"]], ["check-1", "check-2"], "several health checks have names: Envoy wants them")
    options = "typedExtensionProtocolOptions.envoy~extensions~upstreams~http~v3~HttpProtocolOptions.explicitHttpConfig"
    grpc = cluster(model, ["a.test:1"], healthChecks=[{"type": "grpc"}])
    tap.is_(at(grpc["elements"][0], options), {"http2ProtocolOptions": {}}, "a gRPC health check without a protocol means HTTP/2: Envoy wants it")
    long_ = cluster(model, ["a.test:1"], connectTimeoutSeconds=9223372036)
    tap.is_([w[:2] for w in long_["warnings"]], [["unchecked_config", "/connectTimeoutSeconds"]], "a duration Envoy cannot hold is warned about")
    tap.is_([w[0] for w in cluster(model, ["a.test:1"], lbPolicy="CLUSTER_PROVIDED")["warnings"]], ["unchecked_config"], "a policy Envoy will not take is warned about")


STORED = {"name": "l", "address": "0.0.0.0", "port": 10000, "filter_chains": [{"name": "default", "tls_context": None, "filters": [
    {"name": fp_model.HCM, "filter_type": {"HttpConnectionManager": {
        "route_config_name": None, "access_log": {"path": "/dev/stdout", "format": "x"}, "tracing": None,
        "http_filters": [{"filter": {"type": "router"}}], "inline_route_config": {"name": "rc", "virtual_hosts": [
            {"name": "v", "domains": ["*"], "routes": [
                {"name": "r1", "match": {"path": {"Exact": "/a"}, "headers": None, "query_parameters": None},
                 "action": {"Cluster": {"name": "one", "timeout": 5, "prefix_rewrite": "/b", "path_template_rewrite": None}}},
                {"match": {"path": {"Template": "/{x}"}}, "action": {"Cluster": {"name": "one", "path_template_rewrite": "/y/{x}"}}},
                {"match": {"path": {"Regex": "/c.*"}}, "action": {"WeightedClusters": {
                    "clusters": [{"name": "one", "weight": 1}, {"name": "two", "weight": 3}], "total_weight": 4}}},
                {"match": {"path": {"Prefix": "/"}}, "action": {"Redirect": {"host_redirect": "h", "response_code": 302}}}]}]}}}}]}]}


def check_stored_shape(model):
    flat = model.parse("listener", fp_model.RICH_LISTENER)
    hcm = at(flat["configuration"], "filter_chains.0.filters.0.filter_type.HttpConnectionManager")
    tap.ok({"inline_route_config", "access_log", "tracing", "http_filters"} <= set(hcm), "§5.4.5: the stored shape is snake_case and tagged")
    routes = hcm["inline_route_config"]["virtual_hosts"][0]["routes"]
    tap.is_((routes[0]["match"]["path"], routes[0]["action"]["Cluster"]["name"]), ({"Exact": "/one"}, "shop"), "down to paths and actions")
    tap.is_(routes[3]["action"]["Cluster"], {"name": "shop", "timeout": 3, "path_template_rewrite": "/v2/{rest}/{sku}"}, "with the names guide clients know")
    tap.is_(hcm["access_log"][1]["json_format"], {"path": "%REQ(:PATH)%", "camelKey": "%PROTOCOL%"}, "keys of maps are left alone")
    tap.is_(list(at(flat["configuration"], "filter_chains.2.filters.0.filter_type")), ["Typed"], "typed filters too")
    for what, body in (("as a body", STORED), ("under config", {"name": "l", "config": STORED})):
        r = model.parse("listener", body)
        tap.ok(r["ok"], f"the stored shape is accepted {what}", r.get("problems"))
        routes = at(r["elements"][0], "filterChains.0.filters.0.typedConfig.routeConfig.virtualHosts.0.routes")
        tap.is_((at(routes, "0.route"), at(routes, "2.route.weightedClusters.totalWeight"), at(routes, "3.redirect.responseCode")),
                ({"cluster": "one", "timeout": "5s", "prefixRewrite": "/b"}, 4, "FOUND"), "and means what it says")
        tap.is_(at(r["response"], "filterChains.0.filters.0.inlineRouteConfig.virtualHosts.0.routes.0.action"),
                {"type": "forward", "cluster": "one", "timeoutSeconds": 5, "prefixRewrite": "/b"}, "the response shows it flat")
    both = model.parse("listener", put(fp_model.LISTENER, "filterChains.0.filters.0.inlineRouteConfig", {"virtualHosts": fp_model.ROUTE["virtualHosts"]}))
    tap.is_([w[0] for w in both["warnings"]], ["ignored_field"], "routeConfigName wins over inlineRouteConfig, with a warning")
    tap.ok("inline_route_config" not in str(both["configuration"]), "which is not kept")
    for label in (None, "HTTP", "TCP"):
        one = model.parse("listener", dict(fp_model.LISTENER, protocol=label))
        tap.is_((one["response"]["protocol"], one["configuration"].get("protocol")), (label or "HTTP", label), f"label {label}: shown, and stored when given")
        tap.is_(model.parse("listener", one["response"])["configuration"], one["configuration"], "and the response gives the same row")


def check_summaries(model):
    def summary(match, action):
        r = model.parse("route", put(fp_model.ROUTE, "virtualHosts.0.routes.0", {"match": {"path": match}, "action": action}))
        raw = model.parse("route", {"name": r["name"], "envoy": r["elements"][0]})
        shown = (r["response"]["pathPrefix"], r["response"]["clusterTargets"])
        tap.is_((raw["response"]["pathPrefix"], raw["response"]["clusterTargets"]), shown, "the raw form shows the same summary")
        tap.is_((r["summary"]["path_prefix"], r["summary"]["cluster_name"]), shown, "as the columns do")
        return shown
    to = {"type": "forward", "cluster": "c"}
    tap.is_(summary({"type": "exact", "value": "/a"}, to), ("/a", "c"), "exact")
    tap.is_(summary({"type": "regex", "value": "/a+"}, to), ("regex:/a+", "c"), "regex:")
    tap.is_(summary({"type": "template", "template": "/{a}"}, to), ("template:/{a}", "c"), "template:")
    tap.is_(summary({"type": "prefix", "value": "/"}, {"type": "weighted", "clusters": [{"name": "x", "weight": 1}]}), ("/", "x"), "weighted")
    tap.is_(summary({"type": "prefix", "value": "/"}, {"type": "redirect"}), ("/", "__redirect__"), "redirect")
    tap.is_(summary({"type": "prefix", "value": "/"}, {"type": "direct", "status": 200}), ("/", "__direct__"), "direct")
    tap.is_(summary({"type": "pathSeparatedPrefix", "value": "/p"}, {"type": "forward", "clusterHeader": "x"}), ("/p", "unknown"), "unknown")
    empty = model.parse("route", {"name": "r", "envoy": {"name": "r"}})
    tap.is_((empty["response"]["pathPrefix"], empty["response"]["clusterTargets"]), ("*", "unknown"), "no rule at all")


GRPC = {"envoyGrpc": {"clusterName": "g"}}
AT = "type.googleapis.com/"
RAW_LISTENER = {"address": {"pipe": {"path": "/run/x.sock"}}, "filterChains": [{"filters": [{"name": "h", "typedConfig": {
    "@type": AT + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "statPrefix": "x",
    "rds": {"routeConfigName": "rc", "configSource": {"ads": {}}},
    "httpFilters": [{"name": "j", "typedConfig": {"@type": AT + "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication", "providers": {
        "p": {"remoteJwks": {"httpUri": {"uri": "http://x", "cluster": "jwks", "timeout": "1s"}}}}}},
                    {"name": "e", "typedConfig": {"@type": AT + "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz", "grpcService": GRPC}}]}}],
    "transportSocket": {"name": "t", "typedConfig": {"@type": AT + "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", "commonTlsContext": {
        "tlsCertificateSdsSecretConfigs": [{"name": "s", "sdsConfig": {"ads": {}}}, {"name": "file", "sdsConfig": {"pathConfigSource": {"path": "/x"}}},
                                           {"name": "bootstrap"}]}}}}],
    "metadata": {"filterMetadata": {"x": {"cluster": "not-one"}}}}


def check_references(model):
    r = model.parse("listener", {"name": "l", "envoy": RAW_LISTENER})
    if not r["ok"]:
        tap.diag(r["problems"])
    tap.is_(sorted(x[:2] for x in r["refs"]), [["cluster", "g"], ["cluster", "jwks"], ["route", "rc"], ["secret", "s"]], "§5.9: references of a raw listener")
    where = dict((x[1], x[2]) for x in r["refs"])
    tap.is_(where["rc"], "/envoy/filterChains/0/filters/0/typedConfig/rds/routeConfigName", "with pointers")
    tap.is_((r["response"]["address"], r["response"]["port"], r["response"]["protocol"]), ("/run/x.sock", None, "HTTP"), "a pipe has no port")
    tap.is_(model.parse("listener", r["response"])["hash"], r["hash"], "and its response is a request")
    r = model.parse("route", fp_model.RICH_ROUTE)
    tap.is_([x[:2] for x in r["refs"]], [["cluster", "shop"], ["cluster", "shadow"]], "routes, weights and mirrors, each once")
    r = model.parse("cluster", {"name": "a", "envoy": {"clusterType": {"name": "x", "typedConfig": {
        "@type": AT + "envoy.extensions.clusters.aggregate.v3.ClusterConfig", "clusters": ["x", "y"]}}}})
    tap.is_([x[1] for x in r.get("refs", [])], ["x", "y"], "an aggregate cluster names others", ) if r["ok"] else tap.skip("no aggregate cluster in the set")
    tcp = model.parse("listener", put(fp_model.LISTENER, "filterChains.0.filters", [{"name": "t", "type": "tcpProxy", "clusters": [{"name": "w", "weight": 1}]}]))
    tap.is_(tcp["refs"], [["cluster", "w", "/filterChains/0/filters/0/clusters/0/name"]], "TCP weights")
    bytes_ = model.parse("listener", put(fp_model.LISTENER, "filterChains.0.filters", [{"name": "t", "type": "typed", "typedConfig": {
        "type_url": AT + "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "value": "CgFzEgFi"}}]))
    tap.is_([x[:2] for x in bytes_.get("refs", [])], [["cluster", "b"]], "a reference inside bytes is found")
    eds = model.parse("cluster", {"name": "e", "envoy": {"type": "EDS", "edsClusterConfig": {"edsConfig": {"ads": {}}, "serviceName": "s"}}})
    tap.is_([x[:2] for x in eds["refs"]], [["endpoint", "s"]], "EDS service name")
    eds = model.parse("cluster", {"name": "e", "envoy": {"type": "EDS", "edsClusterConfig": {"edsConfig": {"path": "/x"}}}})
    tap.is_(eds["refs"], [], "a file is no reference")


def check_raw(model):
    r = model.parse("cluster", {"name": "n", "envoy": {"connect_timeout": "1.5s", "type": 3, "lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": 65537}}})
    tap.is_(r["configuration"], {"name": "n", "connectTimeout": "1.500s", "type": "EDS", "lbPolicy": "MAGLEV", "maglevLbConfig": {"tableSize": "65537"}},
            "§5.8: canonical output, the name filled in")
    tap.is_(r["response"]["envoy"], r["configuration"], "and shown as envoy")
    r = model.parse("endpoint", {"name": "n", "envoy": {"endpoints": []}})
    tap.is_(r["configuration"], {"clusterName": "n"}, "an endpoint set's name is clusterName")
    r = model.parse("cluster", {"name": "n", "envoy": {"transportSocket": {"name": "x", "typedConfig": {"type_url": AT + "no.Such", "value": "AAAA"}}}})
    tap.is_((r["ok"], [w[0] for w in r.get("warnings", [])]), (True, ["unchecked_config"]), "bytes of an unknown type go unchecked, with a warning")
    a = model.parse("cluster", '{"name":"n","envoy":{"name":"n","type":"EDS","connectTimeout":"1s"}}')
    b = model.parse("cluster", '{"envoy":{"connect_timeout":"1.0s","type":3},"name":"n"}')
    tap.is_(a["hash"], b["hash"], "equal messages have equal bytes")


def check_chains(model):
    def chains(*matches):
        return model.parse("listener", put(fp_model.LISTENER, "filterChains", [dict(fp_model.LISTENER["filterChains"][0], match=m) for m in matches]))
    for a, b in (({"serverNames": ["a"]}, {"serverNames": ["*.a"]}), ({"serverNames": ["a"]}, {}), ({"destinationPort": 1}, {"destinationPort": 2}),
                 ({"sourcePrefixRanges": ["10.0.0.0/8"]}, {"sourcePrefixRanges": ["10.0.0.0/9"]}),
                 ({"transportProtocol": "tls"}, {"transportProtocol": "raw_buffer"})):
        tap.ok(chains(a, b)["ok"], f"chains {a} and {b} stand side by side")
    many = [f"n{i}.test" for i in range(200)]
    ranges = [f"10.{i}.0.0/16" for i in range(200)]
    tap.ok(chains({"serverNames": many, "sourcePrefixRanges": ranges}, {"serverNames": many})["ok"], "many combinations are not spelled out")
    r = chains({"serverNames": many, "sourcePrefixRanges": ranges}, {"serverNames": many, "sourcePrefixRanges": ranges})
    tap.is_([p[:2] for p in r["problems"]], [["/filterChains/1", "duplicate"]], "the same lists are found all the same")


def check_big_regex(model):
    r = model.parse("route", put(fp_model.ROUTE, "virtualHosts.0.routes.0.match.path", {"type": "regex", "value": "/[a-z]{200}"}))
    tap.is_([w[:2] for w in r["warnings"]], [["unchecked_config", "/virtualHosts/0/routes/0/match/path/value"]], "an expression above Envoy's program size is warned about")
    r = model.parse("listener", dict(fp_model.LISTENER, address="edge.test"))
    tap.is_([w[:2] for w in r["warnings"]], [["unchecked_config", "/address"]], "so is a listener address that is no IP")


with tap.run():
    m = fp_model.Model()
    for check in (check_discovery, check_sets, check_tls, check_aliases, check_stored_shape, check_summaries, check_references, check_raw, check_chains, check_big_regex):
        check(m)
    tap.is_(m.close(), 0, "the model ends well")
