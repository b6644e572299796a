//! The listening server: sockets, workers, timeouts. Which addresses there are is not known here.

use std::any::Any;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::rt::System;
use actix_web::rt::net::TcpStream;
use actix_web::web::{self, Data};
use actix_web::{App, HttpServer};

use super::connections::Connections;
use super::{Site, answer};
use crate::config::UNIX;
use crate::error::{Error, Result};

/// How long a client may take for its request's head.
const HEAD: Duration = Duration::from_secs(20);
/// How long a connection may be idle between two requests.
const IDLE: Duration = Duration::from_secs(75);
/// How long a request in flight may take after the server was told to stop.
const LAST_REQUESTS: u64 = 60;

/// Where the server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listening {
    Address(SocketAddr),
    Socket(String),
}

/// Listens at `listen` (`ADDRESS:PORT` or `unix:PATH`), says where with `listens`, and serves until SIGTERM or SIGINT,
/// then to the end of the requests in flight.
///
/// # Errors
/// `Config` for an address that cannot be read or a socket's path that is taken, `Io` for one that cannot be listened at.
pub fn serve(site: Site, listen: &str, listens: impl FnOnce(&Listening)) -> Result<()> {
    let system = System::new();
    let (server, listening) = system.block_on(async { server(site, listen) })?;
    listens(&listening);
    system.block_on(server).map_err(|error| Error::io(listen, error))
}

fn server(site: Site, listen: &str) -> Result<(Server, Listening)> {
    let connections = Connections::new(site.config.connections_per_address, site.config.proxies.clone());
    let site = Data::new(site);
    let app = move || App::new().app_data(site.clone()).default_service(web::to(answer));
    let server = HttpServer::new(app)
        .client_request_timeout(HEAD)
        .client_disconnect_timeout(Duration::from_secs(2))
        .keep_alive(IDLE)
        .on_connect(move |connection, data| {
            send_at_once(connection);
            connections.admit(connection, data);
        })
        .shutdown_timeout(LAST_REQUESTS);
    if let Some(path) = listen.strip_prefix(UNIX) {
        let server = server.listen_uds(socket(path)?).map_err(|error| Error::io(path, error))?;
        return Ok((server.run(), Listening::Socket(path.to_owned())));
    }
    let address: SocketAddr = listen
        .parse()
        .map_err(|_| Error::Config(format!("listen: ADDRESS:PORT or unix:PATH, not \"{listen}\"")))?;
    let server = server.bind(address).map_err(|error| Error::io(listen, error))?;
    let bound = server.addrs().first().copied().unwrap_or(address);
    Ok((server.run(), Listening::Address(bound)))
}

/// A socket at `path`, in the place of one that a server which was killed has left, and of nothing else.
fn socket(path: &str) -> Result<UnixListener> {
    let bound = match UnixListener::bind(path) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let meta = std::fs::symlink_metadata(path).map_err(|error| Error::io(path, error))?;
            let taken = |what: &str| Err(Error::Config(format!("listen: {UNIX}{path}: {what}")));
            if !meta.file_type().is_socket() {
                return taken("something is there that is no socket, and stays");
            }
            match UnixStream::connect(path) {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                _ => return taken("another server may listen there"),
            }
            std::fs::remove_file(path).and_then(|()| UnixListener::bind(path))
        }
        bound => bound,
    };
    bound.map_err(|error| Error::io(path, error))
}

/// An answer's last piece must not wait until the client has confirmed those before, which takes up to 40 ms.
fn send_at_once(connection: &dyn Any) {
    if let Some(Err(error)) = connection.downcast_ref::<TcpStream>().map(|stream| stream.set_nodelay(true)) {
        // The client may be gone already; it is slower at worst.
        tracing::debug!("TCP_NODELAY: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_takes_the_place_of_a_dead_one_and_of_nothing_else() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let at = path.to_str().expect("UTF-8");
        let refused = || socket(at).expect_err("taken").to_string();
        std::fs::write(&path, "precious").expect("written");
        assert!(refused().contains("no socket"));
        assert_eq!(std::fs::read(&path).expect("read"), b"precious");
        std::fs::remove_file(&path).expect("removed");
        let first = socket(at).expect("a free path");
        assert!(refused().contains("another server"));
        UnixStream::connect(&path).expect("the first one listens");
        drop(first);
        socket(at).expect("nobody listens there any more");
        UnixStream::connect(&path).expect_err("it is closed again");
    }
}
