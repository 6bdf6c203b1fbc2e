//! The server that towline is compared with over TLS: bare tokio-rustls.
//!
//! Version and provider of rustls, allocator, certificate and tickets are those of towline. One current-thread
//! runtime, one 64 KiB buffer for all connections, one write for each read; every line end is searched, as by
//! the reference `bare-tokio`.

use std::{future::poll_fn, io, net::Ipv4Addr, path::PathBuf, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::NoServerSessionStorage,
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use crate::reference::{LineSearch, Step, Unfinished, listen, prepare_process};

/// The arguments of the reference.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ReferenceArgs {
    #[arg(long)]
    tls_cert: PathBuf,
    #[arg(long)]
    tls_key: PathBuf,
}

/// Serves until killed.
pub(crate) fn serve(args: ReferenceArgs) -> Result<(), crate::Error> {
    prepare_process()?;
    let acceptor = TlsAcceptor::from(Arc::new(config(args)?));
    let socket = listen((Ipv4Addr::LOCALHOST, 0).into())?;
    println!("listening on {}", socket.local_addr()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(socket)?;
        loop {
            let (stream, _peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(echo(acceptor.clone(), stream));
        }
    })
}

/// As towline's: TLS 1.2 and 1.3, one ticket, and no cache of sessions.
fn config(args: ReferenceArgs) -> Result<ServerConfig, crate::Error> {
    let chain = CertificateDer::pem_file_iter(args.tls_cert)?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(args.tls_key)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = ring::Ticketer::new()?;
    config.send_tls13_tickets = 1;
    Ok(config)
}

async fn echo(acceptor: TlsAcceptor, stream: TcpStream) -> io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let mut rest = Unfinished::default();
    loop {
        match poll_fn(|cx| rest.poll_exchange(&mut stream, LineSearch::ForEach, cx)).await? {
            Step::Closed => return stream.shutdown().await,
            Step::Echoed => {}
            Step::Unsent(unsent) => stream.write_all(&unsent).await?,
        }
        // rustls holds what the socket did not take.
        stream.flush().await?;
    }
}
