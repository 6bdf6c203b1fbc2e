//! The server of the crate `mini-redis`, at the address that is its argument. One thread serves.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> mini_redis::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:6381".to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await?;
        mini_redis::server::run(listener, std::future::pending::<()>()).await
    })
}
